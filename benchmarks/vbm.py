"""What a map of grey matter shows of a local change, and how far it moves without one.

Structures of one head are made smaller, one at a time, their neighbours as they were. Of each: how
much of the lost volume the smoothed map misses near it, how far from it the map misses most, and
how large that is beside what another scan of the unchanged head (turned, other noise) moves it by.
The latter also where both scans are sessions of a person that are seen jointly (`--longitudinal`).
"""

from __future__ import annotations

import argparse
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.datasets.cohort.acquisition import draw_visit
from fibromorph.datasets.cohort.body import Body, Mould, mould_of, shape_body
from fibromorph.datasets.cohort.norms import INTRACRANIAL_ML
from fibromorph.postprocessing.normalisation import average_head
from fibromorph.postprocessing.stats.report.brain import TEMPLATES
from fibromorph.scans import Scan, read_scan, resample
from fibromorph.scans.resample import FWHM
from fibromorph.serving.beyond import beyond_volumes
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.cohort.longitudinal.halfway import Halfway, Seen
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import Extras
from fibromorph.serving.measuring.rescan import with_dark_air
from fibromorph.serving.measuring.responsiveness import NOISE, VOXEL_MM, taken
from fibromorph.serving.pipeline import Segmented, segment_scan
from fibromorph.serving.simulate import segmented_anatomy

SMALLER = {10: 0.9, 51: 0.9, 11: 0.9, 17: 0.9}
FWHM_MM = 8.0
SEEN = 0.1
"""Above this a voxel counts as grey matter, as in `fibromorph vbm`."""
NEAR_MM = 12.0
"""Around a structure: smoothing carries its grey matter so far."""
LINE = "{:<20} {:>9} {:>9} {:>8} {:>14} {:>16}"
Map = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--model", default="t1-open")
    options = parser.parse_args()
    engine = Engine(find_bundle(options.model))
    mould = mould_of(segmented_anatomy(with_dark_air(read_scan(options.scan)), engine))
    bench = _Bench(engine, mould)
    base = bench.map_of({}, 1)
    moves = moved_by(base, bench.map_of({}, 2))
    level = float(base[base > SEEN].mean())
    print("root mean square by which another scan of the same head moves a voxel, in its mean:")
    print(f"  sessions alone   {moves / level:.2%}")
    print(f"  sessions jointly {moved_by(*bench.maps_of_sessions()) / level:.2%}")
    print(
        LINE.format(
            "structure", "true, ml", "near, ml", "arrives", "peak, mm away", "peak, x moves"
        )
    )
    for label_id, factor in SMALLER.items():
        bench.show(label_id, factor, base, moves)
    print(f"{np.mean(bench.seconds):.1f} s a map, beside labels and volumes")


def moved_by(one: Map, other: Map) -> float:
    """Standard deviation of one map's error, of the difference of two."""
    return float(np.sqrt(np.mean((other - one)[one > SEEN] ** 2) / 2))


class _Bench:
    """One head, its maps on the average head's voxels."""

    def __init__(self, engine: Engine, mould: Mould) -> None:
        self.engine, self.mould = engine, mould
        beyond = beyond_volumes(engine, extras=Extras(vbm=True))
        assert beyond is not None
        self.beyond = beyond
        self.grid = average_head().grid
        self.seconds: list[float] = []
        package = files("fibromorph.postprocessing.stats.report")
        with as_file(package / TEMPLATES["freesurfer"]) as path:
            drawn = read_scan(path)
        self.template = np.rint(resample(drawn.data, drawn.grid, self.grid, order=0))

    def body(self, smaller: dict[int, float]) -> Body:
        still = np.zeros((3, *self.mould.lattice.shape), np.float32)
        wanted = {i: ml * smaller.get(i, 1.0) for i, ml in self.mould.reference_ml.items()}
        return shape_body(self.mould, still, wanted, INTRACRANIAL_ML["F"])

    def map_of(self, smaller: dict[int, float], visit: int) -> Map:
        """The smoothed map of one scan of the head."""
        result = segment_scan(self.scan_of(smaller, visit), self.engine, beyond=self.beyond)
        self.seconds.append(sum(s.seconds or 0 for s in result.steps if s.name == "grey matter"))
        return self.smoothed(result)

    def maps_of_sessions(self) -> tuple[Map, Map]:
        """Smoothed maps of two scans of the head, conformed and laid over the average jointly."""
        scans = [self.scan_of({}, visit) for visit in (1, 2)]
        one, other = Halfway(self.engine).conform_jointly(scans)
        assert one.others, "two scans of one head"
        return self.map_beside(one, other), self.map_beside(other, one)

    def map_beside(self, seen: Seen, other: Seen) -> Map:
        result = segment_scan(
            seen.scan,
            self.engine,
            conformed=seen.conformed,
            beyond=self.beyond,
            sessions=[other.conformed],
        )
        return self.smoothed(result)

    def scan_of(self, smaller: dict[int, float], visit: int) -> Scan:
        drawn = draw_visit(np.random.default_rng(visit), VOXEL_MM, NOISE)
        return taken(self.mould, self.body(smaller), drawn)

    def smoothed(self, result: Segmented) -> Map:
        assert result.mni_maps is not None
        sigma = FWHM_MM / FWHM / np.asarray(self.grid.spacing_mm)
        smooth: Map = ndimage.gaussian_filter(result.mni_maps.grey, sigma)
        return smooth

    def show(self, label_id: int, factor: float, base: Map, moves: float) -> None:
        before, after = self.body({}), self.body({label_id: factor})
        true_ml = after.volumes_ml[label_id] - before.volumes_ml[label_id]
        lost = self.map_of({label_id: factor}, 1) - base
        structure = self.template == label_id
        away_mm = ndimage.distance_transform_edt(~structure, sampling=self.grid.spacing_mm)
        near_ml = float(lost[away_mm < NEAR_MM].sum()) * self.grid.voxel_ml
        peak = np.unravel_index(lost.argmin(), lost.shape)
        print(
            LINE.format(
                self.engine.bundle.manifest.table[label_id].name,
                f"{true_ml:.2f}",
                f"{near_ml:.2f}",
                f"{near_ml / true_ml:.0%}",
                f"{away_mm[peak]:.0f}",
                f"{-lost[peak] / moves:.1f}",
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
