"""What the summary has to say against its own results, in words that a reviewer would accept."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from fibromorph.postprocessing.names import listed, plain_name
from fibromorph.postprocessing.stats.designs.contract import score_in_prose
from fibromorph.postprocessing.stats.people.responsive import BLIND
from fibromorph.postprocessing.stats.results import Results
from fibromorph.postprocessing.stats.tables.measure import THICKNESS

LARGE_EFFECT = 0.8
LOW_RELIABILITY = 0.7
WEAK_SHARE = 0.8


def limits(results: Results) -> list[str]:
    """Sentences, the gravest first."""
    parts = [
        _size(results),
        _undecided(results),
        _one_sided(results),
        _cross_sectional(results),
        *(c.sentence for c in results.collinear),
        _sites(results),
        _fragile(results),
        _influential(results),
        _slopes(results),
        _error(results),
        _shares(results),
        *(s.reason for s in results.scopes if s.reason),
        _few_slopes(results),
        *(results.score_change.notes if results.score_change else ()),
        *results.change_notes,
        *results.notes,
        "For research only; no result here is a diagnosis or bears on one person's treatment.",
    ]
    return [part for part in parts if part]


def _few_slopes(results: Results) -> str:
    """Scores that few people carry: what supposes alike spread and what does not part there."""
    few = [
        f"{score_in_prose(scope.name)} in {' and '.join(scope.few)}"
        for scope in results.scopes
        if scope.few
    ]
    if not few:
        return ""
    return (
        f"Few people carry the slopes of {', '.join(few)}: p and the interval of r suppose the same"
        " spread at every score and may disagree there with p_permutation and p_fwe, which do not."
    )


def _size(results: Results) -> str:
    table, inference = results.groups, results.design.inference
    single, family = float(table["mdes"].median()), float(table["mdes_family"].median())
    ill, well = int(table["n_patients"].max()), int(table["n_controls"].max())
    text = (
        f"With {ill} patients and {well} controls, a single test finds d = {single:.2f} with"
        f" {100 * inference.power:.0f} % power, and d = {family:.2f} once corrected over its family"
        " (Bonferroni)."
    )
    if single > LARGE_EFFECT:
        text += (
            " Only large effects can be found: a region that is not significant is not shown to be"
            " normal, and a significant one is likely to be overestimated."
        )
    return text


def _undecided(results: Results) -> str:
    counts = results.groups["conclusion"].value_counts()
    undecided, equivalent = int(counts.get("undecided", 0)), int(counts.get("equivalent", 0))
    smallest = results.design.smallest_effect
    unit = "d = {:g}" if smallest.unit == "d" else "{:g} %"
    regions, are = "region" + "s" * (len(results.groups) > 1), "is" if undecided == 1 else "are"
    return (
        f"{undecided} of {len(results.groups)} {regions} {are} undecided: neither a difference nor"
        f" its absence is shown. {equivalent} {'is' if equivalent == 1 else 'are'} equivalent"
        f" within {unit.format(smallest.value)}."
    )


def _one_sided(results: Results) -> str:
    """Regions that were found on one side, where that is no difference between the sides."""
    if results.asymmetry is None:
        return ""
    alpha, found = results.design.inference.alpha, results.groups["p_fwe"]
    alike = results.asymmetry[results.asymmetry["p_fwe"] > alpha]
    alone = [
        plain_name(region)
        for pair in zip(alike["left"], alike["right"], strict=True)
        for region, other in permutations(pair)
        if found[region] <= alpha < found[other]
    ]
    if not alone:
        return ""
    return (
        f"{listed(alone)}: found on one side, but not shown to differ there otherwise than on the"
        " other (asymmetry.tsv)."
    )


def _cross_sectional(results: Results) -> str:
    """What a study without arms that were compared does not answer."""
    if results.change is None:
        return (
            "The design is cross-sectional: it cannot tell cause from consequence, nor whether a"
            " difference would go away with therapy."
        )
    if results.whole.arm is None:
        return (
            "No arms were compared: the study cannot tell whether a difference would go away with"
            " therapy."
        )
    return ""


def _sites(results: Results) -> str:
    site = results.study.site
    if site is None or site.nunique() < 2:
        return "All scans come from one site as far as the design says: other scanners may differ."
    if results.design.site.method == "none":
        return (
            f"Scans come from {site.nunique()} sites, and nothing was done about it (site.method:"
            " none): scanners may pass for groups."
        )
    return ""


def _fragile(results: Results) -> str:
    """Findings that other reasonable choices do not share."""
    table = results.sensitivity.groupby("region")["share_significant"].first()
    found = results.groups.index[results.groups["conclusion"].str.match("lower|higher")]
    weak = [r for r in found if table[r] < WEAK_SHARE]
    if not weak:
        return ""
    names = listed(
        [f"{plain_name(str(r))} ({100 * table[r]:.0f} %)" for r in weak],
        " (share_significant in sensitivity.tsv)",
    )
    return (
        f"These differences depend on the analyst's choices; p is below the level, before"
        f" correction, in this share of reasonable analyses: {names}."
    )


def _influential(results: Results) -> str:
    """Findings whose sign or size rests on one person."""
    found = results.groups.index[results.groups["conclusion"].str.match("lower|higher")]
    rests = []
    for region in found:
        row, g = results.assumptions.loc[region], float(results.groups["hedges_g"][region])
        moved = max(abs(row["g_without_low"] - g), abs(row["g_without_high"] - g))
        if moved > 0.25 * abs(g):
            rests.append(f"{plain_name(str(region))} ({row['g_moved_by']})")
    where = " (g_moved_by in assumptions.tsv)"
    return f"One person moves g by more than a quarter in {listed(rests, where)}." if rests else ""


def _slopes(results: Results) -> str:
    columns = [c for c in results.assumptions.columns if c.startswith("p_slope_")]
    p = results.assumptions[columns]
    count = len(p) * max(len(columns), 1)
    unequal = p.index[(p < results.design.inference.alpha / count).any(axis=1)]
    if not len(unequal):
        return ""
    names = listed([plain_name(str(r)) for r in unequal])
    return (
        f"Slopes on a covariate differ between groups in {names}: one adjusted difference does not"
        " describe these regions; see assumptions.tsv."
    )


def _error(results: Results) -> str:
    many = results.study.measure.many
    if "reliability" not in results.groups:
        return f"The error of the {many} is not known: it dilutes effects by an unknown amount."
    reliability = results.groups["reliability"]
    low = reliability.index[reliability < LOW_RELIABILITY]
    text = f"Median reliability of the {many} is {float(np.nanmedian(reliability)):.2f}."
    if len(low):
        names = listed([plain_name(str(r)) for r in low], " (reliability in group_comparison.tsv)")
        text += (
            f" It is below {LOW_RELIABILITY} in {names}: standardised effects there look smaller"
            " than they are."
        )
    return text


def _shares(results: Results) -> str:
    """What is seen of a region that differs alone."""
    if "responsiveness" not in results.groups:
        return ""
    shares = results.groups["responsiveness"].dropna()
    blind = [plain_name(str(region)) for region in shares.index[shares < BLIND]]
    measure, seen = results.study.measure, f"{100 * float(shares.median()):.0f} %"
    told = "(median over regions, measured on a few heads)"
    if measure is THICKNESS:
        text = (
            f"Of a thinner cortex these {measure.many} show {seen} {told}; the column for a region"
            " that differs alone says what a difference would be if all of it were seen, and is no"
            " surer than these shares."
        )
    else:
        text = (
            f"Where a region differs but its neighbours do not, these {measure.many} show {seen} of"
            f" it {told}. What is measured is then too small; the column for a region that differs"
            " alone says by how much, and is no surer than these shares."
        )
    if blind:
        text += (
            f" They are all but blind to {listed(blind)} alone: finding no difference there does"
            " not show that there is none."
        )
    return text
