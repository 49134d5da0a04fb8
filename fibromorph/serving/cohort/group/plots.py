"""Strips of the quality page: where all scans lie, with a linked dot for each that stands out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from fibromorph.serving.cohort.group.gather import Values

WIDTH, HEIGHT = 460, 30
BINS = 48
LIMIT_SHOWN = 6.0
MOST_DOTS = 60


@dataclass(frozen=True)
class Dot:
    """One scan on a strip: where, what a pointer that rests on it reads, where a click leads."""

    z: float
    title: str
    link: str
    bad: bool


def strip(z: Values, dots: Iterable[Dot], marks: Iterable[float]) -> Markup:
    """Density of `z` with dots on it.

    Args:
        z: (n,) robust z, NaN left out.
        dots: the first `MOST_DOTS` are drawn; those beyond the strip sit on its edge.
        marks: z of thin lines.
    """
    lines = Markup("").join(
        Markup('<path class="mark" d="M{:.1f} 2V{}"/>').format(_x(z), HEIGHT - 2) for z in marks
    )
    middle = Markup('<path class="zero" d="M{} 2V{}"/>').format(WIDTH / 2, HEIGHT - 2)
    drawn = Markup("").join(_dot(dot) for dot in list(dots)[:MOST_DOTS])
    head = '<svg viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="distribution">'
    opened = Markup(head).format(WIDTH, HEIGHT, WIDTH, HEIGHT)
    return opened + lines + middle + _density(z) + drawn + Markup("</svg>")


def _density(z: Values) -> Markup:
    known = z[np.isfinite(z)].clip(-LIMIT_SHOWN, LIMIT_SHOWN)
    counts, edges = np.histogram(known, BINS, (-LIMIT_SHOWN, LIMIT_SHOWN))
    top = max(int(counts.max(initial=0)), 1)
    steps = [f"M{_x(edges[0]):.1f} {HEIGHT - 2}"]
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        # Square roots keep the few far scans visible beside the many in the middle.
        y = HEIGHT - 2 - (HEIGHT - 8) * float(np.sqrt(count / top))
        steps.append(f"L{_x(left):.1f} {y:.1f}L{_x(right):.1f} {y:.1f}")
    steps.append(f"L{_x(edges[-1]):.1f} {HEIGHT - 2}Z")
    return Markup('<path class="density" d="{}"/>').format("".join(steps))


def _dot(dot: Dot) -> Markup:
    shape = Markup(
        '<a href="{}" target="_blank"><circle class="{}" cx="{:.1f}" cy="{}" r="4.2">'
        "<title>{}</title></circle></a>"
    )
    kind = "dot bad" if dot.bad else "dot"
    return shape.format(dot.link, kind, _x(dot.z), HEIGHT - 9, dot.title)


def _x(z: float) -> float:
    return WIDTH / 2 + (WIDTH / 2 - 6) * float(np.clip(z / LIMIT_SHOWN, -1, 1))
