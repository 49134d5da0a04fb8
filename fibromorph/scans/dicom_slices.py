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
LAST_FIRST_ELEMENT = 0x70
"""Of group 8: what comes first in a file without preamble is among its type, times and makers."""
SAME_DIRECTION = 0.01
"""Direction cosines of one volume's slices differ by less."""


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
    """Every slice with a place in space; meshes, DICOMDIR, reports and the like are passed over.

    A file that is there twice, as after two exports into one folder, counts once.
    """
    found: list[Slice] = []
    seen: set[bytes] = set()
    with tolerant():
        for member in members:
            content = member.read()
            digest = hashlib.sha256(content).digest()
            if is_dicom(content) and DEFLATED not in content and digest not in seen:
                seen.add(digest)
                found += _slices(member, content)
    return found


def is_dicom(content: bytes) -> bool:
    """Whether a file begins as DICOM does: with a preamble, or right away with group 2 or 8."""
    if content[128:132] == b"DICM":
        return True
    group, element = (int.from_bytes(content[n : n + 2], "little") for n in (0, 2))
    return group in (2, 8) and element <= LAST_FIRST_ELEMENT


def _slices(member: Member, content: bytes) -> list[Slice]:
    try:
        header = pydicom.dcmread(
            io.BytesIO(content), force=True, stop_before_pixels=True, specific_tags=HEADER_TAGS
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
        tuple(round(mm, 3) for mm in spacing),
    )
    row_mm, column_mm = spacing
    return Slice(member, frame, series, header, position, orientation, (row_mm, column_mm), number)


def series_of(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Slices grouped into volumes, each sorted along its normal."""
    groups: dict[tuple[object, ...], list[list[Slice]]] = {}
    for one in slices:
        alike = groups.setdefault(one.series, [])
        group = next((g for g in alike if _same_direction(g[0], one)), None)
        if group is None:
            alike.append([one])
        else:
            group.append(one)
    found = [group for alike in groups.values() for group in alike]
    return [sorted(group, key=lambda s: (s.along_mm, s.number)) for group in found]


def _same_direction(one: Slice, other: Slice) -> bool:
    return bool(np.abs(one.orientation - other.orientation).max() < SAME_DIRECTION)


def sha256_of(contents: Iterable[str]) -> str:
    """Hash of hashes, whatever order the files came in."""
    return hashlib.sha256("\n".join(sorted(contents)).encode()).hexdigest()
