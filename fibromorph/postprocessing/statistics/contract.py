"""The chronic-pain contract: the columns that studies of this kind have, with units and ranges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

COVARIATE, SCORE, COURSE = "covariate", "score", "course"


@dataclass(frozen=True)
class Measure:
    """One agreed variable.

    Attributes:
        name: the name used in design files.
        title: as it is written in the report.
        unit: of the values; empty for categories.
        low, high: the range a value must lie in; None for categories.
        role: what `--init` proposes it as.
        aliases: headers that mean the same, compared without case, spaces and punctuation.
    """

    name: str
    title: str
    unit: str
    low: float | None
    high: float | None
    role: str
    aliases: tuple[str, ...] = ()

    @property
    def numeric(self) -> bool:
        return self.low is not None


CONTRACT: tuple[Measure, ...] = (
    Measure("age", "age", "years", 0, 120, COVARIATE, ("ageyears", "agey", "ageatscan")),
    Measure("sex", "sex", "", None, None, COVARIATE, ("gender",)),
    Measure("education", "education", "years", 0, 40, COVARIATE, ("educationyears", "edu")),
    Measure("bmi", "body mass index", "kg/m2", 10, 90, COVARIATE, ("bodymassindex",)),
    Measure(
        *("pain_intensity", "pain intensity (NRS)", "points", 0, 10, SCORE),
        ("pi", "nrs", "nrspain", "painnrs", "painnow", "averagepain", "painseverity"),
    ),
    Measure(
        *("pain_threshold", "pressure pain threshold", "kPa", 0, 2000, SCORE),
        ("ppt", "threshold", "pressurepainthreshold", "painthresholdkpa"),
    ),
    Measure("fiq", "Fibromyalgia Impact Questionnaire", "points", 0, 100, SCORE, ("fiqr",)),
    Measure("wpi", "Widespread Pain Index", "points", 0, 19, SCORE, ("widespreadpainindex",)),
    Measure("sss", "Symptom Severity Scale", "points", 0, 12, SCORE, ("symptomseverity",)),
    Measure("bdi", "Beck Depression Inventory", "points", 0, 63, SCORE, ("bdi2", "bdiii")),
    Measure("cesd", "CES-D depression", "points", 0, 60, SCORE, ("ces", "cesdtotal")),
    Measure("hads_d", "HADS depression", "points", 0, 21, SCORE, ("hadsdepression",)),
    Measure("hads_a", "HADS anxiety", "points", 0, 21, SCORE, ("hadsanxiety",)),
    Measure("stai", "State-Trait Anxiety Inventory, both", "points", 0, 160, SCORE),
    Measure(
        *("pcs", "Pain Catastrophizing Scale", "points", 0, 52, SCORE),
        ("catastrophizing", "catastrophising", "paincatastrophizing"),
    ),
    Measure(
        *("activity", "physical activity", "min/week", 0, 10080, SCORE),
        ("physicalactivity", "activityminutes"),
    ),
    Measure(
        *("pain_duration", "duration of pain", "years", 0, 100, SCORE),
        ("fmyears", "duration", "durill", "painyears", "diseaseduration", "illnessduration"),
    ),
    Measure(
        *("medication", "medication", "", None, None, COURSE),
        ("drug", "meds", "medicated", "treatment"),
    ),
)


def squashed(header: str) -> str:
    """A header without case, spaces and punctuation, for comparison."""
    return "".join(c for c in header.casefold() if c.isalnum())


def measure_named(name: str) -> Measure | None:
    """The contract's measure of that exact name, if it has one."""
    return next((m for m in CONTRACT if m.name == name), None)


def header_of(measure: Measure, headers: Iterable[str]) -> str | None:
    """The first header that means this measure."""
    known = {squashed(measure.name), *measure.aliases}
    return next((h for h in headers if squashed(h) in known), None)
