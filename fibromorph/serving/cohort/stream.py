"""Scans read ahead of the one that is being computed, by threads of the same process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from fibromorph.serving.cohort.tasks import Outcome, ScanTask
from fibromorph.serving.cohort.worker import Read, Worker

NextTask = Callable[[bool], ScanTask | None]
"""Gives the next task, or None: with True it waits for one, and None then means there is none."""


def process_all(worker: Worker, next_task: NextTask, readers: int) -> Iterator[Outcome]:
    """Process tasks in their order; at most `readers` + 1 scans are in memory.

    Args:
        worker: computes, one scan at a time.
        next_task: where tasks come from.
        readers: threads that read; 0 reads between computations.
    """
    with ThreadPoolExecutor(max(readers, 1), "reader") as pool:
        waiting: deque[Future[Read]] = deque()
        while True:
            while len(waiting) < max(readers, 1):
                task = next_task(not waiting)
                if task is None:
                    break
                waiting.append(pool.submit(worker.read, task))
            if not waiting:
                return
            read = waiting.popleft().result()
            if readers and (task := next_task(False)) is not None:
                waiting.append(pool.submit(worker.read, task))
            yield worker.process(read)
