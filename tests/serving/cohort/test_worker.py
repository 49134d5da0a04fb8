"""One worker in this process, while files and file servers come and go."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from fibromorph.datasets.bids import open_dataset
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.cohort.failures import failed_scans
from fibromorph.serving.cohort.leases import OWNER
from fibromorph.serving.cohort.participant import local_executor, run_participants
from fibromorph.serving.cohort.plan import make_plan
from fibromorph.serving.cohort.recipe import recipe_of
from fibromorph.serving.cohort.tasks import ScanTask
from fibromorph.serving.cohort.worker import Settings, Worker
from tests.serving.cohort.study import Study

STEM = "sub-01_ses-01"


@pytest.fixture
def task(study: Study, tmp_path: Path) -> ScanTask:
    """A good scan, alone in `tmp_path / "bids"`."""
    path = tmp_path / "bids" / study.good[0]
    path.parent.mkdir(parents=True)
    shutil.copy(study.root / study.good[0], path)
    return ScanTask(study.good[0], "sub-01", "ses-01", None, STEM)


@pytest.fixture
def worker(bundle: Path, tmp_path: Path) -> Worker:
    recipe = recipe_of(find_bundle(str(bundle)), "cpu")
    return Worker(Settings(tmp_path / "bids", tmp_path / "out", str(bundle), recipe, threads=1))


def test_a_file_server_that_is_away_for_a_moment_costs_no_finished_scan(
    worker: Worker, task: ScanTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_text = Path.read_text

    def read(path: Path, encoding: str | None = None) -> str:
        # Nobody can tell whose the lease is once the files are staged.
        if path.name == OWNER and worker.store.staging(task).exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_text(path, encoding)

    with monkeypatch.context() as context:
        context.setattr(Path, "read_text", read)
        assert worker.process(worker.read(task)).status == "done"
    assert worker.process(worker.read(task)).status == "present"


def test_a_scan_that_goes_while_it_is_computed_is_finished(
    worker: Worker, task: ScanTask, tmp_path: Path
) -> None:
    scan = tmp_path / "bids" / task.path
    assert worker.process(worker.read(task)).status == "done"
    (worker.store.out / task.files["report"]).unlink()
    again = worker.read(task)
    shutil.copy(scan, worker.store.out / task.files["report"])  # nothing but the scan is missing
    scan.unlink()
    assert worker.process(again).status == "done"


def test_a_scan_that_is_whole_again_is_no_longer_listed_as_failed(
    worker: Worker, task: ScanTask, tmp_path: Path
) -> None:
    scan, store, settings = tmp_path / "bids" / task.path, worker.store, worker.settings
    assert worker.process(worker.read(task)).status == "done"
    content = scan.read_bytes()

    def fail() -> None:
        scan.write_bytes(content[: len(content) // 2])
        assert worker.process(worker.read(task)).status == "failed"
        assert failed_scans(store, settings.bids)
        scan.write_bytes(content)

    fail()
    assert worker.process(worker.read(task)).status == "present"
    assert not failed_scans(store, settings.bids)
    fail()
    plan = make_plan(open_dataset(settings.bids), store, settings.recipe)
    assert plan.count("present") == 1
    assert run_participants(plan, settings, local_executor(settings, 1)) == 0
    assert not failed_scans(store, settings.bids)


def test_another_date_alone_changes_nothing(worker: Worker, task: ScanTask, tmp_path: Path) -> None:
    assert worker.process(worker.read(task)).status == "done"
    os.utime(tmp_path / "bids" / task.path, (0, 0))
    assert worker.process(worker.read(task)).status == "present"


def test_results_of_another_scan_under_the_name_do_not_stay_for_one_that_fails(
    worker: Worker, task: ScanTask, study: Study, tmp_path: Path
) -> None:
    assert worker.process(worker.read(task)).status == "done"
    shutil.copy(study.root / study.bad[1], tmp_path / "bids" / task.path)
    assert worker.process(worker.read(task)).status == "failed"
    assert not worker.store.record(task)
    assert not any((worker.store.out / name).exists() for name in task.files.values())
