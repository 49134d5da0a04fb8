"""The same contrast under every other reasonable choice: the specification curve.

Steegen et al. 2016 (Perspect Psychol Sci 11:702-712); Simonsohn et al. 2020 (Nat Hum Behav 4:1208).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.designs.demographics import is_age, is_sex
from fibromorph.postprocessing.stats.designs.sections import EtivMethod
from fibromorph.postprocessing.stats.groups.assumptions import INFLUENTIAL, cooks_distance
from fibromorph.postprocessing.stats.groups.model import GroupModel, build_model
from fibromorph.postprocessing.stats.models.effects import small_sample_factor
from fibromorph.postprocessing.stats.models.linear import Bools, fit, independent, patterns
from fibromorph.postprocessing.stats.models.measured import fit_weighted, sd_as_fitted
from fibromorph.postprocessing.stats.people.sites import harmonised
from fibromorph.postprocessing.stats.people.study import SMALLEST_DF, Study
from fibromorph.postprocessing.stats.tables.measure import BrainMeasure

AS_DESIGNED = "as designed"
UNINFLUENTIAL = "without influential"
OLS = "least squares"
FEWEST = 2
"""Known volumes of a group (at a site) below which the other kind of a region is left out."""
MOST = 0.8
"""Share of people whose eTIV must be known before methods that need it are a reasonable choice."""
ROUNDING = 1e-9
"""Residual spread below this share of the volume is none."""
CHOICES = ("etiv", "covariates", "exclusions", "volumes", "model")
"""Columns of `sensitivity.tsv`; what has no kinds of volume lacks that one."""


@dataclass(frozen=True)
class Specification:
    """One way through the choices; `designed` is the design's own."""

    etiv: EtivMethod
    covariates: str
    exclusions: str
    volumes: str
    model: str
    designed: bool


def specify(
    study: Study, variants: Mapping[str, Study], collinear: Mapping[str, tuple[str, ...]]
) -> list[Specification]:
    """Every combination of choices that these data allow.

    Args:
        study: as designed.
        variants: other exclusions -> the study that they lead to.
        collinear: name of a further covariate set -> its covariates.
    """
    own = study.design.etiv
    known = study.etiv is not None and study.etiv.notna().mean() >= MOST
    etiv = list(dict.fromkeys([own, *study.measure.head_sizes])) if known else [own]
    kind = study.design.volumes
    other = "hard" if kind == "soft" else "soft"
    volumes = [kind, other] if study.other_volumes is not None else [kind]
    weighted = [OLS]
    if study.sd is not None and study.design.weights:
        weighted.append(f"weighted by sd_{study.measure.unit}")
    exclusions = [AS_DESIGNED, *variants, UNINFLUENTIAL]
    first = (own, AS_DESIGNED, AS_DESIGNED, kind, OLS)
    every = itertools.product(etiv, covariate_sets(study, collinear), exclusions, volumes, weighted)
    return [Specification(*choice, designed=choice == first) for choice in every]


def covariate_sets(
    study: Study, further: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Name -> covariates of the design: all, age and sex alone (none, if none is called so), and
    the further ones; no set twice. Their columns are looked up in each study: another exclusion may
    leave a level with nobody."""
    names = study.design.covariates
    basic = tuple(c for c in names if is_age(c) or is_sex(c))
    kinds = [k for k, rule in (("age", is_age), ("sex", is_sex)) if any(map(rule, basic))]
    title = f"{' and '.join(kinds)} only" if kinds else "no covariates"
    sets = {AS_DESIGNED: names, **further, title: basic}
    seen: set[tuple[str, ...]] = set()
    return {n: c for n, c in sets.items() if not (c in seen or seen.add(c))}  # type: ignore[func-returns-value]


def explore(
    study: Study, variants: Mapping[str, Study], further: Mapping[str, tuple[str, ...]]
) -> tuple[pd.DataFrame, list[str]]:
    """`sensitivity.tsv`: one row a region and specification; and sentences on what these data do
    not allow.

    Columns: region, specification (a number), the choices, designed, n_patients, n_controls,
    adjusted_difference_ml, difference_percent, se_ml, ci_low_ml, ci_high_ml, p, hedges_g, and for
    each region over all specifications share_same_sign (as the design's) and share_significant.
    """
    sets, confidence = covariate_sets(study, further), study.design.inference.confidence
    rows: list[dict[str, object]] = []
    models: dict[tuple[str, ...], GroupModel | None] = {}
    left_out = _other_kind_note(study)
    for number, choice in enumerate(specify(study, variants, further)):
        # Weighting comes after all that shapes a model, so each model is made once.
        key = (choice.etiv, choice.covariates, choice.exclusions, choice.volumes)
        if key not in models:
            try:
                models = {key: _model(choice, study, variants, sets)}
            except TableError as error:
                models = {key: None}
                words = _in_words(choice, study.measure)
                left_out.append(f"Not among the specifications, {words}: {error}")
        model = models[key]
        if model is None:
            continue
        made = {"specification": number, **vars(choice)}
        if not study.measure.kinds:
            del made["volumes"]
        effects = quick_effects(model, confidence, weighted=choice.model != OLS)
        rows += [{"region": effect["region"], **made, **effect} for effect in effects]
    return _with_shares(pd.DataFrame(rows), study.design.inference.alpha), left_out


def _in_words(choice: Specification, measure: BrainMeasure) -> str:
    """All choices but the weighting; two of them may be called alike."""
    kind = f", {choice.volumes} {measure.many}" if measure.kinds else ""
    return (
        f"eTIV: {choice.etiv}, covariates: {choice.covariates}, exclusions: {choice.exclusions}"
        f"{kind}"
    )


def _model(
    choice: Specification,
    study: Study,
    variants: Mapping[str, Study],
    sets: Mapping[str, tuple[str, ...]],
) -> GroupModel:
    """The volumes and covariates that a specification leads to."""
    chosen = variants.get(choice.exclusions, study)
    if choice.etiv != "none" and chosen.etiv is not None:
        chosen = chosen.rows(chosen.etiv.notna())
    own_kind = choice.volumes == study.design.volumes
    other = None if own_kind else _known_everywhere(chosen)
    model = build_model(
        chosen,
        etiv=choice.etiv,
        covariates=sets[choice.covariates],
        volumes=other,
        sd=None if chosen.sd is None or other is None else chosen.sd[other.columns],
    )
    model = harmonised(chosen, model)
    return without_influential(model) if choice.exclusions == UNINFLUENTIAL else model


def _known_everywhere(study: Study) -> pd.DataFrame:
    """The volumes of the other kind, without regions that hardly anybody of a group or site has:
    a structure of a few voxels may have a posterior in everybody and win a voxel in nobody."""
    assert study.other_volumes is not None
    parts = study.patients.astype(str)
    if study.site is not None and study.design.site.method != "none":
        parts = parts + study.site.astype(str)
    known = study.other_volumes.notna().groupby(parts.to_numpy())
    wanted = known.size().clip(upper=FEWEST).to_numpy()[:, None]
    enough = np.all(known.sum().to_numpy() >= wanted, axis=0)
    columns = [c for c, kept in zip(study.other_volumes, enough, strict=True) if kept]
    return study.other_volumes[columns]


def _other_kind_note(study: Study) -> list[str]:
    if study.other_volumes is None:
        return []
    gone = [r for r in study.regions if r not in _known_everywhere(study)]
    if not gone:
        return []
    kind = "hard" if study.design.volumes == "soft" else "soft"
    return [
        f"Not among the specifications with {kind} volumes, too few are known: {', '.join(gone)}."
    ]


def without_influential(model: GroupModel) -> GroupModel:
    """The model with each region's influential volumes (Cook's distance above 4/n) left out."""
    volumes = model.volumes.copy()
    for known, columns in patterns(model.volumes.to_numpy(float)):
        for column in () if _too_few(model.patients[known]) else columns:
            outcome = model.volumes.iloc[:, column].to_numpy(float)[known]
            distance = cooks_distance(fit(independent(model.matrix[known]), outcome[:, None]))
            out = np.flatnonzero(known)[distance > INFLUENTIAL / known.sum()]
            volumes.iloc[out, column] = np.nan
    return GroupModel(volumes, model.raw, model.sd, model.patients, model.nuisance)


def _too_few(group: Bools) -> bool:
    return min(int(group.sum()), int((~group).sum())) < FEWEST


def quick_effects(
    model: GroupModel, confidence: float, *, weighted: bool = False
) -> Iterator[dict[str, object]]:
    """Difference, interval, p and g of every region, and no more.

    Weighted, only volumes of known error count, and regions that have too few of them are left out.
    """
    values = model.volumes.to_numpy(float)
    if weighted and model.sd is not None:
        values = np.where(model.sd.isna(), np.nan, values)
    for known, columns in patterns(values):
        group = model.patients[known]
        if _too_few(group):
            continue
        design = independent(model.matrix[known])
        if len(design) - design.shape[1] < SMALLEST_DF:
            continue
        fitted = fit(design, values[np.ix_(known, columns)])
        reach = stats.t.ppf(0.5 + confidence / 2, fitted.df)
        factor = small_sample_factor(fitted.df)
        varying = fitted.sigma > ROUNDING * np.abs(fitted.beta[0])
        for i, column in enumerate(columns):
            if not varying[i]:  # without some people, a region may be the same in all others
                continue
            difference, se = float(fitted.beta[-1, i]), float(fitted.se_hc3[-1, i])
            if weighted and model.sd is not None:
                sd = model.sd.iloc[:, column].to_numpy(float)[known]
                errors = sd_as_fitted(design, values[known, column], sd)
                one = fit_weighted(design, values[known, column], errors)
                difference, se = float(one.beta[-1]), float(one.se[-1])
            yield {
                "region": model.regions[column],
                "n_patients": int(group.sum()),
                "n_controls": int((~group).sum()),
                "adjusted_difference_ml": difference,
                "difference_percent": 100 * difference / float(fitted.beta[0, i]),
                "se_ml": se,
                "ci_low_ml": difference - reach * se,
                "ci_high_ml": difference + reach * se,
                "p": 2 * float(stats.t.sf(abs(difference / se), fitted.df)),
                "hedges_g": factor * difference / float(fitted.sigma[i]),
            }


def _with_shares(table: pd.DataFrame, alpha: float) -> pd.DataFrame:
    own = table[table["designed"]].set_index("region")["adjusted_difference_ml"]
    sign = np.sign(table["region"].map(own))
    same = np.sign(table["adjusted_difference_ml"]) == sign
    by_region = table["region"]
    table["share_same_sign"] = same.groupby(by_region).transform("mean")
    table["share_significant"] = ((table["p"] <= alpha) & same).groupby(by_region).transform("mean")
    return table
