"""The same contrast under other choices."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fibromorph.postprocessing.stats import Results
from tests.postprocessing.stats.cohorts import PUTAMEN
from tests.postprocessing.stats.conftest import run


def test_every_combination_of_choices_once(results: Results) -> None:
    table = results.sensitivity
    choices = table[["etiv", "covariates", "exclusions", "volumes", "model"]]
    part = choices[table["region"] == PUTAMEN]
    assert not part.duplicated().any()
    assert len(part) == part.nunique().prod()
    assert {"covariate", "residual", "power"} == set(part["etiv"])
    assert {"soft", "hard"} == set(part["volumes"])
    assert {"least squares", "weighted by sd_ml"} == set(part["model"])


def test_the_designs_own_choice_repeats_the_main_result(results: Results) -> None:
    own = results.sensitivity[results.sensitivity["designed"]].set_index("region")
    main = results.groups
    assert len(own) == len(main)
    for column in ("adjusted_difference_ml", "p", "hedges_g"):
        assert (own[column] - main[column]).abs().max() < 1e-9


def test_shares_that_agree(results: Results) -> None:
    shares = results.sensitivity.groupby("region")[["share_same_sign", "share_significant"]].first()
    assert list(shares.loc[PUTAMEN]) == [1.0, 1.0]
    assert (shares["share_significant"] <= shares["share_same_sign"]).all()


def test_methods_that_need_etiv_are_no_choice_where_it_is_mostly_missing(folder: Path) -> None:
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", dtype=str)
    volumes.loc[volumes.index[3:], "eTIV"] = "n/a"
    volumes.to_csv(folder / "volumes.tsv", sep="\t", index=False)
    table = run(folder, etiv="none").sensitivity
    assert set(table["etiv"]) == {"none"}
