"""How a report writes numbers."""

from __future__ import annotations

import math


def p_text(value: object) -> str:
    """`0.012`, `< 0.001`, `n/a`."""
    if not isinstance(value, int | float) or math.isnan(value):
        return "n/a"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
