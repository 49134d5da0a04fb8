"""Cohorts: what kills, overheads, throughput, memory, and 100 000 scans on paper.

Every part prints the numbers that docs/scale.md quotes; run them one at a time by naming them.
All numbers of one run come from one machine; compare ratios, not machines.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from fibromorph.scans import read_scan
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.cohort.cluster import Cluster
from fibromorph.serving.cohort.group.gather import gather
from fibromorph.serving.cohort.group.run import run_group
from fibromorph.serving.cohort.outputs import stage_outputs
from fibromorph.serving.cohort.participant import Cohort, plan_cohort, run_participants
from fibromorph.serving.cohort.pool import Pool
from fibromorph.serving.cohort.recipe import Recipe, recipe_of
from fibromorph.serving.cohort.store import Store
from fibromorph.serving.cohort.tasks import Outcome, ScanTask, Shard, task_of
from fibromorph.serving.cohort.worker import Read, Settings, Worker
from fibromorph.serving.demo.scan import write_template
from fibromorph.serving.engine import Engine
from fibromorph.serving.outputs.writing import write_outputs
from fibromorph.serving.pipeline import segment_scan
from tests.serving.cohort.conftest import contents, participant_command
from tests.serving.cohort.study import Study, write_study
from tests.serving.stand_in import write_stand_in

KILLS = 3
SIMULATED = 100_000
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--scans", type=int, default=6, help="of throughput, for each worker")
    parser.add_argument("--tasks", type=int, default=SIMULATED, help="of scheduling and planning")
    options = parser.parse_args()
    for name in options.parts or PARTS:
        print(f"-- {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            PARTS[name](Path(folder), options)


def bench_kills(folder: Path, _options: argparse.Namespace) -> None:
    """40 subjects x 2 sessions with all of the mess; killed three times, resumed, compared."""
    study, bundle = fast_study(folder, 40)
    command = participant_command(study.root, folder / "calm", bundle, "--workers", "2")
    seconds, calm = timed(lambda: subprocess.run(command, check=False, capture_output=True))
    say(f"{len(study.good)} good scans, {len(study.bad)} bad, {len(study.left)} left", "")
    say("undisturbed run, 2 workers", f"{seconds:.1f} s, exit {calm.returncode}")
    rng = random.Random(0)
    command[command.index(str(folder / "calm"))] = str(folder / "killed")
    for _ in range(KILLS):
        run = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_s = 4 + rng.uniform(0, seconds / 5)
        time.sleep(wait_s)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        done = len(list(Store(folder / "killed").records()))
        say(f"killed after {wait_s:.1f} s", f"{done} scans finished")
    subprocess.run(command, check=False, capture_output=True)
    same = contents(folder / "calm") == contents(folder / "killed")
    say(
        "files byte-identical to the undisturbed run's",
        f"{same} ({len(contents(folder / 'calm'))})",
    )
    seconds, _ = timed(lambda: subprocess.run(command, check=False, capture_output=True))
    say("another run, which has nothing to do", f"{seconds:.2f} s")
    seconds, _ = timed(lambda: run_group(study.root, folder / "calm", say=lambda _: None))
    say("group stage", f"{seconds:.2f} s")


def bench_overhead(folder: Path, _options: argparse.Namespace) -> None:
    """What leases, records, logs and hashes add to a scan: the same work with and without."""
    study, bundle = fast_study(folder, 20)
    plan, settings = plan_cohort(Cohort(study.root, folder / "out", str(bundle), "cpu", 1))
    worker = Worker(settings)
    tasks = [task for task in plan.todo if task.path in study.good]
    worker.process(worker.read(tasks.pop()))
    bare = with_layer = 0.0
    for task in tasks:
        read = worker.read(task)
        bare += timed(partial(segment_bare, worker, read, folder / "bare"))[0]
        with_layer += timed(partial(worker.process, read))[0]
    count = len(tasks)
    say("segment and write four files", f"{1000 * bare / count:.1f} ms a scan")
    say("the same through the cohort layer", f"{1000 * with_layer / count:.1f} ms a scan")
    say("overhead", f"{1000 * (with_layer - bare) / count:.1f} ms a scan ({count} scans)")


def segment_bare(worker: Worker, read: Read, folder: Path) -> None:
    assert read.scan is not None
    stage_outputs(segment_scan(read.scan, worker.engine), read.task, folder)


def bench_throughput(folder: Path, options: argparse.Namespace) -> None:
    """The shipped bundle: two workers against two bare engines on the same scans, same threads."""
    bids = template_study(folder / "bids", 2 * options.scans)
    scans = sorted(bids.glob("sub-*/anat/*.nii.gz"))
    halves = [scans[::2], scans[1::2]]
    times: dict[str, list[float]] = {"bare": [], "cohort": []}
    cpu = {"bare": 0.0, "cohort": 0.0}
    # In turn, twice: other work on the machine then hits both alike.
    for repeat in range(2):
        out, before = folder / f"out-{repeat}", cpu_seconds()
        times["bare"].append(timed(partial(run_bare, halves, out / "bare"))[0])
        cpu["bare"] += cpu_seconds() - before
        before = cpu_seconds()
        call = ("bids", str(bids), str(out / "cohort"), "participant", "--workers", "2")
        command = [sys.executable, "-m", "fibromorph.cli", *call, "--threads", "1"]
        times["cohort"].append(
            timed(partial(subprocess.run, command, capture_output=True, check=True))[0]
        )
        cpu["cohort"] += cpu_seconds() - before
    say("CPU seconds, bare and cohort", f"{cpu['bare']:.1f} and {cpu['cohort']:.1f}")
    bare, cohort = (min(times[name]) for name in ("bare", "cohort"))
    say("two bare engines", f"{times['bare'][0]:.1f} and {times['bare'][1]:.1f} s")
    say("bids --workers 2", f"{times['cohort'][0]:.1f} and {times['cohort'][1]:.1f} s")
    say("scans an hour, 2 cores", f"{3600 * len(scans) / cohort:.0f}")
    say("throughput, best of two each, loading included", f"{bare / cohort:.1%} of bare")
    sizes = [p.stat().st_size for p in (folder / "out-0" / "cohort").glob("sub-01/**/*")]
    state = [p.stat().st_size for p in (folder / "out-0" / "cohort").glob("[.l]*/*/sub-01/*")]
    say("outputs of a scan at 1 mm", f"{sum(sizes) / 1e3:.0f} kB, record and log {sum(state)} B")


def run_bare(halves: list[list[Path]], out: Path) -> None:
    context = multiprocessing.get_context("spawn")
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    processes = [context.Process(target=bare_loop, args=(scans, out)) for scans in halves]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def bare_loop(scans: list[Path], out: Path) -> None:
    engine = Engine(find_bundle("t1-open"), "auto", 1)
    for scan in scans:
        write_outputs(segment_scan(read_scan(scan), engine), out)


def bench_memory(folder: Path, _options: argparse.Namespace) -> None:
    """Resident memory of a worker over a cohort, after every quarter of it."""
    study, bundle = fast_study(folder, 40)
    plan, settings = plan_cohort(Cohort(study.root, folder / "out", str(bundle), "cpu", 1))
    worker = Worker(settings)
    tasks = [task for task in plan.todo if task.path in study.good]
    marks = {len(tasks) * quarter // 4 for quarter in range(1, 5)}
    # Three times over: the first scans fill caches that stay.
    for lap in range(3):
        for number, task in enumerate(tasks, start=1):
            worker.store.forget(task)
            worker.process(worker.read(task))
            if number in marks:
                say(f"after {lap * len(tasks) + number} scans", f"{resident_mb():.0f} MB")


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def bench_planning(folder: Path, options: argparse.Namespace) -> None:
    """A tree of 100 000 scans on a local disk: found, judged, gathered."""
    count = options.tasks
    sample, bundle = fast_study(folder, 10)
    done, settings = plan_cohort(Cohort(sample.root, folder / "one", str(bundle), "cpu", 1))
    run_participants(done, settings, Pool(settings, 2), lambda _: None)
    bids, out = folder / "many", folder / "out"
    many_scans(bids, count, sample.root / sample.good[0])
    cohort = Cohort(bids, out, str(bundle), "cpu", 1)
    seconds, (plan, _) = timed(lambda: plan_cohort(cohort))
    say(f"plan of {len(plan.todo)} new scans", rate(seconds, count))
    seconds, _ = timed(lambda: plan_cohort(replace(cohort, shard=plan_shard(100))))
    say("plan of shard 1/100", f"{seconds:.2f} s")
    many_records(out, count, Store(folder / "one"), task_like(sample.good[0]), bids)
    seconds, (plan, _) = timed(lambda: plan_cohort(cohort))
    say(f"plan with {plan.count('present')} finished", rate(seconds, count))
    seconds, _ = timed(lambda: gather(Store(out), bids))
    say("gather of the group stage", rate(seconds, count))


def plan_shard(count: int) -> Shard:
    return Shard(1, count)


def bench_scheduling(folder: Path, options: argparse.Namespace) -> None:
    """100 000 tasks of a real task's size that do nothing: what handing them out costs."""
    settings = null_settings(folder)
    tasks = null_tasks(options.tasks)
    for name, executor in (
        ("worker processes (2)", lambda: Pool(settings, 2, NullWorker)),
        ("Dask, 2 workers x 2 threads, loopback", lambda: local_dask(settings)),
    ):
        used = cpu_seconds()
        with executor() as running:
            seconds, count = timed(partial(count_of, running.map, tasks))
        say(name, f"{rate(seconds, count)}, {1000 * (cpu_seconds() - used) / count:.3f} ms of CPU")


class NullWorker(Worker):
    """Accepts tasks and does nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def close(self) -> None:
        pass

    def read(self, task: ScanTask) -> Read:
        return Read(task)

    def process(self, read: Read) -> Outcome:
        return Outcome(read.task, "done")


def null_work(_settings: Settings, task: ScanTask) -> Outcome:
    return Outcome(task, "done")


def local_dask(settings: Settings) -> Cluster:
    from distributed import LocalCluster

    # Workers as threads: what is measured is the scheduler and the way there and back.
    cluster = LocalCluster(
        n_workers=2,
        threads_per_worker=2,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=":0",
    )
    return Cluster(settings, cluster.scheduler_address, work=null_work)


def null_settings(folder: Path) -> Settings:
    recipe = recipe_of(find_bundle("t1-open"), "cpu")
    return Settings(folder, folder, "t1-open", recipe, threads=1)


def null_tasks(count: int) -> list[ScanTask]:
    return [
        task_like(f"sub-{n:06d}/ses-01/anat/sub-{n:06d}_ses-01_T1w.nii.gz") for n in range(count)
    ]


def task_like(path: str) -> ScanTask:
    from fibromorph.datasets.bids import parse_name

    name = parse_name(Path(path).name)
    assert name is not None
    return task_of(Path(path), name)


def fast_study(folder: Path, subjects: int) -> tuple[Study, Path]:
    """The messy study and the bundle of milliseconds."""
    study = write_study(folder / "bids", subjects)
    return study, write_stand_in(folder / "stand-in")


def template_study(root: Path, scans: int) -> Path:
    """A BIDS tree of the template, once a subject."""
    root.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    write_template(root / "template.nii.gz")
    for number in range(1, scans + 1):
        path = root / f"sub-{number:02d}" / "anat" / f"sub-{number:02d}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        shutil.copy(root / "template.nii.gz", path)
    return root


def many_scans(root: Path, count: int, like: Path) -> None:
    """`count` scans of two sessions each, hard links to one real file."""
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    for number in range(count // 2):
        for session in ("01", "02"):
            stem = f"sub-{number:06d}_ses-{session}"
            anat = root / f"sub-{number:06d}" / f"ses-{session}" / "anat"
            anat.mkdir(parents=True)
            target = anat / f"{stem}_T1w.nii.gz"
            source = like if number % 5000 else root / f"copy-{number}-{session}"
            if source != like:  # file systems bound the number of links to a file
                shutil.copy2(like, source)
                like = source
            os.link(like, target)


def many_records(out: Path, count: int, sample: Store, done: ScanTask, bids: Path) -> None:
    """Records and outputs as if all scans were finished: those of one scan under other names."""
    store, record = Store(out), sample.record(done)
    for number in range(count // 2):
        for session in ("01", "02"):
            stem = f"sub-{number:06d}_ses-{session}"
            task = task_like(f"sub-{number:06d}/ses-{session}/anat/{stem}_T1w.nii.gz")
            (out / task.folder).mkdir(parents=True)
            for what, path in task.files.items():
                if what in ("volumes", "sidecar"):
                    shutil.copy(sample.out / done.files[what], out / path)
                else:
                    (out / path).touch()
            stat = (bids / task.path).stat()
            scan = {**record["scan"], "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
            recipe = recipe_from(record["recipe"])
            store.write_record(
                task, recipe, scan, {}, {p.as_posix(): "" for p in task.files.values()}
            )


def recipe_from(content: dict[str, str]) -> Recipe:
    return Recipe(**content)


def count_of(
    hand_out: Callable[[Sequence[ScanTask]], Iterable[object]], tasks: Sequence[ScanTask]
) -> int:
    return sum(1 for _ in hand_out(tasks))


def timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def cpu_seconds() -> float:
    """Of this process and of its children that have ended: what other load does not change."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def rate(seconds: float, count: int) -> str:
    return f"{seconds:.1f} s, {1000 * seconds / count:.3f} ms a scan"


def say(what: str, value: str) -> None:
    print(f"{what:<52} {value}", flush=True)


PARTS = {
    "kills": bench_kills,
    "overhead": bench_overhead,
    "memory": bench_memory,
    "scheduling": bench_scheduling,
    "planning": bench_planning,
    "throughput": bench_throughput,
}


if __name__ == "__main__":
    main()
