"""Does the measured thickness follow when the cortex of a head becomes thinner?

From the outer surface that the bundle sees, so many millimetres of the cortex of a real scan become
fluid. What is measured afterwards should be less by as much; `arrives` is the share that it is.

    python -m benchmarks.thickness SCAN... [--model NAME|DIR]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fibromorph.labels import CORTEX, FREESURFER
from fibromorph.postprocessing.cortex import depths
from fibromorph.postprocessing.thickness import MEAN
from fibromorph.scans import read_scan
from fibromorph.serving.beyond import beyond_volumes
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import Extras
from fibromorph.serving.pipeline import Segmented, segment_scan

THINNER_MM = (0.0, 0.1, 0.2, 0.4)
LINE = "{:>10} {:>10} {:>10} {:>26} {:>14}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN")
    parser.add_argument("--model", default="t1-open")
    options = parser.parse_args()
    engine = Engine(find_bundle(options.model))
    for path in options.scans:
        _print_changes(path, engine)


def _print_changes(path: Path, engine: Engine) -> None:
    beyond = beyond_volumes(engine, extras=Extras(thickness=True))
    assert beyond is not None
    drawn = segment_scan(read_scan(path), beyond.ribbon)
    print(path.name)
    print(LINE.format("thinner", "mean, mm", "arrives", "arrives, regions' median", "5 to 95 %"))
    first: dict[str, float] = {}
    for thinner_mm, image in _thinned(drawn):
        scan = replace(drawn.scan, data=image, grid=drawn.conformed.grid)
        result = segment_scan(scan, engine, beyond=beyond)
        assert result.cortex is not None
        found = {row.name: row.thickness_mm or np.nan for row in result.cortex.rows}
        first = first or found
        shares = np.array([(first[n] - found[n]) / max(thinner_mm, 1e-9) for n in found])
        whole = (first[MEAN] - found[MEAN]) / max(thinner_mm, 1e-9)
        low, middle, high = np.nanpercentile(shares, (5, 50, 95))
        cells = (f"{whole:.0%}", f"{middle:.0%}", f"{low:.0%} {high:.0%}") if thinner_mm else "---"
        print(LINE.format(f"{thinner_mm:g} mm", f"{found[MEAN]:.3f}", *cells))


def _thinned(drawn: Segmented) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """How much thinner the cortex is, and the upright image with that."""
    image, labels = drawn.conformed.intensities, drawn.labels
    spacing_mm = drawn.conformed.grid.spacing_mm[0]
    cortex = np.isin(labels, FREESURFER.ids_of(CORTEX))
    to_outside_mm = depths(labels, drawn.confidence)[1] * spacing_mm
    fluid = float(np.percentile(image[np.isin(labels, FREESURFER.ids_of("CSF"))], 25))
    for thinner_mm in THINNER_MM:
        # A voxel reaches half its length further out than its middle.
        lost_mm = thinner_mm - (to_outside_mm - spacing_mm / 2)
        share = np.where(cortex, np.clip(lost_mm / spacing_mm, 0, thinner_mm / spacing_mm), 0)
        yield thinner_mm, ((1 - share) * image + share * fluid).astype(np.float32)


if __name__ == "__main__":
    main()
