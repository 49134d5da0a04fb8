"""DICOM files as slices: the few fields that matter, and nothing that names a person."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import BytesLengthException, InvalidDicomError

from fibromorph.scans.members import Member

# pydicom inflates this syntax whole, before any size can be checked.
DEFLATED = b"1.2.840.10008.1.2.1.99\x00"
# What pydicom raises, by value and by kind of damage, where a field cannot be understood.
DAMAGED = (
    *(InvalidDicomError, BytesLengthException, NotImplementedError, RecursionError, OSError),
    *(ValueError, TypeError, KeyError, AttributeError, EOFError, IndexError, OverflowError),
)
HEADER_TAGS = [
    *("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ProtocolName", "Modality"),
    *("SequenceName", "ImageType", "ScanningSequence", "SequenceVariant", "MRAcquisitionType"),
    *("RepetitionTime", "EchoTime", "InversionTime", "ContrastBolusAgent", "InstanceNumber"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("RescaleSlope", "RescaleIntercept", "SOPInstanceUID"),
    *("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"),
]


@dataclass(frozen=True, eq=False)
class Slice:
    """One plane of voxels in a DICOM file.

    Attributes:
        member: the file.
        frame: index inside a multi-frame file, None in an ordinary one.
        series: what the slices of one volume share; compared only, never shown or kept.
        header: the fields of `HEADER_TAGS`.
        position_lps: (3,) mm, centre of the first pixel.
        orientation: (6,) direction cosines of a row, then of a column, LPS.
        pixel_spacing_mm: between rows, between columns.
        number: instance number, or the frame's.
    """

    member: Member
    frame: int | None
    series: tuple[object, ...]
    header: Any
    position_lps: NDArray[np.float64]
    orientation: NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float]
    number: int

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) LPS unit vector across the slice."""
        across = np.cross(self.orientation[:3], self.orientation[3:])
        return np.asarray(across / np.linalg.norm(across))

    @property
    def along_mm(self) -> float:
        """Position along the normal, mm."""
        return float(self.normal @ self.position_lps)


@contextmanager
def tolerant() -> Iterator[None]:
    """Read values that break DICOM's own rules as far as they go, without a warning each."""
    with pydicom.config.disable_value_validation():
        yield


def read_slices(members: Iterable[Member]) -> list[Slice]:
    """Every slice with a place in space; meshes, DICOMDIR, reports and the like are passed over."""
    found: list[Slice] = []
    with tolerant():
        for member in members:
            content = member.read()
            if content[128:132] == b"DICM" and DEFLATED not in content:
                found += _slices(member, content)
    return found


def _slices(member: Member, content: bytes) -> list[Slice]:
    try:
        header = pydicom.dcmread(
            io.BytesIO(content), stop_before_pixels=True, specific_tags=HEADER_TAGS
        )
        # pydicom converts a field when it is first used: do it here, where damage costs one file.
        for _ in header.iterall():
            pass
        frames = header.get("PerFrameFunctionalGroupsSequence")
        if frames:
            made = [_frame_slice(member, header, index) for index in range(len(frames))]
        else:
            made = [_plain_slice(member, header)]
    except DAMAGED:
        return []
    return [s for s in made if s is not None and np.isfinite(s.position_lps).all()]


def _plain_slice(member: Member, header: Any) -> Slice | None:
    if "ImagePositionPatient" not in header or "Rows" not in header:
        return None
    if int(header.get("NumberOfFrames") or 1) > 1:
        return None
    return _slice(member, None, header, header, header, int(header.get("InstanceNumber") or 0))


def _frame_slice(member: Member, header: Any, index: int) -> Slice | None:
    """A frame of an enhanced multi-frame file: its place is in functional groups."""
    own = header.PerFrameFunctionalGroupsSequence[index]
    shared = (header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    position = _group(own, shared, "PlanePositionSequence")
    orientation = _group(own, shared, "PlaneOrientationSequence")
    measures = _group(own, shared, "PixelMeasuresSequence")
    place = pydicom.Dataset()
    place.ImagePositionPatient = position.ImagePositionPatient
    place.ImageOrientationPatient = orientation.ImageOrientationPatient
    return _slice(member, index, header, place, measures, index + 1)


def _group(own: Any, shared: Any, name: str) -> Any:
    return (own.get(name) or shared.get(name))[0]


def _slice(
    member: Member, frame: int | None, header: Any, place: Any, measures: Any, number: int
) -> Slice | None:
    orientation = np.array([float(v) for v in place.ImageOrientationPatient])
    position = np.array([float(v) for v in place.ImagePositionPatient])
    spacing = [float(v) for v in measures.PixelSpacing]
    lengths = np.linalg.norm(orientation.reshape(2, 3), axis=1)
    if position.size != 3 or np.abs(lengths - 1).max() > 0.05 or min(spacing) <= 0:
        return None
    series = (
        str(header.get("SeriesInstanceUID", "")),
        int(header.Rows),
        int(header.Columns),
        str(header.get("EchoTime", "")),
        tuple(str(t) for t in header.get("ImageType") or ()),
        tuple(np.round(orientation, 2).tolist()),
    )
    row_mm, column_mm = spacing
    return Slice(member, frame, series, header, position, orientation, (row_mm, column_mm), number)


def series_of(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Slices grouped into volumes, each sorted along its normal."""
    groups: dict[tuple[object, ...], list[Slice]] = {}
    for one in slices:
        groups.setdefault(one.series, []).append(one)
    return [sorted(g, key=lambda s: (s.along_mm, s.number)) for g in groups.values()]


def sha256_of(contents: Iterable[str]) -> str:
    """Hash of hashes, whatever order the files came in."""
    return hashlib.sha256("\n".join(sorted(contents)).encode()).hexdigest()
