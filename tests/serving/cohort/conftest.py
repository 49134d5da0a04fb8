"""A study, a bundle of milliseconds, and one finished run, shared by the tests of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fibromorph.cli import main
from tests.serving.cohort.study import Study, write_study
from tests.serving.stand_in import write_stand_in

SUBJECTS = 14


@dataclass(frozen=True)
class Finished:
    """A run of the command line: where, how it ended, what it said."""

    out: Path
    status: int
    said: str


Run = Callable[..., Finished]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in bundle."""
    return write_stand_in(tmp_path_factory.mktemp("bundle") / "stand-in")


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The messy study."""
    return write_study(tmp_path_factory.mktemp("study") / "bids", SUBJECTS)


@pytest.fixture(scope="session")
def participant(study: Study, bundle: Path) -> Run:
    """Runs the participant stage in a process of its own, as a user would."""

    def run(out: Path, *options: str, bids: Path = study.root) -> Finished:
        command = participant_command(bids, out, bundle, *options)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return Finished(out, done.returncode, done.stdout + done.stderr)

    return run


@pytest.fixture(scope="session")
def finished(participant: Run, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """An undisturbed run over the whole study; tests must not change it."""
    return participant(tmp_path_factory.mktemp("finished") / "out", "--workers", "2")


@pytest.fixture(scope="session")
def gathered(finished: Finished, study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study after its group stage; a damaged scan ends it with 1. Tests must not change it."""
    out = tmp_path_factory.mktemp("group") / "out"
    shutil.copytree(finished.out, out)
    assert main(["bids", str(study.root), str(out), "group"]) == 1
    return out


def participant_command(bids: Path, out: Path, bundle: Path, *options: str) -> list[str]:
    """The command line of a participant stage on the fast bundle, one thread a worker."""
    fixed = ("--model", str(bundle), "--device", "cpu", "--threads", "1")
    call = ("bids", str(bids), str(out), "participant", *fixed, *options)
    return [sys.executable, "-m", "fibromorph.cli", *call]


def contents(out: Path) -> dict[str, bytes]:
    """Every file of OUT_DIR but the logs, which hold what differs from run to run.

    Nor the grave of a lease that a killed process was about to give back: a later run clears it.
    """
    found = {}
    for folder, _, names in os.walk(out):
        for name in names:
            path = Path(folder, name)
            relative = path.relative_to(out)
            buried = any(part.endswith(".buried") for part in relative.parts)
            if relative.parts[0] != "logs" and not buried:
                found[relative.as_posix()] = path.read_bytes()
    return found


def lines_of(out: Path, word: str) -> dict[str, int]:
    """How often the log of every scan has a line that ends in `word`."""
    return {
        path.stem: sum(line.endswith(word) for line in path.read_text().splitlines())
        for path in sorted((out / "logs").glob("*/*.log"))
    }
