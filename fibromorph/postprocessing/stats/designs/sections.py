"""The parts of a design file, each with its defaults and rules."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fibromorph.postprocessing.stats.designs.contract import BY_NAME

EtivMethod = Literal["covariate", "residual", "power", "ratio", "none"]
VolumeKind = Literal["soft", "hard"]
MeasureName = Literal["volume", "thickness"]
CorrelationMethod = Literal["pearson", "spearman", "percentage_bend"]
SiteMethod = Literal["none", "covariate", "combat", "meta"]
Missing = Literal["drop", "impute"]
EffectUnit = Literal["d", "percent"]
Better = Literal["lower", "higher"]
Adjusted = Literal["change", "level"]


def _as_text(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("YAML reads this word as true or false: put it in quotes")
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_as_text)]
"""Text that may look like a number (levels coded 0 and 1)."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Table(Section):
    """How `participants.tsv` is read.

    Attributes:
        id_column: '' = the first of participant_id, SubjID, subject, subject_id, ID.
        missing_codes: texts that mean "not known", beside n/a, NA and empty cells.
        categorical: columns of numbers that are codes.
        by_session: of a table of one row a person: name of a score, of what varies with time, or of
            the scans' dates -> session -> the column that holds it there.
    """

    id_column: str = ""
    missing_codes: tuple[Text, ...] = ()
    categorical: tuple[str, ...] = ()
    by_session: dict[str, dict[Text, str]] = {}


class Groups(Section):
    """The column that tells patients from controls; other levels are left out, and counted."""

    column: str = "group"
    patients: Text
    controls: Text

    @model_validator(mode="after")
    def _two_levels(self) -> Groups:
        if self.patients == self.controls:
            raise ValueError("patients and controls must be two different levels")
        return self


class Score(Section):
    """A clinical score.

    Attributes:
        column: the study's own name of it.
        low, high: range; None = the contract's for a name of the contract, otherwise no check.
        patients_only: None = the contract's; True = never look at controls.
        better: which way is an improvement; None = the contract's, for other names not known.
    """

    column: str
    low: float | None = None
    high: float | None = None
    patients_only: bool | None = None
    better: Better | None = None

    def limits(self, name: str) -> tuple[float | None, float | None]:
        """The smallest and the largest value allowed, for the score called `name`."""
        measure = BY_NAME.get(name)
        low = self.low if self.low is not None or measure is None else measure.low
        high = self.high if self.high is not None or measure is None else measure.high
        return low, high

    def only_patients(self, name: str) -> bool:
        """Whether controls have no such score by definition."""
        if self.patients_only is not None:
            return self.patients_only
        return name in BY_NAME and BY_NAME[name].patients_only

    def improves(self, name: str) -> str:
        """'lower' or 'higher', '' where nobody can be said to have improved."""
        return self.better or (BY_NAME[name].better if name in BY_NAME else "")


def as_score(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


class Sessions(Section):
    """Which scans are compared over time.

    Attributes:
        rule: regular expression with groups `participant` and `session` for scan names; null =
            BIDS. `^(?P<participant>sub-\\d+)(?P<session>fu)?$` splits sub-01fu.
        rename: session as found -> session as meant, '' = none.
        baseline: the session that cross-sectional questions use; '' = the first by name.
        follow_up: later sessions in order; empty = no longitudinal question.
        arm: column of the treatment arms; '' = patients against controls, or patients alone.
        treated, untreated: levels of `arm`.
        time_varying: columns with a value a session (medication), from rows with a session_id.
        adjust: what covariates bear on: `change` (and level: covariate x session terms), or `level`
            alone, which supposes that nobody's change depends on them.
        bootstraps: resamplings of subjects.
        response: share of the baseline score by which a responder improves: 0.3, of pain intensity
            a moderate improvement, or 0.5, a substantial one (IMMPACT recommendations, Dworkin et
            al. 2008, J Pain 9:105-121).
    """

    rule: str | None = None
    rename: dict[Text, Text] = {}
    baseline: Text = ""
    follow_up: tuple[Text, ...] = ()
    arm: str = ""
    treated: Text = ""
    untreated: Text = ""
    time_varying: tuple[str, ...] = ()
    adjust: Adjusted = "change"
    bootstraps: int = Field(default=2000, ge=200, le=100_000)
    response: float = Field(default=0.3, gt=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> Sessions:
        if self.arm and not (self.treated and self.untreated):
            raise ValueError("an arm needs both of its levels, treated and untreated")
        if self.rule is not None:
            _require_participant_group(self.rule)
        return self


def _require_participant_group(rule: str) -> None:
    try:
        groups = re.compile(rule).groupindex
    except re.error as reason:
        raise ValueError(f"the rule must be a regular expression: {reason}") from None
    if "participant" not in groups:
        raise ValueError("the rule must have a group (?P<participant>...)")


class Site(Section):
    """Several scanners.

    Attributes:
        column: '' = one site.
        method: covariate (an indicator a site), combat (Fortin et al. 2018, group and covariates
            protected) or meta (random effects over sites).
        smallest: people a group a site must have; smaller sites are refused.
    """

    column: str = ""
    method: SiteMethod = "covariate"
    smallest: int = Field(default=5, ge=3)


class Exclusions(Section):
    """Who is left out.

    Attributes:
        quality_below: scans with a lower quality (0..1) are left out; 0 = none.
        participants: left out by name.
    """

    quality_below: float = Field(default=0.5, ge=0, le=1)
    participants: tuple[Text, ...] = ()


class Inference(Section):
    """How sure.

    Attributes:
        permutations: Freedman-Lane, for family-wise p.
        seed: of permutations, bootstraps and imputations.
        alpha: significance level, two-sided.
        confidence: of intervals.
        power: of the minimal detectable effect.
        collinear_above: share of a covariate's variance that group explains from which results
            are shown with and without it (0.2 is d = 1 in equal groups).
    """

    permutations: int = Field(default=10_000, ge=100, le=1_000_000)
    seed: int = Field(default=20230325, ge=0)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    power: float = Field(default=0.8, gt=0.5, lt=1)
    collinear_above: float = Field(default=0.2, gt=0, lt=1)


class SmallestEffect(Section):
    """The smallest effect that would matter: |effect| below it counts as equivalent to none."""

    value: float = Field(default=0.5, gt=0)
    unit: EffectUnit = "d"


class MissingCells(Section):
    """What happens to rows with an unknown covariate or volume; both are counted in any case."""

    method: Missing = "drop"
    imputations: int = Field(default=20, ge=5, le=200)


class Correlations(Section):
    """How scores are related to volumes; the first method is the primary one."""

    methods: tuple[CorrelationMethod, ...] = get_args(CorrelationMethod)


class Vbm(Section):
    """How maps of grey or white matter are compared voxel by voxel, see docs/vbm.md.

    Attributes:
        tissue: whose maps.
        smoothing_mm: full width at half maximum of the Gaussian; 0 = none.
        spacing_mm: of the voxels that are analysed; maps whose own are as long or longer keep them.
        permutations: of every question.
        tfce: threshold-free cluster enhancement decides; else the largest t.
        cluster_forming_p: uncorrected, of the clusters whose size is tested, too; null = not
            tested.
        mask_above: voxels are analysed whose mean over people is larger.
    """

    tissue: Literal["grey", "white"] = "grey"
    smoothing_mm: float = Field(default=8.0, ge=0, le=30)
    spacing_mm: float = Field(default=3.0, ge=1, le=10)
    permutations: int = Field(default=2000, ge=100, le=100_000)
    tfce: bool = True
    cluster_forming_p: float | None = Field(default=0.001, gt=0, le=0.05)
    mask_above: float = Field(default=0.1, ge=0, lt=1)

    @property
    def matter(self) -> str:
        """The tissue in prose."""
        return f"{self.tissue} matter"
