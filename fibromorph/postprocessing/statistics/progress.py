"""Progress bars of long loops: shown on a terminal only."""

from __future__ import annotations

from collections.abc import Iterator

from tqdm import tqdm


def steps(total: int, chunk: int, title: str) -> Iterator[int]:
    """Sizes of chunks that sum to `total`, with a progress bar named `title` (none if empty)."""
    with tqdm(total=total, desc=title, disable=None if title else True, leave=False) as bar:
        for start in range(0, total, chunk):
            size = min(chunk, total - start)
            yield size
            bar.update(size)
