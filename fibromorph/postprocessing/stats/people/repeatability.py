"""The error of repetition with one protocol, which is that of change within a person.

Two scans with one protocol differ by less than two with any (Bland & Altman 1986, Lancet
327:307-310; Jacobson & Truax 1991, J Consult Clin Psychol 59:12-19). A bundle knows both errors,
and what it knows of repetition comes with the volumes as a share of their `sd_ml`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.people.responsive import read_beside

KEY = "repeatability"


def read_repeat_shares(path: Path) -> dict[str, float]:
    """Region -> share, from the JSON beside volumes; nothing where there is no file.

    Raises:
        TableError: the file is damaged.
    """
    return repeat_shares_in(read_beside(path), path)


def repeat_shares_in(content: Any, path: Path) -> dict[str, float]:
    """Region -> share, from what the JSON at `path` says; errors as `read_repeat_shares`'."""
    try:
        shares = {str(region): float(share) for region, share in content.get(KEY, {}).items()}
    except (ValueError, AttributeError, TypeError) as reason:
        rule = f"{KEY} must hold a number a region"
        raise TableError(rule, value=reason, subject=path) from None
    if not all(share > 0 for share in shares.values()):
        raise TableError(f"{KEY} must be above 0", value=min(shares.values()), subject=path)
    return shares
