"""A DICOM series out of a folder, a zip, or one multi-frame file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fibromorph.errors import ScanError
from fibromorph.scans.dicom_choice import choose_t1
from fibromorph.scans.dicom_slices import DAMAGED, read_slices, series_of
from fibromorph.scans.dicom_stack import read_stack
from fibromorph.scans.members import Member
from fibromorph.scans.scan import ReadLimits, Volume


def read_dicom(members: Iterable[Member], limits: ReadLimits, subject: Path) -> Volume:
    """The T1 series among `members`; arguments and errors as `read_stack`'s and `choose_t1`'s."""
    slices = read_slices(members)
    if not slices:
        rule = (
            "a folder must hold scans or the slices of a DICOM series, a zip such slices"
            " (a single slice is given by its folder, a BIDS data set to `fibromorph bids`)"
        )
        raise ScanError(rule, value="no DICOM slice with a position", subject=subject)
    with _clear_errors(subject):
        chosen, finding = choose_t1(series_of(slices), limits, subject)
        volume = read_stack(chosen.slices, limits, subject)
    return replace(volume, findings=(finding, *volume.findings))


@contextmanager
def _clear_errors(subject: Path) -> Iterator[None]:
    """Fields of the right type with a value that makes no sense, such as two series numbers."""
    try:
        yield
    except DAMAGED as error:
        rule = "the fields of every DICOM slice must make sense: export the series again"
        raise ScanError(rule, value=type(error).__name__, subject=subject) from error
