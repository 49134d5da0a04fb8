"""Read any scan, diagnose its header, conform it, and put results back on its own grid."""

from fibromorph.scans.geometry import working_grid
from fibromorph.scans.read import read_scan
from fibromorph.scans.reference import read_reference
from fibromorph.scans.resample import resample
from fibromorph.scans.restore import restore_labels
from fibromorph.scans.scan import Finding, ReadLimits, Scan
from fibromorph.scans.write import write_intensities, write_labels

__all__ = [
    "Finding",
    "ReadLimits",
    "Scan",
    "read_reference",
    "read_scan",
    "resample",
    "restore_labels",
    "working_grid",
    "write_intensities",
    "write_labels",
]
