"""What a run will do, known before it starts: the same plan is printed by `--dry-run`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from fibromorph.datasets.bids import (
    BidsName,
    Candidate,
    Dataset,
    Found,
    Left,
    Wanted,
    find_t1w,
)
from fibromorph.datasets.bids.finder import pick_subjects, require_sessions
from fibromorph.serving.cohort.recipe import Recipe
from fibromorph.serving.cohort.store import Stamp, Store, restamped, same_siblings, stamp_of
from fibromorph.serving.cohort.tasks import ScanTask, Shard, task_of

Action = Literal["segment", "again", "present", "failed before"]
READERS = 8


@dataclass(frozen=True)
class Planned:
    """One scan of the plan.

    Attributes:
        task: which.
        action: 'segment' = new; 'again' = something changed; 'present' = done, nothing changed;
            'failed before' = would fail again.
        why: what changed, or why it failed.
        notes: of the finder.
        restamp: the date of these scans, its own and its siblings', changed but not their content:
            path -> new stamp.
    """

    task: ScanTask
    action: Action
    why: str = ""
    notes: tuple[str, ...] = ()
    restamp: Mapping[str, Stamp] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """All scans of a data set, or of a shard of it, and what is left.

    Attributes:
        scans: taken, in the order of subjects.
        left: not taken, and why.
        remarks: on `participants.tsv`.
    """

    scans: tuple[Planned, ...]
    left: tuple[Left, ...]
    remarks: tuple[str, ...]

    @property
    def todo(self) -> list[ScanTask]:
        """What will be segmented."""
        return [s.task for s in self.scans if s.action in ("segment", "again")]

    def count(self, action: Action) -> int:
        """Scans with this action."""
        return sum(scan.action == action for scan in self.scans)


def make_plan(
    dataset: Dataset,
    store: Store,
    recipe: Recipe,
    wanted: Wanted = Wanted(),  # noqa: B008
    shard: Shard = Shard(),  # noqa: B008
    *,
    retry_failed: bool = False,
) -> Plan:
    """Compare a data set with what OUT_DIR has; reads headers and changed files, writes nothing.

    Args:
        dataset: the subjects.
        store: of OUT_DIR.
        recipe: of this run.
        wanted: what was asked for.
        shard: the part of it.
        retry_failed: also try again what would fail again.

    Raises:
        ConfigError: a subject or session that was asked for is not there.
    """
    picked = tuple(pick_subjects(dataset.subjects, wanted.subjects))
    require_sessions(dataset.root, dataset.subjects, wanted.sessions)
    subjects = shard.of(picked)
    judge = _Judge(dataset.root, store, recipe, retry_failed)
    # Looking costs little but waiting: on network file systems many looks at once are faster.
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(lambda name: find_t1w(dataset.root, [name], wanted), subjects))
        if recipe.sessions == "jointly":
            whole: Iterable[Found] = found
            if wanted.sessions or wanted.entities:
                whole = pool.map(lambda name: find_t1w(dataset.root, [name]), subjects)
            parts = list(pool.map(judge.joined, found, whole))
        else:
            parts = [[(c, judge.task(c)) for c in part.taken] for part in found]
        scans = pool.map(judge, (pair for part in parts for pair in part))
    left = tuple(item for part in found for item in part.left)
    remarks = _remarks(dataset) if shard.count == 1 and not wanted.subjects else ()
    return Plan(tuple(scans), left, remarks)


@dataclass(frozen=True)
class _Judge:
    """Decides what is to be done with a scan."""

    root: Path
    store: Store
    recipe: Recipe
    retry_failed: bool

    def __call__(self, pair: tuple[Candidate, ScanTask]) -> Planned:
        candidate, task = pair
        record = self.store.record(task)
        # Before they are compared: a file that is written to meanwhile is compared anew next time.
        restamp = restamped(record, self.root) if record else {}
        why = self.store.what_changed(record, task, self.recipe, self.root) if record else ""
        if record and not why:
            return Planned(task, "present", notes=candidate.notes, restamp=restamp)
        if self.fails_again(task):
            reason = self.store.failure(task)["reason"]
            return Planned(task, "failed before", reason, candidate.notes)
        return Planned(task, "again" if record else "segment", why, candidate.notes)

    def task(self, candidate: Candidate) -> ScanTask:
        """What is to be done with a scan."""
        return task_of(candidate.path, candidate.name, **self.recipe.beyond)

    def joined(self, found: Found, whole: Found) -> list[tuple[Candidate, ScanTask]]:
        """Tasks of one subject, each with one scan of every other session.

        Sessions and scans that were not asked for count as well: what is asked for decides which
        scans are computed, never how. Those of them that are segmented already and that a new
        session moved are computed again, so that all of a person's lie around one middle.

        Args:
            found: what was asked for.
            whole: all that the subject has.
        """
        tasks = joined_tasks([(c.name, self.task(c)) for c in whole.taken], self.fails_again)
        asked = {candidate.path: candidate for candidate in found.taken}
        return [
            (asked.get(candidate.path, candidate), task)
            for candidate, task in zip(whole.taken, tasks, strict=True)
            if candidate.path in asked or self._is_moved(task)
        ]

    def fails_again(self, task: ScanTask) -> bool:
        """Whether a scan failed by itself, and neither it nor the recipe has changed since."""
        failure = self.store.failure(task)
        if not failure.get("lasting") or self.retry_failed:
            return False
        same = failure.get("scan") == vars(stamp_of(self.root / task.path))
        return same and failure.get("recipe") == vars(self.recipe)

    def _is_moved(self, task: ScanTask) -> bool:
        """Whether a scan is segmented, but not with the sessions that there are now."""
        record = self.store.record(task)
        return bool(record) and not same_siblings(record, task, self.root)


def joined_tasks(
    scans: Sequence[tuple[BidsName, ScanTask]], failed: Callable[[ScanTask], bool]
) -> list[ScanTask]:
    """The tasks of one person, each with one scan of every other session.

    Of several scans of a session it is one that has not failed, then the one whose name is most
    like the task's own (`acq-`, `run-`), then the first.

    Args:
        scans: all of the person, in the order of sessions and names.
        failed: whether a scan would fail by itself.
    """
    bad = {task.path: failed(task) for _, task in scans}
    sessions = dict.fromkeys(task.session for _, task in scans)

    def nearest(name: BidsName, session: str | None) -> str:
        there = [(other, task.path) for other, task in scans if task.session == session]
        return min(there, key=lambda pair: (bad[pair[1]], _unlike(pair[0], name)))[1]

    return [
        replace(task, siblings=tuple(nearest(name, s) for s in sessions if s != task.session))
        for name, task in scans
    ]


def _unlike(one: BidsName, other: BidsName) -> int:
    """In how many entities two names differ, their sessions aside."""
    pairs = set(one.entities.items()) ^ set(other.entities.items())
    return len({key for key, _ in pairs} - {"ses"})


def _remarks(dataset: Dataset) -> tuple[str, ...]:
    table = dataset.participants
    if table is None:
        return ("no participants.tsv: the statistics will need one",)
    matched = table.matched(dataset.subjects)
    absent = [i for i in table.ids if i not in matched]
    unlisted = [s for s in dataset.subjects if s not in set(matched.values())]
    remarks = (
        ("", f"column '{table.id_column}' names the participants")[
            table.id_column != "participant_id"
        ],
        _listed("with several rows, which statistics refuse", table.repeated),
        _listed("in the table without a folder", absent),
        _listed("with a folder but not in the table", unlisted),
    )
    return tuple(f"participants.tsv: {text}" for text in remarks if text)


def _listed(what: str, names: Sequence[str], shown: int = 10) -> str:
    if not names:
        return ""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{len(names)} {what}: {', '.join(names[:shown])}{more}"


def describe(plan: Plan, verbose: bool = True) -> Iterable[str]:
    """The plan in lines: every scan and everything left if `verbose`, else the counts alone."""
    if verbose:
        for scan in plan.scans:
            details = "; ".join(text for text in (scan.why, *scan.notes) if text)
            yield f"{scan.action:<13} {scan.task.path}" + (f"  ({details})" if details else "")
        for left in plan.left:
            yield f"{'left':<13} {left.where}  ({left.reason})"
    yield from plan.remarks
    subjects = len({scan.task.subject for scan in plan.scans})
    yield (
        f"{len(plan.scans)} scans of {subjects} subjects: {plan.count('segment')} to segment, "
        f"{plan.count('again')} again, {plan.count('present')} present, "
        f"{plan.count('failed before')} failed before; {len(plan.left)} left"
    )
