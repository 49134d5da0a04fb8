"""Several scanners: harmonised before the comparison, or compared one by one and pooled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.errors import ConfigError, TableError
from fibromorph.postprocessing.stats.designs.sections import Inference
from fibromorph.postprocessing.stats.groups.model import INTERCEPT, GroupModel, site_indicators
from fibromorph.postprocessing.stats.models.combat import harmonise
from fibromorph.postprocessing.stats.models.effects import hedges_g
from fibromorph.postprocessing.stats.models.linear import fit, independent
from fibromorph.postprocessing.stats.models.measured import fit_weighted
from fibromorph.postprocessing.stats.people.study import Study

SMALLEST_EFFECT_GROUP = 2
"""Known volumes of a group that a site must have of a region to say anything of it."""
SMALLEST_SPREAD = 2
"""Known volumes of a region that a site must have to have a variance."""
SMALLEST_EFFECT_DF = 2
"""Degrees of freedom that a site's own effect must leave."""
POOLED = (
    *("meta_difference_ml", "meta_se_ml", "meta_ci_low_ml", "meta_ci_high_ml", "p_meta"),
    *("meta_g", "meta_g_low", "meta_g_high", "tau_ml", "i_squared"),
)


def require_sites(study: Study) -> None:
    """Refuse ComBat and meta-analysis where the sites cannot carry them.

    Raises:
        ConfigError: one site only, or a site with too few people of a group.
    """
    method, smallest = study.design.site.method, study.design.site.smallest
    if method in ("none", "covariate"):
        return
    if study.site is None or study.site.nunique() < 2:
        raise ConfigError(
            f"{method} needs two sites at least: with one there is nothing to harmonise or pool;"
            " set site.method: none",
            value=0 if study.site is None else int(study.site.nunique()),
            subject=study.design.at("site"),
        )
    for site, patients in study.patients.groupby(study.site):
        count = min(int(patients.sum()), int((~patients).sum()))
        if count < smallest:
            raise ConfigError(
                f"{method} needs {smallest} patients and {smallest} controls a site: with fewer,"
                " site and group cannot be told apart; leave the site out, merge it, or use"
                " site.method: covariate",
                value=f"{site}: {int(patients.sum())} patients, {int((~patients).sum())} controls",
                subject=study.design.at("site.smallest"),
            )
        parameters = 3 + study.covariates.shape[1]
        needed = parameters + SMALLEST_EFFECT_DF
        if method == "meta" and len(patients) < needed:
            raise ConfigError(
                f"a meta-analysis fits {parameters} parameters a site: {needed} people at"
                " least; take out covariates, or use site.method: covariate",
                value=f"{site}: {len(patients)}",
                subject=study.design.at("covariates"),
            )


def harmonised(study: Study, model: GroupModel) -> GroupModel:
    """The model with volumes harmonised by ComBat; group, covariates and eTIV are protected.

    The sites' indicators stay in the model: what ComBat has estimated costs degrees of freedom, and
    where site and group go together a model without them finds groups that do not differ (Nygaard
    et al. 2016, Biostatistics 17:29-39).

    Raises:
        TableError: a region of which a site knows fewer than two values.
    """
    if study.site is None or study.design.site.method != "combat":
        return model
    sites = study.site.astype(str)
    _require_volumes(model, sites)
    own = site_indicators(study.site).columns
    protected = model.nuisance.drop(columns=[INTERCEPT, *own]).to_numpy(float)
    protected = np.column_stack([protected, model.patients.astype(float)])
    values, scale = harmonise(model.volumes.to_numpy(float), sites.to_numpy(), protected)
    volumes = pd.DataFrame(values, model.volumes.index, model.volumes.columns)
    sd = None if model.sd is None else model.sd * scale
    return GroupModel(volumes, model.raw, sd, model.patients, model.nuisance)


def _require_volumes(model: GroupModel, sites: pd.Series) -> None:
    for site in sorted(sites.unique()):
        known = model.volumes.loc[(sites == site).to_numpy()].notna().sum()
        region = str(known.index[int(np.argmin(known.to_numpy()))])
        if known[region] < SMALLEST_SPREAD:
            raise TableError(
                f"ComBat needs {SMALLEST_SPREAD} known values of a region in every site; take it"
                " out of families, or use site.method: covariate",
                value=f"{region}, site {site}: {known[region]}",
                subject="the regions",
            )


def pool_sites(study: Study, model: GroupModel, inference: Inference) -> pd.DataFrame:
    """Random-effects meta-analysis of the sites' adjusted differences, one row a region.

    REML with Knapp & Hartung's interval, as metafor's `rma(..., test = "knha")`.

    Columns: meta_difference_ml, meta_se_ml, meta_ci_low_ml, meta_ci_high_ml, p_meta, meta_g,
    meta_g_low, meta_g_high, tau_ml, i_squared, n_sites.
    """
    assert study.site is not None
    effects = by_site(study, model)
    rows = {}
    for region, part in effects.groupby("region", sort=False):
        rows[region] = _pooled(part, inference)
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "region"
    return table


def by_site(study: Study, model: GroupModel) -> pd.DataFrame:
    """`sites.tsv`: every site's own effect, one row a site and region; NaN where it has none."""
    assert study.site is not None
    rows: list[dict[str, object]] = []
    for site in sorted(study.site.unique()):
        part = model.rows((study.site == site).to_numpy())
        rows += [{"site": site, **_effect(part, region)} for region in part.regions]
    return pd.DataFrame(rows)


def _effect(part: GroupModel, region: str) -> dict[str, object]:
    volume = part.volumes[region].to_numpy(float)
    known = ~np.isnan(volume)
    ill, well = int(part.patients[known].sum()), int((~part.patients[known]).sum())
    counts = {"region": region, "n_patients": ill, "n_controls": well}
    nothing = counts | dict.fromkeys(("difference_ml", "se_ml", "hedges_g", "g_se"), np.nan)
    if min(ill, well) < SMALLEST_EFFECT_GROUP:
        return nothing
    nuisance = part.nuisance.drop(columns=INTERCEPT).loc[known]
    columns = [np.ones(len(nuisance)), *nuisance.to_numpy(float).T, part.patients[known]]
    design = independent(np.column_stack(columns))
    if len(design) - design.shape[1] < SMALLEST_EFFECT_DF:
        return nothing
    fitted = fit(design, volume[known, None])
    difference, df = float(fitted.beta[-1, 0]), fitted.df
    g = hedges_g(difference, float(fitted.sigma[0]), df)
    return {
        **counts,
        "difference_ml": difference,
        "se_ml": float(fitted.se_hc3[-1, 0]),
        "hedges_g": g,
        "g_se": float(np.sqrt(fitted.unscaled[-1, -1] + g**2 / (2 * df))),
    }


def _pooled(part: pd.DataFrame, inference: Inference) -> Mapping[str, float]:
    part = part[part["difference_ml"].notna()]
    if len(part) < 2:
        return {**dict.fromkeys(POOLED, float("nan")), "n_sites": len(part)}
    ones = np.ones((len(part), 1))
    se = part["se_ml"].to_numpy(float)
    ml = fit_weighted(ones, part["difference_ml"].to_numpy(float), se)
    g = fit_weighted(ones, part["hedges_g"].to_numpy(float), part["g_se"].to_numpy(float))
    reach = float(stats.t.ppf(0.5 + inference.confidence / 2, ml.df))
    weights = 1 / se**2
    typical = (len(se) - 1) * weights.sum() / (weights.sum() ** 2 - (weights**2).sum())
    mean, error = float(ml.beta[0]), float(ml.se[0])
    pooled = (
        *(mean, error, mean - reach * error, mean + reach * error),
        2 * float(stats.t.sf(abs(mean / error), ml.df)),
        *(float(g.beta[0]), float(g.beta[0] - reach * g.se[0]), float(g.beta[0] + reach * g.se[0])),
        *(float(np.sqrt(ml.tau2)), float(ml.tau2 / (ml.tau2 + typical))),
    )
    return {**dict(zip(POOLED, pooled, strict=True)), "n_sites": len(part)}
