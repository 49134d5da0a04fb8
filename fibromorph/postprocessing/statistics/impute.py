"""Multiple imputation of missing cells, and Rubin's rules to pool what comes out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.postprocessing.statistics.design import Design, Tests
from fibromorph.postprocessing.statistics.effects import bayes_factor, hedges_g
from fibromorph.postprocessing.statistics.groups import compare_groups, with_fdr
from fibromorph.postprocessing.statistics.progress import steps
from fibromorph.postprocessing.statistics.sample import Sample


def imputed_samples(sample: Sample, imputations: int, seed: int) -> list[Sample]:
    """Completed copies: chained regressions with draws from the posterior (scikit-learn).

    The group, the covariates and all regions inform each other (White 2011). Covariates that are
    0/1 columns are imputed as numbers and not rounded (Horton 2003).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    values = np.column_stack([sample.is_patient, sample.nuisance, sample.volumes_ml])
    made = []
    for number, _ in enumerate(steps(imputations, 1, "imputations")):
        chain = IterativeImputer(
            sample_posterior=True, random_state=seed + number, n_nearest_features=10
        )
        with warnings.catch_warnings():
            # With posterior draws the chain never settles on one value; that is the point of it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            made.append(_completed(sample, chain.fit_transform(values)))
    return made


def _completed(sample: Sample, values: np.ndarray) -> Sample:
    first = 1 + len(sample.names)
    nuisance = values[:, 1:first]
    volumes = pd.DataFrame(
        values[:, first:], columns=sample.volumes_ml.columns, index=sample.volumes_ml.index
    )
    return replace(sample, nuisance=nuisance - nuisance.mean(axis=0), volumes_ml=volumes)


def compare_imputed(
    sample: Sample, families: Mapping[str, Sequence[str]], design: Design
) -> pd.DataFrame:
    """As `compare_groups`, over imputed samples.

    Differences are pooled by Rubin's rules with Barnard & Rubin's (1999) degrees of freedom;
    permutation p by the median rule (Eekhout 2017); counts are those of the cells that were known.
    """
    tests, copies = design.tests, design.missing.imputations
    samples = imputed_samples(sample, copies, tests.seed)
    tables = [compare_groups(s, families, tests) for s in samples]
    pooled = tables[0].copy()
    numeric = pooled.select_dtypes("number").columns
    stack = np.stack([t[numeric].to_numpy(dtype=float) for t in tables])
    pooled[numeric] = stack.mean(axis=0)
    for name in ("p_permutation", "p_fwe", "equivalence_p"):
        pooled[name] = np.median([t[name] for t in tables], axis=0)
    return with_fdr(_rubin(_counted(pooled, sample), tables, tests), ["family"])


def _counted(pooled: pd.DataFrame, sample: Sample) -> pd.DataFrame:
    known = sample.volumes_ml[list(pooled["region"])].notna().to_numpy()
    patients = sample.is_patient == 1
    return pooled.assign(
        n_patients=known[patients].sum(axis=0),
        n_controls=known[~patients].sum(axis=0),
        missing_patients=(~known[patients]).sum(axis=0),
        missing_controls=(~known[~patients]).sum(axis=0),
    )


def _rubin(pooled: pd.DataFrame, tables: list[pd.DataFrame], tests: Tests) -> pd.DataFrame:
    m = len(tables)
    b = np.stack([t["adjusted_difference_ml"] for t in tables])
    within = np.mean([t["se_ml"] ** 2 for t in tables], axis=0)
    between = b.var(axis=0, ddof=1)
    total = within + (1 + 1 / m) * between
    share = (1 + 1 / m) * between / total
    whole_df = tables[0]["df"].to_numpy(dtype=float)
    observed = (whole_df + 1) / (whole_df + 3) * whole_df * (1 - share)
    df = 1 / (share**2 / (m - 1) + 1 / observed)
    se = np.sqrt(total)
    t = b.mean(axis=0) / se
    half = stats.t.ppf(0.975, df) * se
    out = pooled.assign(se_ml=se, t=t, df=df, p=2 * stats.t.sf(np.abs(t), df))
    out["difference_ci_low_ml"], out["difference_ci_high_ml"] = b.mean(0) - half, b.mean(0) + half
    for name in ("low", "high"):
        bound = out[f"difference_ci_{name}_ml"]
        out[f"percent_ci_{name}"] = 100 * bound / out["control_mean_ml"]
    return _standardised(out, tests)


def _standardised(table: pd.DataFrame, tests: Tests) -> pd.DataFrame:
    """g keeps its pooled value; its interval is widened to the pooled t and df."""
    out = table.copy()
    for i, row in out.iterrows():
        interval = hedges_g(row["t"], 1.0, row["df"])
        factor = row["hedges_g"] / interval.g if interval.g else 0.0
        out.loc[i, "g_ci_low"] = interval.low * factor
        out.loc[i, "g_ci_high"] = interval.high * factor
        counts = int(row["n_patients"]), int(row["n_controls"])
        out.loc[i, "bf10"] = bayes_factor(row["t"], *counts, tests.prior_width)
    return out
