"""Does the intracranial volume stay when the brain of a head is made smaller?

Inside the same skull the brain is scaled about its centre of mass, and fluid fills the room that it
leaves. Total-Brain should follow, eTIV should not. The template's skull is drawn, that of a scan is
its own, and its border is where the bundle sees it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.datasets.cohort.anatomy import Anatomy
from fibromorph.datasets.tissues import FLUID_ID
from fibromorph.postprocessing.intracranial import intracranial_mask
from fibromorph.scans import Scan
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.pipeline import segment_scan
from fibromorph.serving.simulate import anatomies_of, template_anatomy

VOLUMES = (1.0, 0.95, 0.9)
POINT_SPREAD_VOXELS, NOISE_SD = 0.5, 0.02
LINE = "{:>10} {:>14} {:>14} {:>10} {:>10}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="t1-open")
    parser.add_argument(
        "--scan", nargs="*", type=Path, default=[], help="whole heads; default: the template"
    )
    options = parser.parse_args()
    engine = Engine(find_bundle(options.model))
    anatomies = anatomies_of([(scan,) for scan in options.scan], options.model)
    for anatomy in anatomies or (template_anatomy(),):
        _print_changes(anatomy, engine)


def _print_changes(anatomy: Anatomy, engine: Engine) -> None:
    print(anatomy.name)
    print(LINE.format("brain", "true brain, ml", "Total-Brain", "eTIV", "change"))
    first = 0.0
    for volume in VOLUMES:
        image, true_ml = shrunk(anatomy, volume)
        scan = Scan(image, anatomy.grid, "shrunk", Path(anatomy.name), "nifti", "", ())
        rows = {row.name: row.volume_ml for row in segment_scan(scan, engine).rows}
        etiv, brain = float(rows["eTIV"] or 0), float(rows["Total-Brain"] or 0)
        first = first or etiv
        change = f"{100 * (etiv / first - 1):+.1f} %"
        print(LINE.format(f"{volume:.0%}", f"{true_ml:.0f}", f"{brain:.0f}", f"{etiv:.0f}", change))


def shrunk(anatomy: Anatomy, volume: float) -> tuple[NDArray[np.float32], float]:
    """The picture with a brain of so much of its volume, and the true volume of that in ml."""
    tissue = ((anatomy.labels > 0) & (anatomy.labels != FLUID_ID)).astype(np.float32)
    skull = intracranial_mask(anatomy.labels, anatomy.grid.spacing_mm)
    fluid = float(np.median(anatomy.intensities[anatomy.labels == FLUID_ID]))
    centre = np.asarray(ndimage.center_of_mass(tissue))
    length = volume ** (1 / 3)
    # `affine_transform` asks where each voxel of the result comes from.
    offset = centre - centre / length
    scale = np.full(3, 1 / length)
    share = ndimage.affine_transform(tissue, scale, offset, order=1) * skull
    brain = ndimage.affine_transform(anatomy.intensities, scale, offset, order=1)
    image = np.where(skull, share * brain + (1 - share) * fluid, anatomy.intensities)
    image = ndimage.gaussian_filter(image, POINT_SPREAD_VOXELS)
    noise = np.random.default_rng(0).normal(0, NOISE_SD, image.shape)
    return np.abs(image + noise).astype(np.float32), float(share.sum()) * anatomy.grid.voxel_ml


if __name__ == "__main__":
    main()
