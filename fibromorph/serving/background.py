"""One piece of work beside the others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def begun(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """What `work` will return; it runs in a thread of its own, which then ends."""
    thread = ThreadPoolExecutor(1)
    future = thread.submit(work, *args, **kwargs)
    thread.shutdown(wait=False)
    return future
