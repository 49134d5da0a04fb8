"""T1-weighted scans in a BIDS tree: what is taken, what is left, and why."""

from fibromorph.datasets.bids.dataset import Dataset, open_dataset, require_dataset
from fibromorph.datasets.bids.finder import Candidate, Found, Left, Wanted, find_t1w
from fibromorph.datasets.bids.names import BidsName, parse_name
from fibromorph.datasets.bids.participants import Participants, read_participants

__all__ = [
    "BidsName",
    "Candidate",
    "Dataset",
    "Found",
    "Left",
    "Participants",
    "Wanted",
    "find_t1w",
    "open_dataset",
    "parse_name",
    "read_participants",
    "require_dataset",
]
