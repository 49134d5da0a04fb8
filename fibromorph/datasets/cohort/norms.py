"""How volumes vary between healthy adults: what simulated people are drawn from.

Round numbers of the size that FreeSurfer volumes show in healthy adults, not fits to any one
cohort: spread that remains once head size, age and sex are known, growth with head size, change
with age.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

INTRACRANIAL_ML = {"F": 1420.0, "M": 1590.0}
INTRACRANIAL_CV = 0.08
REFERENCE_AGE = 45.0


@dataclass(frozen=True)
class Norm:
    """One structure.

    Attributes:
        cv: standard deviation of the log volume between people of one head size, age and sex.
        allometry: exponent of the intracranial volume.
        age_per_year: change of the log volume with a year of age.
    """

    cv: float
    allometry: float
    age_per_year: float


NORMS: Mapping[str, Norm] = {
    "Cerebral-Cortex": Norm(0.035, 0.95, -0.0030),
    "Lateral-Ventricle": Norm(0.25, 1.10, 0.0150),
    "Inf-Lat-Vent": Norm(0.20, 0.80, 0.0100),
    "Cerebellum-White-Matter": Norm(0.09, 0.70, -0.0010),
    "Cerebellum-Cortex": Norm(0.075, 0.65, -0.0020),
    "Thalamus": Norm(0.060, 0.70, -0.0030),
    "Caudate": Norm(0.085, 0.70, -0.0025),
    "Putamen": Norm(0.075, 0.65, -0.0040),
    "Pallidum": Norm(0.080, 0.70, -0.0015),
    "3rd-Ventricle": Norm(0.18, 0.70, 0.0120),
    "4th-Ventricle": Norm(0.17, 0.50, 0.0010),
    "Brain-Stem": Norm(0.065, 0.75, -0.0005),
    "Hippocampus": Norm(0.075, 0.60, -0.0025),
    "Amygdala": Norm(0.090, 0.65, -0.0020),
    "Accumbens-area": Norm(0.110, 0.60, -0.0040),
    "VentralDC": Norm(0.060, 0.75, -0.0010),
}

OTHERS = Norm(0.08, 0.75, -0.002)
"""What a structure that is not listed gets."""

COMMON_SHARE, PAIR_SHARE = 0.15, 0.70
"""Of the variance: shared by all structures, shared by left and right; the rest is one side's."""

MAX_SD = 2.5
"""No structure of anybody lies further from its expectation: the neighbours need room."""

WITHIN_CV = 0.003
"""From one day to another, in one person: fluid, not anatomy."""
