"""From t to what is said of its size: effects, their intervals, and what could have been found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from fibromorph.postprocessing.stats.designs.sections import Inference as Levels
from fibromorph.postprocessing.stats.models.effects import (
    detectable_effect,
    detectable_ncp,
    g_interval,
    small_sample_factor,
)
from fibromorph.postprocessing.stats.models.linear import Floats
from fibromorph.postprocessing.stats.scores.correlation import fisher_interval
from fibromorph.postprocessing.voxelwise.inference import Inference
from fibromorph.postprocessing.voxelwise.question import Effect, Question

MEDIUM: dict[Effect, float] = {"d": 0.5, "r": 0.3}
"""Cohen's medium effects (1988, Statistical Power Analysis for the Behavioral Sciences)."""


@dataclass(frozen=True)
class Reach:
    """What a question could have found, and how much of the mask shows more than a little.

    Attributes:
        critical_t: |t| of one voxel that is corrected p = alpha.
        detectable: effect that one voxel shows with the design's power at `critical_t`.
        medium: |effect| that `share` counts.
        share: of the mask with a larger |effect|.
        share_by_chance: the same where no voxel has an effect.
    """

    critical_t: float
    detectable: float
    medium: float
    share: float
    share_by_chance: float


def effect_of(question: Question, t: Floats) -> Floats:
    """Hedges' g of a difference (its `d`), t sqrt((X'X)^-1) J; partial r of a score."""
    if question.effect == "r":
        return np.asarray(t / np.sqrt(t**2 + question.df))
    return np.asarray(t * np.sqrt(question.variance_factor) * small_sample_factor(question.df))


def interval_of(question: Question, t: float, confidence: float) -> tuple[float, float]:
    """Of one effect: by the noncentral t, of r Fisher's."""
    if question.effect == "r":
        r = float(effect_of(question, np.array(t)))
        return fisher_interval(r, question.df, confidence)
    return g_interval(t, question.df, question.variance_factor, confidence)


def reach_of(question: Question, inference: Inference, levels: Levels) -> Reach:
    """What one voxel alone needs; enhancement and clusters find less where it reaches far."""
    critical = inference.critical_t(levels.alpha)
    medium = MEDIUM[question.effect]
    needed = _t_of(question, medium)
    share = float((np.abs(effect_of(question, inference.t)) > medium).mean())
    return Reach(
        critical_t=critical,
        detectable=_detectable(question, critical, levels.power),
        medium=medium,
        share=share,
        share_by_chance=float(2 * stats.t.sf(needed, question.df)),
    )


def _detectable(question: Question, critical_t: float, power: float) -> float:
    """The true effect that exceeds a critical t so often."""
    alpha = float(2 * stats.t.sf(critical_t, question.df))
    if question.effect == "r":
        ncp = detectable_ncp(question.df, alpha, power)
        return float(ncp / np.sqrt(ncp**2 + question.df))
    return detectable_effect(question.df, question.variance_factor, alpha, power)


def _t_of(question: Question, effect: float) -> float:
    """The t that an effect is of."""
    if question.effect == "r":
        return float(effect * np.sqrt(question.df / (1 - effect**2)))
    scale = np.sqrt(question.variance_factor) * small_sample_factor(question.df)
    return float(effect / scale)
