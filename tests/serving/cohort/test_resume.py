"""Runs that are killed, runs beside each other, workers that die: the same files in the end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.serving.cohort.conftest import (
    Finished,
    Run,
    contents,
    lines_of,
    participant_command,
)
from tests.serving.cohort.study import Study

KILLS = 3


def start(study: Study, bundle: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    command = participant_command(study.root, out, bundle, *options)
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def wait_for(out: Path, records: int, seconds: float = 60.0) -> None:
    """Until so many scans are finished."""
    until = time.monotonic() + seconds
    while len(list((out / ".fibromorph").glob("done/*/*.json"))) < records:
        assert time.monotonic() < until, "no scan was finished in time"
        time.sleep(0.02)


def test_killed_three_times_the_files_are_those_of_an_undisturbed_run(
    finished: Finished, participant: Run, study: Study, bundle: Path, tmp_path: Path
) -> None:
    out, rng = tmp_path / "out", random.Random(6)
    for kill in range(KILLS):
        run = start(study, bundle, out, "--workers", "2")
        wait_for(out, 4 * (kill + 1))
        time.sleep(rng.uniform(0, 0.4))
        # Parent and workers at once, as when a machine goes down.
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert participant(out, "--workers", "2").status == 1
    assert contents(out) == contents(finished.out)


def test_a_killed_parent_leaves_no_worker_behind(
    study: Study, bundle: Path, tmp_path: Path
) -> None:
    run = start(study, bundle, tmp_path / "out", "--workers", "2")
    wait_for(tmp_path / "out", 2)
    run.kill()
    run.wait()
    until = time.monotonic() + 30
    while time.monotonic() < until and _group_lives(run.pid):
        time.sleep(0.1)
    assert not _group_lives(run.pid)


def test_terminated_it_gives_its_leases_back(study: Study, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = start(study, bundle, out, "--workers", "2")
    wait_for(out, 2)
    run.terminate()
    assert run.wait(30) == 130
    assert list((out / ".fibromorph" / "leases").iterdir()) == []


def test_two_runs_at_once_share_the_work(
    finished: Finished, study: Study, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    runs = [start(study, bundle, out) for _ in range(2)]
    assert [run.wait(120) for run in runs] == [1, 1]
    assert contents(out) == contents(finished.out)
    assert set(lines_of(out, "finished").values()) <= {0, 1}
    who = [
        line.split("[")[1].split("]")[0]
        for path in (out / "logs").glob("*/*.log")
        for line in path.read_text().splitlines()
        if line.endswith("finished")
    ]
    assert len(set(who)) == 2


def test_a_worker_that_dies_costs_nothing_but_time(
    finished: Finished, study: Study, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = start(study, bundle, out, "--workers", "2")
    wait_for(out, 3)
    victim = _children(run.pid)[-1]
    os.kill(victim, signal.SIGKILL)
    assert run.wait(120) == 1
    assert contents(out) == contents(finished.out)


def _children(pid: int) -> list[int]:
    """Worker processes of a run (its resource tracker is a child too, and the first)."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    found = [int(child) for child in text.split()]
    workers = [c for c in found if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
    if not workers:
        pytest.skip("this system does not tell the children of a process")
    return workers


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
