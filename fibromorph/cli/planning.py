"""What `power` prints: a study planned with a bundle's own noise."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

import pandas as pd

from fibromorph.datasets.cohort.norms import NORMS, OTHERS, Norm
from fibromorph.errors import ConfigError
from fibromorph.files import write_whole
from fibromorph.manifest import LabelEntry
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


def plan_study(options: argparse.Namespace) -> str:
    """The table as text, with what it rests on; written to `--out` as well.

    Raises:
        ConfigError: an option out of its range, or no such region.
        BundleError: see `find_bundle`.
    """
    manifest = find_bundle(options.model).manifest
    entries = _chosen(manifest.labels, options.regions)
    blind = [e.name for e in entries if options.alone and _share(e) < BLIND]
    spreads = [_spread(entry, options.alone) for entry in entries if entry.name not in blind]
    if not spreads:
        raise ConfigError(
            "volumes must show something of the effect", value=blind, subject="--alone"
        )
    _require_positive(options)
    plan = Plan(
        alpha=options.alpha,
        power=options.power,
        tests=len(spreads),
        covariates=options.covariates,
        ratio=options.ratio,
        question="change" if options.change else "groups",
        change_sd=options.change_sd / 100,
    )
    if options.n:
        table = plan_for_people(spreads, plan, *options.n)
    else:
        table = plan_for_effect(spreads, plan, d=options.d, percent=options.percent or 0.0)
    if options.out is not None:
        write_whole(options.out, to_tsv(table))
    known = {entry.name for entry in entries if entry.people_sd is not None}
    return f"{_text(table)}\n\n{_basis(plan, spreads, manifest.name, known)}{_left_out(blind)}"


def _chosen(entries: Sequence[LabelEntry], patterns: Sequence[str] | None) -> list[LabelEntry]:
    if not patterns:
        return [entry for entry in entries if entry.tissue == "grey"]
    for pattern in patterns:
        if not any(fnmatchcase(entry.name, pattern) for entry in entries):
            raise ConfigError("a region must be in the bundle", value=pattern, subject="--regions")
    return [e for e in entries if any(fnmatchcase(e.name, pattern) for pattern in patterns)]


def _spread(entry: LabelEntry, alone: bool) -> RegionSpread:
    share, norm = _share(entry) if alone else 1.0, _norm_of(entry.name)
    between = norm.cv if norm else entry.people_sd or OTHERS.cv
    return RegionSpread(entry.name, between, entry.relative_sd, share)


def _share(entry: LabelEntry) -> float:
    return 1.0 if entry.responsiveness is None else entry.responsiveness


def _left_out(blind: Sequence[str]) -> str:
    if not blind:
        return ""
    names = ", ".join(plain_name(name) for name in blind)
    return f"\nLeft out, as the volumes hardly show it when they differ alone: {names}."


def _require_positive(options: argparse.Namespace) -> None:
    for name in ("percent", "d", "change_sd"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError("must be above 0", value=value, subject=option)


def _text(table: pd.DataFrame) -> str:
    shown = table.assign(region=[plain_name(name) for name in table["region"]])
    return shown.to_string(index=False, float_format=lambda value: f"{value:.2f}")


def _spread_text(plan: Plan, spreads: Sequence[RegionSpread], evaluated: Collection[str]) -> str:
    if plan.question == "change":
        return (
            f"Spread of people's true change: assumed, {100 * plan.change_sd:g} % of the mean"
            " (--change-sd)."
        )
    others = [spread.region for spread in spreads if _norm_of(spread.region) is None]
    found = sum(region in evaluated for region in others)
    lines = [
        "Spread between people: typical of healthy adults once head size, age and sex are known"
    ]
    if found:
        lines.append(f"of {found} of these regions that of the volumes of the bundle's evaluation")
    if found < len(others):
        lines.append(
            f"of {len(others) - found} of these regions it is not known, and assumed to be"
            f" {100 * OTHERS.cv:g} %: what sets them apart here is the tool's error alone"
        )
    return f"{'; '.join(lines)}."


def _norm_of(region: str) -> Norm | None:
    return NORMS.get(region.removeprefix("Left-").removeprefix("Right-"))


def _basis(
    plan: Plan, spreads: Sequence[RegionSpread], model: str, evaluated: Collection[str]
) -> str:
    unknown = sum(spread.error is None for spread in spreads)
    what = "change between two scans of two arms" if plan.question == "change" else "two groups"
    lines = [
        f"{what}; alpha {plan.alpha:g} two-sided, power {plan.power:g}, {plan.covariates}"
        f" covariates; _family: alpha / {plan.tests} (Bonferroni).",
        f"Error of one scan: bundle {model}. {_spread_text(plan, spreads, evaluated)}",
    ]
    if unknown:
        lines.append(f"Note: {UNKNOWN_NOISE.format(unknown)}.")
    return "\n".join(lines)
