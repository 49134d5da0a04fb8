"""Walk a BIDS tree and sort its T1-weighted scans into those to take and those to leave."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fibromorph.datasets.bids.names import SESSION_FOLDER, BidsName, bare_label, parse_name
from fibromorph.datasets.bids.presence import why_not_readable
from fibromorph.datasets.bids.sidecars import read_sidecar
from fibromorph.errors import ConfigError

EXTENSIONS = (".nii.gz", ".nii")
INDICES = ("run", "echo", "inv")
"""Entities whose label is a number, with or without zeros before it."""
MP2RAGE_REASON = "an MP2RAGE image (UNIT1): no bundle was tested on its noise outside the head"


@dataclass(frozen=True)
class Wanted:
    """What a user asked for; nothing asked for means everything.

    Attributes:
        subjects: labels with or without 'sub-'.
        sessions: labels with or without 'ses-'.
        entities: entity -> label that a scan's name must have, {'acq': 'mprage'}.
    """

    subjects: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    entities: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """A scan to take.

    Attributes:
        path: inside the data set's folder.
        name: taken apart.
        notes: what a reader of the plan should know: no sidecar, one of two runs.
    """

    path: Path
    name: BidsName
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Left:
    """Something that is left, a file or a whole subject or session, and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Found:
    """All that a walk found, both in the order of subjects and sessions."""

    taken: tuple[Candidate, ...]
    left: tuple[Left, ...]


def pick_subjects(subjects: Iterable[str], wanted: tuple[str, ...]) -> list[str]:
    """Those of the folders that were asked for.

    Raises:
        ConfigError: one that was asked for is not there.
    """
    known = list(subjects)
    asked = {f"sub-{bare_label(label, 'sub')}" for label in wanted}
    strange = sorted(asked - set(known))
    if strange:
        raise ConfigError(
            "must name subjects of BIDS_DIR",
            value=", ".join(strange),
            subject="--participant-label",
        )
    return [subject for subject in known if not asked or subject in asked]


def require_sessions(root: Path, subjects: Sequence[str], wanted: tuple[str, ...]) -> None:
    """Refuse a session that none of the subjects has.

    Raises:
        ConfigError: the first of them.
    """
    missing = {f"ses-{bare_label(label, 'ses')}" for label in wanted}
    there: set[str] = set()
    for subject in subjects:
        # As a rule the first has them all: no walk through a hundred thousand.
        if not missing:
            return
        there |= {folder.name for folder in _folders(root / subject)}
        missing -= there
    if missing and subjects:
        known = ", ".join(sorted(n for n in there if SESSION_FOLDER.fullmatch(n))) or "none"
        rule = f"must name sessions of the subjects (they have {known})"
        raise ConfigError(rule, value=", ".join(sorted(missing)), subject="--session-label")


def find_t1w(root: Path, subjects: Iterable[str], wanted: Wanted = Wanted()) -> Found:
    """Sort the T1-weighted scans of some subjects.

    All runs and variants of a session are taken: which one is worse is known only when they are
    segmented, and the group stage then uses the best.

    Args:
        root: of the data set.
        subjects: names of folders, see `Dataset`.
        wanted: what was asked for.
    """
    taken: list[Candidate] = []
    left: list[Left] = []
    for subject in subjects:
        for folder in _sessions(root / subject, wanted.sessions):
            candidates, leftovers = _one_session(root, folder, wanted.entities)
            taken += candidates
            left += leftovers
    return Found(tuple(taken), tuple(left))


def _sessions(subject: Path, wanted: tuple[str, ...]) -> list[Path]:
    """The folders that may have an `anat`: the sessions, and the subject itself if it has one."""
    sessions = [p for p in _folders(subject) if SESSION_FOLDER.fullmatch(p.name)]
    labels = {f"ses-{bare_label(label, 'ses')}" for label in wanted}
    if not sessions:
        return [] if labels else [subject]
    chosen = [p for p in sessions if not labels or p.name in labels]
    return [subject, *chosen] if (subject / "anat").is_dir() and not labels else chosen


def _folders(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return sorted(Path(e.path) for e in entries if e.is_dir())


def _one_session(
    root: Path, folder: Path, entities: Mapping[str, str]
) -> tuple[list[Candidate], list[Left]]:
    everything = _names_in(folder / "anat")
    names, uniform = _t1w_files(everything), _mp2rage_files(everything)
    left = [
        Left((folder / "anat" / n).relative_to(root).as_posix(), MP2RAGE_REASON) for n in uniform
    ]
    if not names:
        return [], [Left(folder.relative_to(root).as_posix(), "no T1w scan"), *left]
    taken = []
    for file_name, name in names:
        path = (folder / "anat" / file_name).relative_to(root)
        reason = _why_not(root, path, name, entities, [n for n, _ in names])
        if reason is None and name is not None:
            taken.append(Candidate(path, name, read_sidecar(root, path, name).notes))
        else:
            left.append(Left(path.as_posix(), reason or ""))
    return _with_siblings(taken), left


def _names_in(anat: Path) -> list[str]:
    try:
        with os.scandir(anat) as entries:
            return sorted(entry.name for entry in entries)
    except OSError:
        return []


def _mp2rage_files(names: list[str]) -> list[str]:
    """T1-weighted all the same, with bright noise where there is no tissue."""
    parsed = ((name, parse_name(name)) for name in names if name.endswith(EXTENSIONS))
    return [name for name, parts in parsed if parts is not None and parts.suffix == "UNIT1"]


def _t1w_files(names: list[str]) -> list[tuple[str, BidsName | None]]:
    """Files that are, or by their name mean to be, T1-weighted images."""
    files = [(n, parse_name(n)) for n in names if n.endswith(EXTENSIONS) and "T1w" in n]
    return [(n, parsed) for n, parsed in files if parsed is None or parsed.suffix == "T1w"]


def _why_not(
    root: Path, path: Path, name: BidsName | None, entities: Mapping[str, str], beside: list[str]
) -> str | None:
    if name is None:
        return "its name does not follow BIDS"
    reasons = (*_name_reasons(path, name, entities), *_sibling_reasons(root, path, beside))
    found = next(iter(reasons), None) or why_not_readable(root / path)
    return found or read_sidecar(root, path, name).why_not


def _name_reasons(path: Path, name: BidsName, entities: Mapping[str, str]) -> Iterator[str]:
    parents = [name.subject, *([name.session] if name.session else []), "anat"]
    if list(path.parts[:-1]) != parents:
        yield f"its name says {'/'.join(parents)}, its folder another"
    for key, label in entities.items():
        if _plain(key, name.entities.get(key)) != _plain(key, label):
            yield f"not {key}-{label} (--filter)"
    if "ce" in name.entities:
        yield f"contrast agent ({name.entities['ce']}) changes what tissue looks like"
    if name.entities.get("part", "mag") != "mag":
        yield f"not a magnitude image (part-{name.entities['part']})"
    if name.entities.get("echo", "1").lstrip("0") != "1":
        yield "a later echo of the same scan"


def _plain(key: str, label: str | None) -> str | None:
    """An index without its zeros: run-01 is run-1."""
    return label.lstrip("0") if label is not None and key in INDICES else label


def _sibling_reasons(root: Path, path: Path, beside: list[str]) -> Iterator[str]:
    compressed = path.with_name(f"{path.name}.gz")
    twice = path.suffix == ".nii" and compressed.name in beside
    if twice and why_not_readable(root / compressed) is None:
        yield "the same scan is there as .nii.gz"


def _with_siblings(taken: list[Candidate]) -> list[Candidate]:
    if len(taken) < 2:
        return taken
    note = f"one of {len(taken)} of this session: the best by quality goes into volumes.tsv"
    return [Candidate(c.path, c.name, (*c.notes, note)) for c in taken]
