"""How far long work is: a live line on a terminal, a line now and then where a log is kept."""

from __future__ import annotations

import io
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    Bar = tqdm[Any]
else:
    Bar = tqdm

SECONDS_BETWEEN_LINES = 60.0
LINE = "{desc}{n_fmt} of {total_fmt} {unit} done{postfix}, {remaining} to go"


def bar(total: int, unit: str, title: str = "", *, shown: bool = True, leave: bool = True) -> Bar:
    """A bar that is told of every piece of work by `update`.

    Args:
        total: pieces.
        unit: what they are, in the plural.
        title: of the work.
        shown: False: nothing is.
        leave: the terminal's line stays when all is done.
    """
    disable = not shown or not total
    if not sys.stderr.isatty():
        title = f"{title}: " if title else ""
        return _Lines(total, unit=unit, desc=title, disable=disable, leave=leave)
    return tqdm(total=total, unit=f" {unit}", desc=title or None, disable=disable, leave=leave)


class _Lines(Bar):
    """Writes no control characters, and no more than a line a minute: a log is read later."""

    def __init__(self, total: int, **settings: Any) -> None:
        self._told, self._pieces = monotonic(), total
        super().__init__(total=total, **settings, file=io.StringIO(), bar_format=LINE)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:  # noqa: ARG002
        """Called whenever a terminal's line would be drawn anew."""
        if self._goes_on and monotonic() - self._told > SECONDS_BETWEEN_LINES:
            self._told = monotonic()
            print(str(self), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Work that stays on a terminal says where it was left."""
        if self.leave and not self.disable and self.n and self._goes_on:
            print(str(self), file=sys.stderr, flush=True)
        super().close()

    @property
    def _goes_on(self) -> bool:
        return (self.n or 0) < self._pieces
