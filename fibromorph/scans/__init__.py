"""Read any scan, diagnose its header, conform it, and put results back on its own grid."""

from fibromorph.scans.geometry import working_grid
from fibromorph.scans.read import read_scan
from fibromorph.scans.reference import read_reference
from fibromorph.scans.resample import resample
from fibromorph.scans.restore import reach_of, restore_labels, restore_shares
from fibromorph.scans.scan import Finding, ReadLimits, Scan
from fibromorph.scans.write import write_intensities, write_labels, write_values

__all__ = [
    "Finding",
    "ReadLimits",
    "Scan",
    "reach_of",
    "read_reference",
    "read_scan",
    "resample",
    "restore_labels",
    "restore_shares",
    "working_grid",
    "write_intensities",
    "write_labels",
    "write_values",
]
