"""Several scans in one call: what fails is listed, the rest is written."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from fibromorph.errors import FibromorphError, ScanError
from fibromorph.progress import bar as progress_bar
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import NOTHING, Extras

if TYPE_CHECKING:
    from fibromorph.postprocessing.thickness import ThicknessRow
    from fibromorph.postprocessing.volumes import VolumeRow
    from fibromorph.serving.beyond import BeyondVolumes
    from fibromorph.serving.pipeline import Segmented

SHOWN_TOTALS = ("Total-Grey-Matter", "Total-White-Matter", "Total-Brain", "eTIV")


@dataclass(frozen=True)
class Failure:
    """A scan that could not be segmented, and why."""

    path: Path
    reason: str


def segment_files(
    paths: Sequence[Path],
    out: Path,
    *,
    model: str = "t1-open",
    device: str = "auto",
    threads: int = 0,
    conformed: bool = False,
    extras: Extras = NOTHING,
) -> list[Failure]:
    """Segment scans one after the other and write their files into `out`.

    Of several also `scans.tsv`, see `write_scan_table`.

    Args:
        paths: scans, or folders of them, see `scans_in`; no two scans may have the same name
            without suffix.
        out: made when it does not exist.
        model: bundle, by name or folder.
        device: see `Engine`.
        threads: CPU threads, 0 = all.
        conformed: labels and scan on the working grid, too.
        extras: what is measured beyond volumes.

    Returns:
        The scans that failed; each is also named on stderr.

    Raises:
        MissingExtraError: see `beyond_volumes`.
        ConfigError: two scans would overwrite each other's files, or one a JSON that is not ours; a
            folder that cannot be written; an option out of range.
        BundleError: see `find_bundle`.
    """
    engine = Engine(find_bundle(model), device, threads)
    # Its graphs are being compiled while what reads and writes scans is imported.
    beyond = _beyond(engine, device, extras)
    from fibromorph.scans.read import scans_in
    from fibromorph.serving.scan_table import write_scan_table

    paths = [scan for path in paths for scan in scans_in(path)]
    _require_ready(paths, out)
    failures = []
    with progress_bar(len(paths), "scans") as bar:
        stage = bar.set_postfix_str
        for path in paths:
            try:
                told = _segment(path, out, engine, beyond, conformed=conformed, on_stage=stage)
            except Exception as error:
                # Whatever an engine raises on one scan must not cost the others.
                failures.append(Failure(path, _reason(path, error)))
                tqdm.write(_complaint(failures[-1], error), file=sys.stderr)
            else:
                tqdm.write(told)
            bar.update()
    if 1 < len(paths) > len(failures):
        tqdm.write(f"all scans of the folder in one table: {write_scan_table(out)}")
    return failures


def _require_ready(paths: Sequence[Path], out: Path) -> None:
    """Refuse a call that cannot be carried out as a whole, before any of it is."""
    from fibromorph.files import require_folder
    from fibromorph.scans.read import require_distinct, scan_stem
    from fibromorph.serving.outputs.placing import require_own

    require_distinct(paths)
    for path in paths:
        if not path.exists():
            raise ScanError("a scan must exist", subject=path)
    for path in paths:
        require_own(out, scan_stem(path))
    require_folder(out)


def _segment(
    path: Path,
    out: Path,
    engine: Engine,
    beyond: BeyondVolumes | None,
    *,
    conformed: bool,
    on_stage: Callable[[str], None],
) -> str:
    """Read, segment and write one scan; returns the line about it."""
    from fibromorph.scans.read import read_scan
    from fibromorph.serving.outputs.placing import require_same_scan
    from fibromorph.serving.outputs.writing import write_outputs
    from fibromorph.serving.pipeline import segment_scan

    scan = read_scan(path)
    require_same_scan(out, scan.stem, scan)
    result = segment_scan(scan, engine, on_stage, draw=engine.threads > 1, beyond=beyond)
    return summary(result, write_outputs(result, out, conformed=conformed)["report"])


def _is_told(error: Exception) -> bool:
    return isinstance(error, FibromorphError | OSError)


def _reason(path: Path, error: Exception) -> str:
    return str(error) if _is_told(error) else f"{path}: {type(error).__name__}: {error}"


def _complaint(failure: Failure, error: Exception) -> str:
    """One line; of what should not have happened, where it did."""
    where = "" if _is_told(error) else f"{''.join(traceback.format_exception(error))}\n"
    return f"{where}fibromorph: {failure.reason}"


def _beyond(engine: Engine, device: str, extras: Extras) -> BeyondVolumes | None:
    from fibromorph.serving.beyond import beyond_volumes

    return beyond_volumes(engine, device, extras)


def summary(result: Segmented, report: Path) -> str:
    """One line about a scan: totals, verdict, and where its report lies."""
    rows = {row.name: row for row in result.rows}
    totals = ", ".join(f"{name} {_ml(rows[name])}" for name in SHOWN_TOTALS if name in rows)
    if result.cortex:
        totals = f"{totals}, cortex {_mm(result.cortex.rows[-1])}"
    reasons = [f.message for f in result.quality.flags if f.severity != "note"]
    verdict = f"{result.quality.verdict} ({reasons[0]})" if reasons else result.quality.verdict
    return f"{result.scan.stem}: {totals}; quality {verdict}; {report}"


def _ml(row: VolumeRow) -> str:
    return "n/a" if row.analysed_ml is None else f"{row.analysed_ml:.0f} ml"


def _mm(row: ThicknessRow) -> str:
    return "n/a" if row.thickness_mm is None else f"{row.thickness_mm:.2f} mm"
