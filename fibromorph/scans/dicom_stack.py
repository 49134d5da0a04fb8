"""The slices of one DICOM series as a volume: order, gaps, duplicates, affine, grey values."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from fibromorph.errors import ScanError
from fibromorph.grid import Affine, Grid, Shape3
from fibromorph.scans.dicom_slices import Slice, sha256_of, tolerant
from fibromorph.scans.doctor import check_grid, check_shape
from fibromorph.scans.scan import Finding, JsonValue, ReadLimits, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
SAME_PLACE = 0.01
IRREGULAR = 0.2


@dataclass(frozen=True, eq=False)
class Layout:
    """Which slice of the volume each DICOM slice is.

    Attributes:
        slices: one a place, in order along the normal.
        index: place of each in the volume.
        n_slices: places, missing ones included.
        step_lps: (3,) mm from one place to the next.
    """

    slices: tuple[Slice, ...]
    index: NDArray[np.int_]
    n_slices: int
    step_lps: NDArray[np.float64]

    @property
    def missing(self) -> list[int]:
        """Places without a slice."""
        return sorted(set(range(self.n_slices)) - set(self.index.tolist()))


def read_stack(slices: Sequence[Slice], limits: ReadLimits, subject: Path) -> Volume:
    """A series as one volume on its own lattice.

    Args:
        slices: of one series, sorted along the normal.
        limits: what the scan may be, and which gaps are filled.
        subject: the folder or zip named in errors.

    Raises:
        ScanError: a time series, irregular or large gaps, sizes over a limit, or pixels that
            cannot be decoded.
    """
    single, findings = _drop_duplicates(slices, subject)
    layout = _lay_out(single, subject)
    findings += _check_gaps(layout, limits, subject)
    shape = _shape(layout, limits, subject)
    affine = _affine(layout)
    findings += check_grid(Grid(shape, affine), limits, subject)
    data, sha256 = _voxels(layout, subject)
    if str(layout.slices[0].header.get("PhotometricInterpretation", "")) == "MONOCHROME1":
        data = data.max() - data
        message = "The series is stored as MONOCHROME1, dark where it is bright: it was inverted."
        findings += (Finding("monochrome1", "mended", message),)
    return Volume(data, affine, "DICOM", sha256, findings)


def _drop_duplicates(
    slices: Sequence[Slice], subject: Path
) -> tuple[list[Slice], tuple[Finding, ...]]:
    steps = np.diff([s.along_mm for s in slices])
    typical = float(np.median(steps[steps > 1e-3])) if (steps > 1e-3).any() else 0.0
    if typical == 0.0:
        rule = "the slices of a series must lie at different places"
        raise ScanError(rule, value=f"{len(slices)} at one", subject=subject)
    first = [True, *(steps > SAME_PLACE * typical).tolist()]
    kept = [s for s, new in zip(slices, first, strict=True) if new]
    dropped = len(slices) - len(kept)
    if dropped >= len(kept):
        rule = "a DICOM series must be one volume, not a time or echo series: export one volume"
        value = f"{len(slices)} slices at {len(kept)} places"
        raise ScanError(rule, value=value, subject=subject)
    if not dropped:
        return kept, ()
    message = f"{dropped} slices lie where another one does; the one with the lowest number stayed."
    return kept, (Finding("duplicate_slices", "mended", message, dropped),)


def _lay_out(slices: Sequence[Slice], subject: Path) -> Layout:
    along = np.array([s.along_mm for s in slices])
    steps = np.diff(along)
    typical = float(np.median(steps))
    counts = np.rint(steps / typical)
    residual = float(np.abs(steps / typical - counts).max())
    if residual > IRREGULAR or counts.min() < 1:
        rule = "the slices of a series must be evenly spaced"
        value = f"{steps.min():.2f} to {steps.max():.2f} mm apart"
        raise ScanError(rule, value=value, subject=subject)
    index = np.concatenate([[0], np.cumsum(counts)]).astype(int)
    n_slices = int(index[-1]) + 1
    # The first and last positions, not the normal: a tilted stack is sheared, and says so.
    step_lps = (slices[-1].position_lps - slices[0].position_lps) / (n_slices - 1)
    return Layout(tuple(slices), index, n_slices, step_lps)


def _check_gaps(layout: Layout, limits: ReadLimits, subject: Path) -> tuple[Finding, ...]:
    missing = layout.missing
    if not missing:
        return _check_numbers(layout)
    longest = int(np.diff(layout.index).max()) - 1
    places = ", ".join(str(m + 1) for m in missing[:10])
    share = len(missing) / layout.n_slices
    if longest > limits.max_missing_run or share > limits.max_missing_fraction:
        rule = (
            f"a DICOM series may miss {limits.max_missing_run} slice in a row and "
            f"{limits.max_missing_fraction:.0%} in all: export it again"
        )
        value = f"{len(missing)} of {layout.n_slices} missing, at {places}"
        raise ScanError(rule, value=value, subject=subject)
    message = (
        f"{len(missing)} of {layout.n_slices} slices missing (number {places} along the stack); "
        "filled by linear interpolation between the neighbours."
    )
    at: JsonValue = [m + 1 for m in missing]
    counts: JsonValue = {"missing": len(missing), "of": layout.n_slices, "at": at}
    return (Finding("missing_slices", "warning", message, counts),)


def _check_numbers(layout: Layout) -> tuple[Finding, ...]:
    """A slice missing at either end leaves no gap in space, but one in the numbers."""
    numbers = np.array([s.number for s in layout.slices])
    beyond = int(min(numbers[0], numbers[-1])) - 1
    consecutive = bool((np.abs(np.diff(numbers)) == 1).all())
    if not consecutive or beyond < 1 or beyond > 5:
        return ()
    message = (
        f"The numbering of the slices starts at {beyond + 1}: {beyond} may be missing at an end."
    )
    return (Finding("missing_end_slices", "warning", message, beyond),)


def _shape(layout: Layout, limits: ReadLimits, subject: Path) -> Shape3:
    header = layout.slices[0].header
    rows, columns = int(header.Rows), int(header.Columns)
    frames = int(header.get("NumberOfFrames") or 1)
    # A multi-frame file is decoded whole, also the frames that belong to other volumes.
    check_shape((columns, rows, max(frames, layout.n_slices)), limits, subject)
    return columns, rows, layout.n_slices


def _affine(layout: Layout) -> Affine:
    """Pixel (column i, row j, place k) to RAS mm (DICOM PS3.3 C.7.6.2.1.1)."""
    first = layout.slices[0]
    row_mm, column_mm = first.pixel_spacing_mm
    affine = np.eye(4)
    affine[:3, 0] = LPS_TO_RAS @ first.orientation[:3] * column_mm
    affine[:3, 1] = LPS_TO_RAS @ first.orientation[3:] * row_mm
    affine[:3, 2] = LPS_TO_RAS @ layout.step_lps
    affine[:3, 3] = LPS_TO_RAS @ first.position_lps
    return affine


def _voxels(layout: Layout, subject: Path) -> tuple[NDArray[np.float32], str]:
    """(i, j, k) float32, gaps filled, and the hash of the files it came from."""
    header = layout.slices[0].header
    stack = np.empty((layout.n_slices, int(header.Rows), int(header.Columns)), dtype=np.float32)
    hashes: dict[str, str] = {}
    decoded: tuple[str, Any, Any] = ("", None, None)
    with tolerant():
        for place, one in zip(layout.index, layout.slices, strict=True):
            if decoded[0] != one.member.name:
                content = one.member.read()
                hashes[one.member.name] = hashlib.sha256(content).hexdigest()
                decoded = (one.member.name, *_decode(content, one, subject))
            pixels = decoded[1] if one.frame is None else decoded[1][one.frame]
            stack[place] = _rescale(pixels, one, decoded[2])
    for place in layout.missing:
        # Runs of one: both neighbours exist. Longer runs are weighted by distance.
        _fill(stack, layout.index, place)
    return stack.transpose(2, 1, 0), sha256_of(hashes.values())


def _decode(content: bytes, one: Slice, subject: Path) -> tuple[NDArray[Any], Any]:
    try:
        dataset = pydicom.dcmread(io.BytesIO(content), force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:  # no preamble, no group 2
            implicit, _ = dataset.original_encoding
            syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            dataset.file_meta.TransferSyntaxUID = syntax
        pixels = dataset.pixel_array
    except Exception as error:
        # pydicom's decoders raise many kinds; all mean that this file gives no picture.
        rule = (
            "the pixels of every slice must be decodable: "
            "export uncompressed DICOM, or convert with dcm2niix"
        )
        value = f"{one.member.name[:60]}: {_short(error)}"
        raise ScanError(rule, value=value, subject=subject) from error
    expected = (int(one.header.Rows), int(one.header.Columns))
    if pixels.shape[-2:] != expected:
        raise ScanError("slices must agree in size", value=pixels.shape, subject=subject)
    return pixels, dataset


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:120]}" if str(error) else "?"


def _rescale(pixels: NDArray[Any], one: Slice, dataset: Any) -> NDArray[np.float32]:
    source = dataset
    if one.frame is not None:
        own = dataset.PerFrameFunctionalGroupsSequence[one.frame]
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
        groups = own.get("PixelValueTransformationSequence") or shared.get(
            "PixelValueTransformationSequence"
        )
        source = groups[0] if groups else pydicom.Dataset()
    slope = float(source.get("RescaleSlope") or 1.0)
    intercept = float(source.get("RescaleIntercept") or 0.0)
    return pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _fill(stack: NDArray[np.float32], known: NDArray[np.int_], place: int) -> None:
    above = int(known[known > place].min())
    below = int(known[known < place].max())
    weight = np.float32((place - below) / (above - below))
    stack[place] = (1 - weight) * stack[below] + weight * stack[above]
