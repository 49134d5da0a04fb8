"""The design file: what is asked of volumes or thickness, with every default in sight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from fibromorph.errors import ConfigError
from fibromorph.postprocessing.stats.designs.sections import (
    Correlations,
    EtivMethod,
    Exclusions,
    Groups,
    Inference,
    MeasureName,
    MissingCells,
    Score,
    Section,
    Sessions,
    Site,
    SmallestEffect,
    Table,
    Vbm,
    VolumeKind,
    as_score,
)
from fibromorph.postprocessing.stats.tables.measure import VOLUME, BrainMeasure
from fibromorph.postprocessing.stats.tables.scan_ids import BIDS_RULE, ScanIds
from fibromorph.yaml_files import read_mapping, wrong


class Design(Section):
    """One study.

    Attributes:
        measure: what the tables must hold; None = what they hold, of folders that hold both
            volumes.
        volumes: `soft` sums posteriors, `hard` counts voxels; of volumes alone.
        weights: weight scans by the error of what was measured where that is known.
        covariates: adjusted for in every model; `age` and `sex` belong here. Those that are the
            same in everybody are left out.
        etiv: how head size is taken out; of thickness it is not, unless the design says so.
        combined: name -> regions whose volumes are summed (of thickness the mean is taken), to be
            named in `families`.
        families: family -> regions (names, or patterns with *); p values are corrected within a
            family. A region may be in one family only; patterns take no combined ones.
    """

    title: str = VOLUME.title
    measure: MeasureName | None = None
    volumes: VolumeKind = "soft"
    weights: bool = True
    table: Table = Table()
    groups: Groups
    covariates: tuple[str, ...] = ("age", "sex")
    etiv: EtivMethod = VOLUME.head_size
    combined: dict[str, tuple[str, ...]] = Field(default={})
    families: dict[str, tuple[str, ...]] = Field(default={"regions": ("*",)})
    scores: dict[str, Annotated[Score, BeforeValidator(as_score)]] = Field(default={})
    correlations: Correlations = Correlations()
    sessions: Sessions = Sessions()
    site: Site = Site()
    exclusions: Exclusions = Exclusions()
    missing: MissingCells = MissingCells()
    smallest_effect: SmallestEffect = SmallestEffect()
    inference: Inference = Inference()
    vbm: Vbm = Vbm()
    _source: str = PrivateAttr(default="design")

    @model_validator(mode="after")
    def _consistent(self) -> Design:
        if not self.families:
            raise ValueError("families must name at least one region")
        if self.groups.column in self.covariates:
            raise ValueError("the group column must not be a covariate as well")
        return self

    def at(self, *keys: str) -> str:
        """How errors name keys of the file that the design was read from."""
        return f"{self._source}, {'key' if len(keys) == 1 else 'keys'} {', '.join(keys)}"

    def of_measure(self, measure: BrainMeasure) -> Design:
        """The design with that measure's defaults for what it does not say itself."""
        own = {"title": measure.title, "etiv": measure.head_size}
        return self.model_copy(
            update={k: v for k, v in own.items() if k not in self.model_fields_set}
        )

    @property
    def ids(self) -> ScanIds:
        """How scan names are split."""
        rule = self.sessions.rule
        return ScanIds(rule or BIDS_RULE, self.sessions.rename, strict=rule is not None)


def load_design(path: Path) -> Design:
    """Read and check a design file.

    Raises:
        ConfigError: not readable, or a key with a wrong value; file, key and value are named.
    """
    if not path.exists():
        raise ConfigError("a design must exist; --init writes one", subject=path)
    return parse_design(read_mapping(path, "design"), str(path))


def parse_design(content: dict[str, Any], subject: str = "design") -> Design:
    """Check a design that was read already.

    Raises:
        ConfigError: as `load_design`.
    """
    try:
        design = Design.model_validate(content)
    except ValidationError as error:
        raise wrong(error, Design, subject) from None
    design._source = subject
    return design
