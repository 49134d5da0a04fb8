"""What `power` prints: a study planned with a bundle's own noise."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import pandas as pd

from fibromorph.datasets.cohort.norms import NORMS, OTHERS
from fibromorph.errors import ConfigError
from fibromorph.files import require_folder, write_whole
from fibromorph.labels import CORTEX
from fibromorph.manifest import LabelEntry, Manifest
from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.stats.people.responsive import BLIND
from fibromorph.postprocessing.stats.power import (
    Plan,
    RegionSpread,
    plan_for_effect,
    plan_for_people,
)
from fibromorph.postprocessing.stats.results import to_tsv
from fibromorph.serving.bundles import find_bundle

UNKNOWN_NOISE = "the noise of {} of these regions is not in the bundle and was taken as none"
THICKNESS_CV = 0.05
"""Spread of a region's thickness between people of one age and sex where it was not measured."""


@dataclass(frozen=True)
class _Region:
    """What a bundle knows of a region, by one measure, as shares of its mean.

    Attributes:
        name: of the region.
        between: spread between people.
        told: where that is from: 'norms', the bundle's 'evaluation', or 'assumed'.
        error: of one scan; None = not known.
        share: of a change of it alone, that is seen.
    """

    name: str
    between: float
    told: Literal["norms", "evaluation", "assumed"]
    error: float | None
    share: float

    def spread(self, *, alone: bool) -> RegionSpread:
        return RegionSpread(self.name, self.between, self.error, self.share if alone else 1.0)


def plan_study(options: argparse.Namespace) -> str:
    """The table as text, with what it rests on; written to `--out` as well.

    Raises:
        ConfigError: an option out of its range, no such region, a bundle that does not know the
            error of thickness, or a folder that cannot be written to.
        BundleError: see `find_bundle`.
    """
    if options.out is not None:
        require_folder(options.out.parent)
    manifest = find_bundle(options.model).manifest
    known = _of_thickness(manifest) if options.measure == "thickness" else _of_volume(manifest)
    regions = _chosen(known, options.regions)
    blind = [r.name for r in regions if options.alone and r.share < BLIND]
    seen = [region for region in regions if region.name not in blind]
    if not seen:
        rule = f"{_many(options.measure)} must show something of the effect"
        raise ConfigError(rule, value=blind, subject="--alone")
    _require_positive(options)
    plan = Plan(
        alpha=options.alpha,
        power=options.power,
        tests=len(seen),
        covariates=options.covariates,
        ratio=options.ratio,
        question="change" if options.change else "groups",
        change_sd=options.change_sd / 100,
    )
    spreads = [region.spread(alone=options.alone) for region in seen]
    if options.n:
        table = plan_for_people(spreads, plan, *options.n)
    else:
        table = plan_for_effect(spreads, plan, d=options.d, percent=options.percent or 0.0)
    if options.out is not None:
        write_whole(options.out, to_tsv(table))
    basis = _basis(plan, seen, manifest.name, options.measure)
    return f"{_text(table)}\n\n{basis}{_left_out(blind, options.measure)}"


def _of_volume(manifest: Manifest) -> list[tuple[_Region, bool]]:
    """Regions, and whether one is taken that nobody has named."""
    return [(_volume(entry), entry.tissue == "grey") for entry in manifest.labels]


def _volume(entry: LabelEntry) -> _Region:
    norm = NORMS.get(entry.name.removeprefix("Left-").removeprefix("Right-"))
    share = 1.0 if entry.responsiveness is None else entry.responsiveness
    if norm is not None:
        return _Region(entry.name, norm.cv, "norms", entry.relative_sd, share)
    if entry.people_sd is not None:
        return _Region(entry.name, entry.people_sd, "evaluation", entry.relative_sd, share)
    return _Region(entry.name, OTHERS.cv, "assumed", entry.relative_sd, share)


def _of_thickness(manifest: Manifest) -> list[tuple[_Region, bool]]:
    """As `_of_volume`; hemispheres and their mean, where the cortex is drawn in regions, if named.

    Raises:
        ConfigError: the bundle does not know its error.
    """
    known = manifest.thickness
    if known is None or not known.relative_sd:
        rule = "the error of thickness must be known of the bundle (`fibromorph reliability`)"
        raise ConfigError(rule, value=manifest.name, subject="--measure")
    parts = {label.name for label in manifest.table if label.parent == CORTEX}
    found = []
    for name, error in known.relative_sd.items():
        people = known.people_sd.get(name)
        share = known.responsiveness[name].mean if name in known.responsiveness else 1.0
        told: Literal["evaluation", "assumed"] = "assumed" if people is None else "evaluation"
        between = THICKNESS_CV if people is None else people
        found.append((_Region(name, between, told, error, share), name in parts or not parts))
    return found


def _chosen(known: Sequence[tuple[_Region, bool]], patterns: Sequence[str] | None) -> list[_Region]:
    if not patterns:
        return [region for region, by_default in known if by_default]
    regions = [region for region, _ in known]
    for pattern in patterns:
        if not any(_called(region, pattern) for region in regions):
            names = ", ".join(region.name for region in regions)
            rule = f"a region must be in the bundle ({names})"
            raise ConfigError(rule, value=pattern, subject="--regions")
    return [r for r in regions if any(_called(r, pattern) for pattern in patterns)]


def _called(region: _Region, pattern: str) -> bool:
    """By its name or as tables print it."""
    return fnmatchcase(region.name, pattern) or fnmatchcase(plain_name(region.name), pattern)


def _many(measure: str) -> str:
    return "volumes" if measure == "volume" else "thickness values"


def _left_out(blind: Sequence[str], measure: str) -> str:
    if not blind:
        return ""
    names = ", ".join(plain_name(name) for name in blind)
    return f"\nLeft out, as the {_many(measure)} hardly show it when they differ alone: {names}."


def _require_positive(options: argparse.Namespace) -> None:
    for name in ("percent", "d", "change_sd"):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError("must be above 0, and finite", value=value, subject=option)


def _text(table: pd.DataFrame) -> str:
    shown = table.assign(region=[plain_name(name) for name in table["region"]])
    return shown.to_string(index=False, float_format=lambda value: f"{value:.2f}")


def _spread_text(plan: Plan, regions: Sequence[_Region], measure: str) -> str:
    if plan.question == "change":
        return (
            f"Spread of people's true change: assumed, {100 * plan.change_sd:g} % of the mean"
            " (--change-sd)."
        )
    count = Counter(region.told for region in regions)
    sources = []
    if measure == "volume":
        sources.append("typical of healthy adults once head size, age and sex are known")
    if count["evaluation"]:
        what = f"of {count['evaluation']} of these regions that of the {_many(measure)}"
        sources.append(f"{what} of the bundle's evaluation")
    if count["assumed"]:
        assumed = OTHERS.cv if measure == "volume" else THICKNESS_CV
        sources.append(
            f"of {count['assumed']} of these regions it is not known, and assumed to be"
            f" {100 * assumed:g} %: what sets them apart here is the tool's error alone"
        )
    return f"Spread between people: {'; '.join(sources)}."


def _basis(plan: Plan, regions: Sequence[_Region], model: str, measure: str) -> str:
    unknown = sum(region.error is None for region in regions)
    what = "change between two scans of two arms" if plan.question == "change" else "two groups"
    of = "" if measure == "volume" else " of the cortex's thickness"
    lines = [
        f"{what}; alpha {plan.alpha:g} two-sided, power {plan.power:g}, {plan.covariates}"
        f" covariates; _family: alpha / {plan.tests} (Bonferroni).",
        f"Error of one scan{of}: bundle {model}. {_spread_text(plan, regions, measure)}",
    ]
    if unknown:
        lines.append(f"Note: {UNKNOWN_NOISE.format(unknown)}.")
    return "\n".join(lines)
