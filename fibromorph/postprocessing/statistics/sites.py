"""Several sites: harmonised with group and covariates protected, or pooled site by site."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.errors import ConfigError, MissingExtraError
from fibromorph.postprocessing.statistics.cohort import Cohort
from fibromorph.postprocessing.statistics.design import Site, Tests
from fibromorph.postprocessing.statistics.groups import region_row, with_fdr
from fibromorph.postprocessing.statistics.sample import Sample


def check_sites(cohort: Cohort, site: Site) -> pd.Series[str]:
    """The site of every scan.

    Raises:
        ConfigError: one site only; for 'meta' and 'combat' also a site that is too small.
    """
    names = cohort.people[str(site.column)].astype(str)
    counts = pd.crosstab(names, cohort.people["is_patient"]).reindex(columns=[0.0, 1.0]).fillna(0)
    if len(counts) < 2:
        rule = "several sites are needed; with one there is nothing to harmonise: column: null"
        raise ConfigError(rule, value=", ".join(counts.index), subject="site")
    tiny = counts.index[counts.min(axis=1) < site.min_per_group]
    if site.method != "covariate" and len(tiny):
        rule = (
            f"site.method '{site.method}' needs {site.min_per_group} patients and controls at each "
            "site: a site's own mean, scale or effect cannot be told from chance with fewer; "
            "use 'covariate' or leave the site out"
        )
        raise ConfigError(rule, value=", ".join(map(str, tiny)), subject="site")
    return names


def harmonised(sample: Sample, sites: pd.Series[str]) -> pd.DataFrame:
    """Volumes after ComBat (Johnson 2007, Fortin 2018), group and covariates protected.

    Raises:
        MissingExtraError: neuroCombat is not installed.
        ConfigError: missing volumes, which it cannot take.
    """
    try:
        from neuroCombat import neuroCombat
    except ModuleNotFoundError:
        raise MissingExtraError("stats", "neuroCombat") from None
    if bool(sample.volumes_ml.isna().to_numpy().any()):
        rule = "site.method 'combat' needs every volume; use 'meta' or missing.method: complete"
        raise ConfigError(rule, value="n/a in the volumes", subject="site.method")
    covars = pd.DataFrame(sample.nuisance, columns=list(sample.names))
    covars = covars.assign(group=sample.is_patient, batch=list(sites))
    # neuroCombat reports on standard output, which belongs to our caller.
    with contextlib.redirect_stdout(io.StringIO()):
        made = neuroCombat(
            dat=sample.volumes_ml.to_numpy().T,
            covars=covars,
            batch_col="batch",
            categorical_cols=["group"],
            continuous_cols=list(sample.names),
        )["data"]
    return pd.DataFrame(made.T, columns=sample.regions, index=sample.volumes_ml.index)


def pool_sites(
    sample: Sample, sites: pd.Series[str], families: Mapping[str, Sequence[str]], tests: Tests
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Random-effects meta-analysis of the sites' adjusted differences and g.

    Returns:
        Rows as `compare_groups` (p_fwe by Holm within the family; no Bayes factor), and the
        heterogeneity: region, k, tau2_g, i2, q, p_q.
    """
    rows, spread = [], []
    for family, regions in families.items():
        for region in regions:
            parts = _by_site(sample, sites, region, family, len(regions), tests)
            row, heterogeneity = _pooled(parts, tests, len(regions))
            rows.append(row)
            spread.append({"region": region, **heterogeneity})
    table = with_fdr(pd.DataFrame(rows), ["family"])
    return _holm(table), pd.DataFrame(spread)


def _by_site(  # noqa: PLR0913, PLR0917
    sample: Sample, sites: pd.Series[str], region: str, family: str, tested: int, tests: Tests
) -> pd.DataFrame:
    parts = [sample.rows((sites == name).to_numpy()) for name in sorted(set(sites))]
    return pd.DataFrame(
        [asdict(region_row(_lean(p), region, family, tested, tests)) for p in parts]
    )


def _lean(part: Sample) -> Sample:
    """Without covariates that are the same for everybody at this site."""
    from dataclasses import replace

    varies = np.ptp(part.nuisance, axis=0) > 0 if part.nuisance.size else np.zeros(0, dtype=bool)
    names = tuple(n for n, v in zip(part.names, varies, strict=True) if v)
    return replace(part, nuisance=part.nuisance[:, varies], names=names)


def random_effects(effects: np.ndarray, variances: np.ndarray) -> tuple[float, float, float]:
    """Mean, Hartung-Knapp standard error and tau2 (Paule-Mandel) of k effects."""
    from statsmodels.stats.meta_analysis import combine_effects

    found = combine_effects(effects, variances, method_re="iterated", atol=1e-12)
    weights = 1 / (variances + found.tau2)
    mean = float((weights * effects).sum() / weights.sum())
    spread = float((weights * (effects - mean) ** 2).sum() / (len(effects) - 1))
    return mean, math.sqrt(spread / weights.sum()), float(found.tau2)


def _pooled(
    parts: pd.DataFrame, tests: Tests, tested: int
) -> tuple[dict[str, object], dict[str, float]]:
    k = len(parts)
    difference, se, _ = random_effects(
        parts["adjusted_difference_ml"].to_numpy(), parts["se_ml"].to_numpy() ** 2
    )
    variances = ((parts["g_ci_high"] - parts["g_ci_low"]) / (2 * 1.96)).to_numpy() ** 2
    g, g_se, tau2 = random_effects(parts["hedges_g"].to_numpy(), variances)
    mean = float(np.average(parts["control_mean_ml"], weights=parts["n_controls"]))
    half = float(stats.t.ppf(0.975, k - 1))
    t = difference / se
    row: dict[str, object] = {
        **{c: parts[c].iloc[0] for c in ("region", "family")},
        **{c: int(parts[c].sum()) for c in parts if c.startswith(("n_", "missing_"))},
        **{"control_mean_ml": mean, "adjusted_difference_ml": difference, "se_ml": se},
        **{"difference_ci_low_ml": difference - half * se, "t": t, "df": k - 1},
        **{"difference_ci_high_ml": difference + half * se},
        "adjusted_difference_percent": 100 * difference / mean,
        "percent_ci_low": 100 * (difference - half * se) / mean,
        "percent_ci_high": 100 * (difference + half * se) / mean,
        "p": float(2 * stats.t.sf(abs(t), k - 1)),
        **{"hedges_g": g, "g_ci_low": g - half * g_se, "g_ci_high": g + half * g_se},
        **{
            "mdes": _detectable(g_se, k, tests, 1),
            "mdes_family": _detectable(g_se, k, tests, tested),
        },
    }
    return row, _heterogeneity(parts["hedges_g"].to_numpy(), variances, tau2)


def _detectable(se: float, sites: int, tests: Tests, tested: int) -> float:
    df = sites - 1
    return float(
        se * (stats.t.ppf(1 - tests.alpha / 2 / tested, df) + stats.t.ppf(tests.power, df))
    )


def _heterogeneity(effects: np.ndarray, variances: np.ndarray, tau2: float) -> dict[str, float]:
    weights = 1 / variances
    q = float((weights * (effects - np.average(effects, weights=weights)) ** 2).sum())
    df = len(effects) - 1
    i2 = max(0.0, (q - df) / q) if q > 0 else 0.0
    p = float(stats.chi2.sf(q, df))
    return {"k": len(effects), "tau2_g": tau2, "i2_percent": 100 * i2, "q": q, "p_q": p}


def _holm(table: pd.DataFrame) -> pd.DataFrame:
    from statsmodels.stats.multitest import multipletests

    table = table.assign(p_fwe=np.nan)
    for _, rows in table.groupby("family"):
        table.loc[rows.index, "p_fwe"] = multipletests(rows["p"], method="holm")[1]
    return table
