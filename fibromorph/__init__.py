"""fibromorph: from a T1-weighted scan to regional brain volumes and honest statistics."""

__version__ = "0.1.0"
