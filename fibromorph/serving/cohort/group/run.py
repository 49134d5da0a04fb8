"""The group stage, start to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fibromorph.datasets.bids import open_dataset
from fibromorph.files import write_whole
from fibromorph.postprocessing.names import listed
from fibromorph.serving.cohort.failures import (
    FailedScan,
    failed_scans,
    failure_table,
    write_failures,
)
from fibromorph.serving.cohort.group.atlases import atlas_table, write_atlas_tables
from fibromorph.serving.cohort.group.exclusions import Exclusions, update_exclusions
from fibromorph.serving.cohort.group.gather import Cohort, gather
from fibromorph.serving.cohort.group.look import write_look
from fibromorph.serving.cohort.group.outliers import Outlier, find_outliers
from fibromorph.serving.cohort.group.page import PageContent, write_page
from fibromorph.serving.cohort.group.runs import choose_runs
from fibromorph.serving.cohort.group.statistics import (
    read_design,
    run_statistics,
    run_voxel_statistics,
)
from fibromorph.serving.cohort.group.tables import (
    write_corrections,
    write_quality,
    write_tables,
)
from fibromorph.serving.cohort.group.thickness import write_thickness_tables
from fibromorph.serving.cohort.store import Store
from fibromorph.serving.cohort.tasks import ScanTask
from fibromorph.text import decode

Say = Callable[[str], None]


def run_group(
    bids: Path,
    out: Path,
    design: Path | None = None,
    say: Say = print,
    *,
    vbm_workers: int = 0,
    atlases: Sequence[str] = (),
) -> int:
    """Gather the tables, look for what stands out, write the quality page, run the statistics.

    Args:
        bids: BIDS_DIR: its scans and `participants.tsv`.
        out: OUT_DIR.
        design: of the statistics; None runs none.
        say: told what was written.
        vbm_workers: also compare maps of tissue by that design, in so many processes; 0 = do
            not.
        atlases: whose regions are analysed by that design instead of the bundle's, see
            `read_atlas`.

    Returns:
        How many scans failed, in the participant stage or because labels that somebody corrected
        cannot be measured.

    Raises:
        TableError: nothing to gather, or an edited table is damaged.
        ConfigError: the design is wrong.
    """
    asked = read_design(design)
    found = _look_through(bids, Store(out))
    for line in (*_write(found, bids, out), *_told(found, bids)):
        say(line)
    if asked is not None:
        run_statistics(out, asked, say, atlases)
        if vbm_workers:
            run_voxel_statistics(out, asked, vbm_workers, say)
    return len(found.failures)


@dataclass(frozen=True)
class _Found:
    """What the finished scans of a study say.

    Attributes:
        cohort: one run a session.
        others: runs that were left for another one of the same session.
        gone: finished scans that the study no longer has.
        damaged: scans whose corrected labels cannot be measured.
        failures: those, and the scans of which the participant stage came to no end.
        exclusions: as somebody decided.
        outliers: volumes that stand out.
        unmeasured: subjects of the study of whom no scan is measured, for whatever reason.
    """

    cohort: Cohort
    others: int
    gone: Sequence[ScanTask]
    damaged: Sequence[FailedScan]
    failures: tuple[FailedScan, ...]
    exclusions: Exclusions
    outliers: tuple[Outlier, ...]
    unmeasured: tuple[str, ...]


def _look_through(bids: Path, store: Store) -> _Found:
    everything, gone, damaged = gather(store, bids)
    cohort = everything.at(choose_runs(everything, store))
    measured = {task.subject for task in everything.tasks}
    return _Found(
        cohort=cohort,
        others=len(everything) - len(cohort),
        gone=gone,
        damaged=damaged,
        failures=(*failed_scans(store, bids), *damaged),
        exclusions=update_exclusions(cohort, store),
        outliers=tuple(find_outliers(cohort)),
        unmeasured=tuple(name for name in open_dataset(bids).subjects if name not in measured),
    )


def _write(found: _Found, bids: Path, out: Path) -> Iterator[str]:
    """Write tables and pages; yields what to say of them."""
    cohort, outliers = found.cohort, found.outliers
    write_tables(out, cohort)
    thick = write_thickness_tables(out, cohort)
    divided = write_atlas_tables(out, cohort)
    write_corrections(out, cohort)
    write_quality(out, cohort, outliers)
    write_failures(Store(out), found.failures)
    excluded = found.exclusions.scans
    content = PageContent(cohort, outliers, excluded, found.failures, found.unmeasured)
    write_page(out / "quality.html", content)
    write_look(out / "look.html", cohort, found.exclusions)
    _write_participants(bids, out)
    untimed = _write_times(bids, out)
    yield (
        f"{len(cohort)} scans in volumes.tsv (left out of other runs: {found.others}),"
        f" {len(excluded)} excluded, volumes that stand out: {len(outliers)},"
        f" scans that failed: {len(found.failures)}: {out / 'quality.html'}"
    )
    if thick:
        yield f"thickness of the cortex of {thick} scans: {out / 'thickness.tsv'}"
    for atlas, scans in divided.items():
        yield f"regions of {atlas} of {scans} scans: {out / atlas_table(atlas)}"
    if by_hand := sum(map(bool, cohort.corrected)):
        yield f"{by_hand} of them measured by labels corrected by hand: {out / 'corrected.tsv'}"
    if untimed:
        yield f"tables of scans or sessions that cannot be read: {untimed}"


def _told(found: _Found, bids: Path) -> Iterator[str]:
    """What is missing, and what does not go together."""
    if found.damaged:
        yield f"{len(found.damaged)} left out, as their corrected labels cannot be measured:"
        yield from failure_table(found.damaged)
    if len(found.cohort.models) > 1:
        models = "; ".join(found.cohort.models)
        yield f"measured in several ways, whose volumes differ: {models}"
    if found.cohort.mixed:
        yield found.cohort.mixed
    if found.gone:
        names = listed([task.stem for task in found.gone])
        yield f"{len(found.gone)} finished scans are no longer in {bids} and left out: {names}"
    if found.exclusions.strangers:
        names = listed(found.exclusions.strangers)
        yield f"rows of exclusions.tsv that fit no scan of these and do nothing: {names}"
    if found.unmeasured:  # a participant stage that was stopped halfway passes for no whole cohort
        count = f"{len(found.unmeasured)} subject" + "s" * (len(found.unmeasured) > 1)
        yield f"{count} of {bids} without a measured scan: {listed(found.unmeasured)}"


def _write_participants(bids: Path, out: Path) -> None:
    """A copy of `participants.tsv` whose first column is what BIDS says: participant_id, sub-01."""
    dataset = open_dataset(bids)
    table = dataset.participants
    if table is None:
        return
    folder_of = table.matched(dataset.subjects)
    where = table.columns.index(table.id_column)
    others = [i for i in range(len(table.columns)) if i != where]
    lines = ["\t".join(("participant_id", *(table.columns[i] for i in others)))]
    for identifier, row in zip(table.ids, table.rows, strict=True):
        cells = (row[i] or "n/a" for i in others)
        lines.append("\t".join((folder_of.get(identifier, identifier), *cells)))
    write_whole(out / "participants.tsv", "\n".join(lines) + "\n")


def _write_times(bids: Path, out: Path) -> int:
    """Copies of `sub-01_sessions.tsv` and the like, which may have scores and times of scans.

    Returns:
        How many cannot be read: annexed ones may not have been fetched.
    """
    from fibromorph.postprocessing.stats.tables.scan_times import TIME_TABLES

    unreadable = 0
    for path in sorted(path for pattern in TIME_TABLES for path in bids.glob(pattern)):
        copy = out / path.relative_to(bids)
        if not copy.parent.is_dir():
            continue
        try:
            text = decode(path.read_bytes())
        except OSError:
            unreadable += 1
        else:
            write_whole(copy, text)
    return unreadable
