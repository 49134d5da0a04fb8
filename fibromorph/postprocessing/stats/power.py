"""Planning: how many people for an effect, or which effect for so many people, region by region.

A measurement with error shrinks every standardised effect by the root of its reliability, so a
noisy structure needs more people for the same loss of tissue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from fibromorph.errors import ConfigError
from fibromorph.postprocessing.stats.models.effects import detectable_effect, power_of

LARGEST_N = 100_000


@dataclass(frozen=True)
class RegionSpread:
    """How one region varies, as shares of its mean.

    Attributes:
        region: name.
        between: sd between people once head size, age and sex are known.
        error: sd of the tool's own error in one scan; None = not known, taken as 0.
        share: of the true effect, that the volume shows (`responsive.Share`).
    """

    region: str
    between: float
    error: float | None
    share: float = 1.0


@dataclass(frozen=True)
class Plan:
    """What is planned.

    Attributes:
        alpha: two-sided level of one test.
        power: to reach.
        tests: regions in the family; their level is alpha / tests (Bonferroni).
        covariates: columns adjusted for.
        ratio: controls a patient, or untreated people a treated one.
        question: `groups` compares people, `change` compares two arms' change between two scans.
        change_sd: sd of people's true change, as a share of the mean (`change` only).
    """

    alpha: float = 0.05
    power: float = 0.8
    tests: int = 1
    covariates: int = 3
    ratio: float = 1.0
    question: Literal["groups", "change"] = "groups"
    change_sd: float = 0.01

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("alpha", self.alpha, 0.0, 0.5),
            ("power", self.power, 0.05, 1.0),
            ("ratio", self.ratio, 0.0, math.inf),
            ("change-sd", self.change_sd, 0.0, math.inf),
        ):
            if not low < value < high:
                raise ConfigError(
                    f"must lie between {low:g} and {high:g}", value=value, subject=f"--{name}"
                )
        if self.tests < 1 or self.covariates < 0:
            raise ConfigError(
                "--tests must be 1 or more, --covariates 0 or more",
                value=f"{self.tests}, {self.covariates}",
            )

    @property
    def groups(self) -> tuple[str, str]:
        """Who is compared: both arms of a therapy are patients."""
        return ("treated", "untreated") if self.question == "change" else ("patients", "controls")

    def measured_sd(self, spread: RegionSpread) -> float:
        """sd of what is compared, error included, as a share of the mean."""
        error = spread.error or 0.0
        if self.question == "change":
            return math.sqrt(self.change_sd**2 + 2 * error**2)
        return math.hypot(spread.between, error)

    def reliability(self, spread: RegionSpread) -> float:
        """Share of the variance of what is compared that is not the tool's error."""
        return (self.true_sd(spread) / self.measured_sd(spread)) ** 2

    def true_sd(self, spread: RegionSpread) -> float:
        """The same without the tool's error."""
        return self.change_sd if self.question == "change" else spread.between


def people_for(d: float, plan: Plan, alpha: float) -> tuple[int, int]:
    """The smallest (patients, controls) that find a measured effect `d`.

    Raises:
        ConfigError: more than 100 000 patients would be needed.
    """

    def enough(n: int) -> bool:
        controls = math.ceil(n * plan.ratio)
        df = n + controls - 2 - plan.covariates
        if df < 1:
            return False
        return power_of(d / math.sqrt(1 / n + 1 / controls), df, alpha) >= plan.power

    if not enough(LARGEST_N):
        raise ConfigError(f"the effect must be found with {LARGEST_N} people or fewer", value=d)
    low, high = 1, LARGEST_N
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high, math.ceil(high * plan.ratio)


def plan_for_effect(
    spreads: Sequence[RegionSpread], plan: Plan, *, d: float | None = None, percent: float = 5.0
) -> pd.DataFrame:
    """How many people each region needs.

    Args:
        spreads: the regions.
        plan: level, power, design.
        d: true effect in sd without error; None = `percent`.
        percent: true effect in % of the mean.

    Returns:
        Columns region, reliability, effect_percent, d_true, d_measured, patients, controls, and the
        last two corrected for the family; treated and untreated in place of patients and controls
        where change is asked for.
    """
    return pd.DataFrame([_needed(spread, plan, d, percent) for spread in spreads])


def plan_for_people(
    spreads: Sequence[RegionSpread], plan: Plan, patients: int, controls: int
) -> pd.DataFrame:
    """What each region's smallest detectable effect is, in sd and in % of the mean.

    Returns:
        Columns region, reliability, d_measured, d_true, percent, and the last two corrected.

    Raises:
        ConfigError: too few people for the covariates.
    """
    df = patients + controls - 2 - plan.covariates
    if min(patients, controls) < 2 or df < 1:
        raise ConfigError(
            "there must be more people than covariates, two a group at least",
            value=f"{patients} and {controls}",
            subject="--n",
        )
    factor = 1 / patients + 1 / controls
    single = detectable_effect(df, factor, plan.alpha, plan.power)
    family = detectable_effect(df, factor, plan.alpha / plan.tests, plan.power)
    return pd.DataFrame([_found(spread, plan, single, family) for spread in spreads])


def _needed(spread: RegionSpread, plan: Plan, d: float | None, percent: float) -> dict[str, object]:
    true_sd, measured_sd = plan.true_sd(spread), plan.measured_sd(spread)
    share = percent / 100 if d is None else d * true_sd
    measured = spread.share * share / measured_sd
    single = people_for(measured, plan, plan.alpha)
    family = people_for(measured, plan, plan.alpha / plan.tests)
    first, second = plan.groups
    return {
        "region": spread.region,
        "reliability": plan.reliability(spread),
        "effect_percent": 100 * share,
        "d_true": share / true_sd,
        "d_measured": measured,
        first: single[0],
        second: single[1],
        f"{first}_family": family[0],
        f"{second}_family": family[1],
    }


def _found(spread: RegionSpread, plan: Plan, single: float, family: float) -> dict[str, object]:
    # The effect in people that shows as a measured d of 1, as a share of the mean.
    unit, true_sd = plan.measured_sd(spread) / spread.share, plan.true_sd(spread)
    return {
        "region": spread.region,
        "reliability": plan.reliability(spread),
        "d_measured": single,
        "d_true": single * unit / true_sd,
        "percent": 100 * single * unit,
        "d_true_family": family * unit / true_sd,
        "percent_family": 100 * family * unit,
    }
