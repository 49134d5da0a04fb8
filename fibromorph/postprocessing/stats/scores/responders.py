"""How many people improved by enough to count, and in which arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.postprocessing.stats.change.data import ChangeData
from fibromorph.postprocessing.stats.models.linear import Floats
from fibromorph.postprocessing.stats.people.study import Study

COLUMNS = (
    *("score", "session", "group", "response", "n", "n_responders", "share", "share_low"),
    *("share_high", "n_without", "n_lost"),
    *("difference", "difference_low", "difference_high", "p_fisher"),
)


@dataclass(frozen=True)
class _Count:
    """Responders among the people of one arm.

    Attributes:
        n: people whose improvement is known.
        responders: of these.
        without: people who had nothing at baseline that could improve.
        lost: people with a score at baseline and no scan or no score at follow-up.
        low, high: interval of the share.
    """

    n: int
    responders: int
    without: int
    lost: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.responders / self.n if self.n else float("nan")

    @property
    def cells(self) -> dict[str, float]:
        return {
            "n": self.n,
            "n_responders": self.responders,
            "share": self.share,
            "share_low": self.low,
            "share_high": self.high,
            "n_without": self.without,
            "n_lost": self.lost,
        }


def count_responders(whole: Study, data: ChangeData) -> pd.DataFrame:
    """`responders.tsv`: a row a score, follow-up session and arm (or of patients), see `COLUMNS`.

    A responder improves by `sessions.response` of the own baseline or more. Shares have Wilson's
    interval; their difference, treated less untreated in the row of the treated, has Newcombe's
    (1998, Stat Med 17:873-890, method 10) and Fisher's exact p.
    """
    sessions, confidence = whole.design.sessions, whole.design.inference.confidence
    treated = data.treated_people()
    arms = {"patients": treated}
    if data.arms:
        arms = {sessions.treated: treated, sessions.untreated: ~treated}
    rows: list[dict[str, object]] = []
    for name, score in whole.design.scores.items():
        better = score.improves(name)
        for session in data.follow_up if better else ():
            before, after = (score_at(whole, data, name, s) for s in (data.baseline, session))
            gained = before - after if better == "lower" else after - before
            counts = {
                arm: _count(before[people], gained[people], sessions.response, confidence)
                for arm, people in arms.items()
            }
            if not any(count.n for count in counts.values()):
                continue
            for arm, count in counts.items():
                about = {"score": name, "session": session, "group": arm}
                rows.append({**about, "response": sessions.response, **count.cells})
            if data.arms:
                rows[-2].update(_difference(*counts.values()))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def score_at(whole: Study, data: ChangeData, name: str, session: str) -> Floats:
    """(n,) a score of the people of `data` in one session; NaN = missing."""
    score = whole.scores[name].xs(session, level=1).reindex(data.people)
    return np.asarray(score, dtype=np.float64)


def _count(before: Floats, gained: Floats, response: float, confidence: float) -> _Count:
    known = ~np.isnan(gained)
    able = known & (before > 0)
    n = int(able.sum())
    # What is 30 % but for rounding is 30 %.
    responders = int((gained[able] >= response * before[able] * (1 - 1e-9)).sum())
    low, high = float("nan"), float("nan")
    if n:
        interval = stats.binomtest(responders, n).proportion_ci(confidence, method="wilson")
        low, high = float(interval.low), float(interval.high)
    lost = int((~np.isnan(before) & ~known).sum())
    return _Count(n, responders, int((known & ~able).sum()), lost, low, high)


def _difference(one: _Count, other: _Count) -> dict[str, float]:
    """How many more respond in `one`, as a difference of shares; empty where an arm has nobody."""
    if not (one.n and other.n):
        return {}
    difference = one.share - other.share
    down = np.hypot(one.share - one.low, other.high - other.share)
    up = np.hypot(one.high - one.share, other.share - other.low)
    table = [[c.responders, c.n - c.responders] for c in (one, other)]
    return {
        "difference": difference,
        "difference_low": float(difference - down),
        "difference_high": float(difference + up),
        "p_fisher": float(stats.fisher_exact(table).pvalue),
    }
