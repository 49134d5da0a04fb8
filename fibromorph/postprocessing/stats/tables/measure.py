"""What tables hold: volumes in ml or thickness in mm, with the words and habits of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from fibromorph.postprocessing.stats.designs.sections import EtivMethod, MeasureName

INSIDE = "_ml"
"""How the analyses end the names of what has the measure's unit, whichever that is."""


@dataclass(frozen=True)
class BrainMeasure:
    """One kind of table.

    Attributes:
        name: as designs have it, and what a region has.
        unit: of the values, and what the columns of results that have it end with.
        one, many: a value and several, within a sentence.
        title: of a study that gives itself none.
        grew, shrank: what a region did.
        bounds: within which a region's median must be; None = any.
        summed: whether a whole has the sum of its parts; else it has their mean.
        head_size: how head size is taken out unless the design says it.
        head_sizes: other ways to do it that are as reasonable.
        kinds: whether a region can be told by posteriors (soft) and by voxels (hard).
    """

    name: MeasureName
    unit: str
    one: str
    many: str
    title: str
    grew: str
    shrank: str
    bounds: tuple[float, float] | None
    summed: bool
    head_size: EtivMethod
    head_sizes: tuple[EtivMethod, ...]
    kinds: bool

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of the analyses with the unit in its columns' names: `se_ml`, `se_mm`."""
        return _ending(table, INSIDE, f"_{self.unit}")

    def bare(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of `named` without the unit in its columns' names: `se`."""
        return _ending(table, f"_{self.unit}", "")


def _ending(table: pd.DataFrame, old: str, new: str) -> pd.DataFrame:
    ending = [str(name) for name in table.columns if str(name).endswith(old)]
    return table.rename(columns={name: name.removesuffix(old) + new for name in ending})


VOLUME = BrainMeasure(
    name="volume",
    unit="ml",
    one="volume",
    many="volumes",
    title="Regional brain volumes",
    grew="grew",
    shrank="shrank",
    bounds=None,
    summed=True,
    head_size="covariate",
    head_sizes=("covariate", "residual", "power"),
    kinds=True,
)
# The cortex is hardly thicker in larger heads: adjusting adds the error of eTIV and takes nothing.
THICKNESS = BrainMeasure(
    name="thickness",
    unit="mm",
    one="thickness value",
    many="thickness values",
    title="Regional cortical thickness",
    grew="thickened",
    shrank="thinned",
    bounds=(0.5, 8.0),
    summed=False,
    head_size="none",
    head_sizes=("none",),
    kinds=False,
)
MEASURES: Mapping[str, BrainMeasure] = {m.name: m for m in (VOLUME, THICKNESS)}
