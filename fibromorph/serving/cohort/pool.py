"""Worker processes on one machine: each loads the model once and reads its next scan ahead.

A pipe a worker, not a shared queue: the parent then knows what a worker that was killed was doing,
and the locks of a queue cannot die with one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType

from fibromorph.errors import FibromorphError
from fibromorph.serving.cohort.stream import NextTask, process_all
from fibromorph.serving.cohort.tasks import Outcome, ScanTask
from fibromorph.serving.cohort.worker import Settings, Worker
from fibromorph.serving.devices import available_cpus

ATTEMPTS = 2
"""A scan whose worker was killed is tried once more: the kernel may have been short of memory."""

BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1 in workers, as Dask does: theirs are the engine's threads, and sums do not depend on
how many cores a machine has."""

MakeWorker = Callable[[Settings], Worker]


@dataclass(eq=False)
class _Member:
    """One worker process and the tasks it has, the one it computes first."""

    process: SpawnProcess
    pipe: Connection
    tasks: deque[ScanTask] = field(default_factory=deque)


class Pool:
    """`workers` processes.

    Args:
        settings: of every worker; `threads` 0 divides the CPUs among them.
        workers: 1 or more.
        make_worker: called once in every process.
    """

    def __init__(self, settings: Settings, workers: int, make_worker: MakeWorker = Worker) -> None:
        threads = settings.threads or max(1, available_cpus() // workers)
        self.settings = replace(settings, threads=threads)
        self.workers = workers
        self._make_worker = make_worker
        self._members: list[_Member] = []
        self._attempts: dict[ScanTask, int] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for member in self._members:
            if error is None:
                _send(member, None)
            else:
                member.process.terminate()
        for member in self._members:
            member.process.join()
            member.pipe.close()
        self._members.clear()

    def map(self, tasks: Sequence[ScanTask]) -> Iterator[Outcome]:
        """Outcomes in the order in which they come.

        Raises:
            FibromorphError: a worker could not load the model.
        """
        todo = deque(tasks)
        remaining = len(todo)
        while remaining:
            self._hand_out(todo)
            pipes = [member.pipe for member in self._members]
            for pipe in wait(pipes):
                member = next(m for m in self._members if m.pipe is pipe)
                for outcome in self._hear(member, todo):
                    remaining -= 1
                    yield outcome

    def _hand_out(self, todo: deque[ScanTask]) -> None:
        """Give every worker one task to compute and one for each of its readers."""
        wanted = min(self.workers, len(todo) + sum(bool(m.tasks) for m in self._members))
        while len(self._members) < wanted:
            self._members.append(_start(self.settings, self._make_worker))
        for depth in range(1 + self.settings.readers):
            for member in self._members:
                if todo and len(member.tasks) <= depth:
                    task = todo.popleft()
                    member.tasks.append(task)
                    _send(member, task)

    def _hear(self, member: _Member, todo: deque[ScanTask]) -> Iterator[Outcome]:
        try:
            message = member.pipe.recv()
        except (EOFError, OSError):
            yield from self._bury(member, todo)
            return
        if isinstance(message, FibromorphError):
            raise message
        member.tasks.remove(message.task)
        yield message

    def _bury(self, member: _Member, todo: deque[ScanTask]) -> Iterator[Outcome]:
        """A worker is gone: its tasks go back; the one it computed has one more attempt."""
        member.process.join()
        self._members.remove(member)
        member.pipe.close()
        if not member.tasks:
            return
        victim = member.tasks.popleft()
        todo.extendleft(reversed(member.tasks))
        self._attempts[victim] = self._attempts.get(victim, 1) + 1
        if self._attempts[victim] > ATTEMPTS:
            yield Outcome(victim, "failed", "worker", _end_of(member.process))
        else:
            todo.append(victim)


def _start(settings: Settings, make_worker: MakeWorker) -> _Member:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_main, args=(settings, make_worker, there), daemon=True)
    with _environment(dict.fromkeys(BLAS_THREADS, "1")):
        process.start()
    there.close()
    return _Member(process, here)


def _send(member: _Member, task: ScanTask | None) -> None:
    try:
        member.pipe.send(task)
    except OSError:
        return  # it is dead: `_hear` finds out, and knows what it had


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables for a process that is started meanwhile; this one gets its own back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _main(settings: Settings, make_worker: MakeWorker, pipe: Connection) -> None:
    # Ctrl-C goes to the whole group: the parent decides, and ends its workers by SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    try:
        worker = make_worker(settings)
    except FibromorphError as error:
        pipe.send(error)
        return
    try:
        for outcome in process_all(worker, _from_pipe(pipe), settings.readers):
            pipe.send(outcome)
    finally:
        worker.close()


def _stop(_signal: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the way out is not disturbed again
    raise SystemExit(128 + signal.SIGTERM)


def _from_pipe(pipe: Connection) -> NextTask:
    ended = False

    def next_task(wait_for_one: bool) -> ScanTask | None:
        nonlocal ended
        if ended or not (wait_for_one or pipe.poll()):
            return None
        try:
            task: ScanTask | None = pipe.recv()
        except (EOFError, OSError):  # the parent is gone
            task = None
        ended = task is None
        return task

    return next_task


def _end_of(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    if code >= 0:
        return f"its worker ended with status {code}"
    hint = ": out of memory?" if -code == signal.SIGKILL else ""
    return f"its worker was killed by {signal.Signals(-code).name}{hint}"
