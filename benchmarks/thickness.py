"""Does the measured thickness follow when the cortex of a head becomes thinner?

From the outer surface that the bundle sees, so many millimetres of the cortex of a real scan become
fluid. What is measured afterwards should be less by as much; `arrives` is the share that it is.

    python -m benchmarks.thickness SCAN... [--model NAME|DIR]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from fibromorph.postprocessing.thickness import MEAN, Ribbon
from fibromorph.scans import read_scan
from fibromorph.serving.beyond import beyond_volumes
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import Extras
from fibromorph.serving.measuring.rescan import with_dark_air
from fibromorph.serving.measuring.thinning import thinned
from fibromorph.serving.pipeline import segment_scan

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
    drawn = segment_scan(with_dark_air(read_scan(path)), beyond.ribbon)
    grid, ribbon = drawn.conformed.grid, Ribbon(drawn.labels, drawn.confidence)
    print(path.name)
    print(LINE.format("thinner", "mean, mm", "arrives", "arrives, regions' median", "5 to 95 %"))
    first: dict[str, float] = {}
    for thinner_mm in THINNER_MM:
        layer = np.full(grid.shape, thinner_mm, np.float32)
        image = thinned(drawn.conformed.intensities, ribbon, layer, grid.spacing_mm[0])
        result = segment_scan(replace(drawn.scan, data=image, grid=grid), engine, beyond=beyond)
        assert result.cortex is not None
        found = {row.name: row.thickness_mm or np.nan for row in result.cortex.rows}
        first = first or found
        shares = np.array([(first[n] - found[n]) / max(thinner_mm, 1e-9) for n in found])
        whole = (first[MEAN] - found[MEAN]) / max(thinner_mm, 1e-9)
        low, middle, high = np.nanpercentile(shares, (5, 50, 95))
        cells = (f"{whole:.0%}", f"{middle:.0%}", f"{low:.0%} {high:.0%}") if thinner_mm else "---"
        print(LINE.format(f"{thinner_mm:g} mm", f"{found[MEAN]:.3f}", *cells))


if __name__ == "__main__":
    main()
