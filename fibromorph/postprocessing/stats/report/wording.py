"""How a report writes numbers."""

from __future__ import annotations

import math


def p_text(value: object) -> str:
    """`0.012`, `< 0.001` (with a space that does not break), `n/a`."""
    if not isinstance(value, int | float) or math.isnan(value):
        return "n/a"
    return "<\N{NO-BREAK SPACE}0.001" if value < 0.001 else f"{value:.3f}"


def number(value: object, digits: int = 2) -> str:
    """A number with a true minus; n/a for what is not known."""
    if not isinstance(value, int | float) or math.isnan(value):
        return "n/a"
    # Adding 0 turns what rounds to minus nought into nought.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: object, digits: int = 2) -> str:
    """As `number`, with a plus."""
    text = number(value, digits)
    return text if text == "n/a" or text.startswith("\N{MINUS SIGN}") else f"+{text}"
