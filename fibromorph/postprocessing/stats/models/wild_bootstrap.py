"""Wild bootstrap over people of one coefficient of a mixed model: its p value and interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fibromorph.postprocessing.stats.models.linear import Floats, Ints
from fibromorph.postprocessing.stats.models.mixed import MixedFit, by_person, whiten, whiten_known


@dataclass(frozen=True, eq=False)
class Resampled:
    """One coefficient under a wild bootstrap over people.

    Attributes:
        estimate: of the coefficient.
        se: cluster-robust.
        influence: (people,) what each moves the estimate by; se is the root of their squares' sum,
            and products with another estimate's influences sum to the covariance of both.
        null: (bootstraps,) |t| with the coefficient's absence imposed: its p value.
        around: (bootstraps,) |t| about the estimate: its interval.
    """

    estimate: float
    se: float
    influence: Floats
    null: Floats
    around: Floats

    @property
    def t(self) -> float:
        return self.estimate / self.se

    def p(self) -> float:
        """Two-sided; the data themselves count as one draw."""
        return float((1 + (self.null >= abs(self.t) * (1 - 1e-9)).sum()) / (1 + len(self.null)))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Symmetric bootstrap-t interval."""
        reach = float(np.quantile(self.around, confidence)) * self.se
        return self.estimate - reach, self.estimate + reach


def resample(
    design: Floats, outcome: Floats, person: Ints, ratio: float, column: int, signs: Floats
) -> Resampled:
    """Wild cluster bootstrap-t (Cameron, Gelbach & Miller 2008, Rev Econ Stat 90:414-427).

    Every person's residuals keep or change their sign together, so neither normality nor equal
    variances nor complete data are needed. All draws are a few matrix products.

    Args:
        design, outcome, person: as `fit_mixed`.
        ratio: the variance ratio of the fit, kept in all draws.
        column: of the coefficient.
        signs: (bootstraps, people) of -1 and 1.
    """
    x, y = whiten(design, person, ratio), whiten(outcome, person, ratio)
    return _resample_white(x, y, person, column, signs)


def resample_known(
    design: Floats,
    outcome: Floats,
    person: Ints,
    sd: Floats,
    fitted: MixedFit,
    column: int,
    signs: Floats,
) -> Resampled:
    """The same of `fit_mixed_known`, whose variances are kept in all draws.

    Its own errors suppose that people's change has one spread in all of them.

    Args:
        design, outcome, person, sd: as `fit_mixed_known`.
        fitted: what it returned.
        column, signs: as `resample`.
    """
    residual = fitted.within**2 + sd**2
    x, y, _ = whiten_known(design, outcome, person, residual, fitted.between**2)
    return _resample_white(x, y, person, column, signs)


def _resample_white(x: Floats, y: Floats, person: Ints, column: int, signs: Floats) -> Resampled:
    """Of rows that are independent, of variance one, as far as the model goes."""
    others, _ = np.linalg.qr(np.delete(x, column, axis=1))
    own = x[:, column] - others @ (others.T @ x[:, column])
    scale = float(np.linalg.norm(own))
    own = own / scale
    restricted = y - others @ (others.T @ y)
    free = restricted - own * (own @ restricted)
    scores = _cluster_scores(others, own, person)
    observed, influence = scores(restricted, np.ones((1, signs.shape[1])))
    return Resampled(
        estimate=float(observed[0]) / scale,
        se=float(np.linalg.norm(influence)) / scale,
        influence=influence[0] / scale,
        null=_absolute_t(*scores(restricted, signs)),
        around=_absolute_t(*scores(free, signs)),
    )


def _absolute_t(coefficient: Floats, influence: Floats) -> Floats:
    """(draws,) from (draws,) and (draws, people)."""
    return np.asarray(np.abs(coefficient) / np.sqrt((influence**2).sum(axis=1)))


def _cluster_scores(
    others: Floats, own: Floats, person: Ints
) -> Callable[[Floats, Floats], tuple[Floats, Floats]]:
    """Coefficient and people's influence on it, for signs (draws, people) times residuals (n,)."""
    crossed = by_person(others * own[:, None], person)
    weight = by_person(own**2, person)
    # A person's residuals shrink by their leverage: undone as HC3 does for single rows.
    leverage = np.clip(weight, 0.0, 0.99)

    def statistic(residuals: Floats, signs: Floats) -> tuple[Floats, Floats]:
        scores = by_person(own * residuals, person)
        back = by_person(others * residuals[:, None], person)
        coefficient = signs @ scores
        fitted = (signs @ back) @ crossed.T + coefficient[:, None] * weight
        return coefficient, np.asarray((signs * scores - fitted) / (1 - leverage))

    return statistic
