"""How much of a difference of one region alone a tool's volumes show, and what follows from it.

A network reads borders partly from their surroundings: where one structure is smaller between
unchanged neighbours, its volume shows only a share of that. The share is measured with the bundle
(`fibromorph responsiveness`) and comes with the volumes. It bounds what a difference may be: as
measured where the neighbourhood shares it, larger where the region differs alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.errors import TableError

BLIND = 0.25
"""Of a smaller share nothing can be inferred: dividing by it would be invention."""
KEY = "responsiveness"


@dataclass(frozen=True)
class Share:
    """Of a change of one region alone.

    Attributes:
        mean: that arrives in the volume; 1 = all of it.
        sd: over heads, sides and draws.
    """

    mean: float
    sd: float


Shares = Mapping[str, Share]


def read_shares(path: Path) -> dict[str, Share]:
    """Region -> share, from the JSON beside volumes (`NAME.json`, `volumes.json`).

    Returns:
        Nothing where there is no file, or one that knows of no shares.

    Raises:
        TableError: the file is damaged.
    """
    return shares_of(read_beside(path), path)


def read_beside(path: Path) -> Any:
    """What the JSON beside volumes says; {} where there is none.

    Raises:
        TableError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as reason:
        raise TableError("must be JSON", value=reason, subject=path) from None


def shares_of(content: Any, path: Path) -> dict[str, Share]:
    """Region -> share, from what the JSON at `path` says; errors as `read_shares`'."""
    try:
        found = content.get(KEY, {})
        return {str(k): Share(float(v["mean"]), float(v["sd"])) for k, v in found.items()}
    except (ValueError, AttributeError, KeyError, TypeError) as reason:
        rule = f"{KEY} must hold a mean and an sd a region"
        raise TableError(rule, value=reason, subject=path) from None


def with_shares(table: pd.DataFrame, shares: Shares, confidence: float) -> pd.DataFrame:
    """Add what each difference would be if the region differed alone.

    Columns: responsiveness, alone_percent, alone_ci_low, alone_ci_high. On the log scale the
    difference is divided by the share; its variance is that of both (delta method). Where the
    share is below `BLIND` or unknown, the three are missing.

    Args:
        table: of the group comparison, a row a region.
        shares: by region; nothing is added where none is known.
        confidence: of the interval.
    """
    known = [shares.get(str(region)) for region in table.index]
    if not any(known):
        return table
    mean = np.array([np.nan if s is None else s.mean for s in known])
    sd = np.array([np.nan if s is None else s.sd for s in known])
    reach = stats.t.ppf(0.5 + confidence / 2, table["df"].to_numpy(float))
    percent = table["difference_percent"].to_numpy(float)
    width = (table["percent_ci_high"] - table["percent_ci_low"]).to_numpy(float)
    change, se = np.log1p(percent / 100), width / (2 * reach) / (100 + percent)
    share = np.where(mean < BLIND, np.nan, mean)
    alone = change / share
    error = np.sqrt(se**2 + alone**2 * sd**2) / share
    percents = (100 * np.expm1(x) for x in (alone, alone - reach * error, alone + reach * error))
    names = ("alone_percent", "alone_ci_low", "alone_ci_high")
    columns = dict(zip(names, percents, strict=True))
    return table.assign(responsiveness=mean, **columns)
