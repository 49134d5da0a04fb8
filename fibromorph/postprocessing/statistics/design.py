"""The design of a group study: what is asked of the tables, and how; every default is here."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

EtivMethod = Literal["covariate", "residual", "power", "ratio", "none"]
TableFormat = Literal["auto", "fibromorph", "freesurfer", "enigma", "synthseg"]


def _as_text(value: object) -> object:
    """YAML reads 1 and yes as other than text; levels are compared as written in the table."""
    return str(value) if isinstance(value, (int, float)) else value


Text = Annotated[str, BeforeValidator(_as_text)]


def _regex(value: str | None) -> str | None:
    try:
        re.compile(value or "")
    except re.error as reason:
        raise ValueError(f"must be a regular expression: {reason}") from None
    return value


class Part(BaseModel):
    """A section of the design file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Group(Part):
    column: str = Field(default="group", description="column of participants.tsv")
    patients: Text = Field(default="patient", description="its level for patients")
    controls: Text | None = Field(
        default="control",
        description="its level for controls; null: a single-arm study, change only",
    )


class Variable(Part):
    column: str = Field(description="column of participants.tsv")
    kind: Literal["auto", "number", "category"] = Field(
        default="auto", description="how it is read"
    )
    unit: str = Field(default="", description="unit, shown in the report")
    low: float | None = Field(default=None, description="values below are refused")
    high: float | None = Field(default=None, description="values above are refused")


class Etiv(Part):
    method: EtivMethod = Field(
        default="covariate",
        description="covariate, residual (line fitted on controls), power (exponent fitted on "
        "controls), ratio (biased where volumes do not grow in proportion), none",
    )


class Families(Part):
    regions: dict[str, list[str]] = Field(
        default_factory=dict,
        description="name: regions; p values are corrected within a family. "
        "Empty: deep grey matter, tissue, CSF spaces by name",
    )


class Point(Part):
    name: str = Field(description="time point")
    match: str = Field(description="regular expression searched for in the session's name")
    time: float = Field(description="since baseline, any unit")

    _check = field_validator("match")(_regex)


class Sessions(Part):
    id_suffix: str | None = Field(
        default=None,
        description="regular expression: the end of a participant_id that is really a session, "
        "as 'fu$' in sub-01fu",
    )
    points: list[Point] = Field(
        default_factory=list, description="time points, baseline first; empty: one scan a person"
    )

    _check = field_validator("id_suffix")(_regex)

    @model_validator(mode="after")
    def _rising(self) -> Sessions:
        times = [p.time for p in self.points]
        if times != sorted(set(times)) or len({p.name for p in self.points}) != len(times):
            raise ValueError("points need distinct names and rising times, baseline first")
        return self


class Change(Part):
    covariates: list[str] = Field(
        default_factory=list, description="of the mixed model, besides eTIV (age, sex, ...)"
    )
    time_varying: list[str] = Field(
        default_factory=list, description="as medication: needs rows by session in participants"
    )
    repeat_error_percent: float | None = Field(
        default=None,
        gt=0,
        lt=50,
        description="standard deviation of a repeated scan, % of the volume",
    )


class Site(Part):
    column: str | None = Field(
        default=None, description="column of participants.tsv; null: one site"
    )
    method: Literal["covariate", "meta", "combat"] = Field(
        default="covariate",
        description="covariate, meta (random-effects meta-analysis by site), combat "
        "(neuroCombat, protecting group and covariates)",
    )
    min_per_group: int = Field(
        default=5, ge=3, description="a site with fewer people a group is refused"
    )


class Quality(Part):
    column: str = Field(description="numeric column of the volumes or participants table")
    minimum: float | None = Field(default=None, description="scans below are excluded")
    maximum: float | None = Field(default=None, description="scans above are excluded")


class Exclusions(Part):
    participants: list[str] = Field(default_factory=list, description="left out, by hand")
    quality: list[Quality] = Field(default_factory=list, description="left out, by quality")


class Missing(Part):
    method: Literal["complete", "impute"] = Field(
        default="complete", description="complete cases by region, or multiple imputation"
    )
    imputations: int = Field(default=20, ge=2, le=200, description="imputed data sets")


class Tests(Part):
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="two-sided error rate")
    power: float = Field(default=0.8, gt=0.5, lt=1, description="for minimal detectable effects")
    smallest_effect_d: float = Field(
        default=0.5,
        gt=0,
        description="smallest effect of interest (d) for equivalence; set it beforehand",
    )
    prior_width: float = Field(default=0.707, gt=0, description="Cauchy prior of the Bayes factor")
    permutations: int = Field(
        default=10000, ge=99, description="Freedman-Lane, maximum over a family"
    )
    bootstraps: int = Field(default=2000, ge=99, description="over subjects")
    seed: int = Field(default=1, ge=0, description="of permutations, bootstraps and imputations")


class Sensitivity(Part):
    etiv: list[EtivMethod] = Field(
        default=["covariate", "residual", "power", "ratio", "none"], description="methods tried"
    )
    drop_covariates: bool = Field(
        default=True, description="also leave each covariate out, and all"
    )
    outlier_mad: float = Field(
        default=3.5, gt=0, description="also leave out volumes this many MAD away"
    )


class Design(Part):
    """A whole design file."""

    format: TableFormat = Field(
        default="auto", description="of the volumes table; auto: by its header"
    )
    group: Group = Field(default_factory=Group)
    variables: dict[str, Variable] = Field(
        default_factory=dict, description="names used below, and the columns they stand for"
    )
    covariates: list[str] = Field(default_factory=list, description="adjusted for (not eTIV)")
    etiv: Etiv = Field(default_factory=Etiv)
    families: Families = Field(default_factory=Families)
    scores: list[str] = Field(default_factory=list, description="correlated with volumes")
    site: Site = Field(default_factory=Site)
    sessions: Sessions = Field(default_factory=Sessions)
    change: Change = Field(default_factory=Change)
    exclusions: Exclusions = Field(default_factory=Exclusions)
    missing: Missing = Field(default_factory=Missing)
    tests: Tests = Field(default_factory=Tests)
    sensitivity: Sensitivity = Field(default_factory=Sensitivity)
    atlas: str | None = Field(
        default=None,
        description="label image (FreeSurfer ids, MNI space) to paint on; null: schematic",
    )

    @model_validator(mode="after")
    def _arms(self) -> Design:
        if self.group.controls is None and not self.sessions.points:
            raise ValueError("a study without controls needs sessions.points to show change")
        if self.group.controls == self.group.patients:
            raise ValueError("group.patients and group.controls must differ")
        return self
