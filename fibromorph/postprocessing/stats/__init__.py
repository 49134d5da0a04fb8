"""Group statistics of regional volumes or thickness; see docs/statistics.md."""

from fibromorph.postprocessing.stats.designs.design import Design, load_design, parse_design
from fibromorph.postprocessing.stats.groups.comparison import compare_groups, estimate, permute
from fibromorph.postprocessing.stats.groups.model import GroupModel, build_model
from fibromorph.postprocessing.stats.people.joining import build_study
from fibromorph.postprocessing.stats.people.study import Study
from fibromorph.postprocessing.stats.results import Results
from fibromorph.postprocessing.stats.run import analyse, compare, read_people, run_study
from fibromorph.postprocessing.stats.tables import (
    CohortVolumes,
    Participants,
    read_cohort,
    read_participants,
)

__all__ = [
    "CohortVolumes",
    "Design",
    "GroupModel",
    "Participants",
    "Results",
    "Study",
    "analyse",
    "build_model",
    "build_study",
    "compare",
    "compare_groups",
    "estimate",
    "load_design",
    "parse_design",
    "permute",
    "read_cohort",
    "read_participants",
    "read_people",
    "run_study",
]
