"""Reading: volumes of several tools and participants of BIDS, into the same two tables."""

from fibromorph.postprocessing.stats.tables.cohort import CohortVolumes
from fibromorph.postprocessing.stats.tables.combined import with_combined
from fibromorph.postprocessing.stats.tables.formats import read_cohort
from fibromorph.postprocessing.stats.tables.participants import Participants, read_participants
from fibromorph.postprocessing.stats.tables.scan_ids import ScanIds
from fibromorph.postprocessing.stats.tables.session_files import with_session_files
from fibromorph.postprocessing.stats.tables.wide import by_session

__all__ = [
    "CohortVolumes",
    "Participants",
    "ScanIds",
    "by_session",
    "read_cohort",
    "read_participants",
    "with_combined",
    "with_session_files",
]
