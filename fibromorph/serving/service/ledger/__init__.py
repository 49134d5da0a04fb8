"""The ledger: a record of jobs, keys and who did what; not a queue, the work goes to Dask."""

from fibromorph.serving.service.ledger.accept import Request, new_id
from fibromorph.serving.service.ledger.audit import Audit
from fibromorph.serving.service.ledger.database import AWAY, Database
from fibromorph.serving.service.ledger.jobs import Ending, Jobs
from fibromorph.serving.service.ledger.keys import SCOPES, Keys, Scope, state_of
from fibromorph.serving.service.ledger.tables import ENDED, Job, State

__all__ = [
    "AWAY",
    "ENDED",
    "SCOPES",
    "Audit",
    "Database",
    "Ending",
    "Job",
    "Jobs",
    "Keys",
    "Request",
    "Scope",
    "State",
    "new_id",
    "state_of",
]
