"""A head whose left is known, and files of it in every format, made on the fly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from fibromorph.grid import Grid, Shape3
from fibromorph.scans import Scan

RADII_MM = (56.0, 70.0, 52.0)
LEFT_MARKER_RAS = (-30.0, 20.0, 10.0)
LEFT_ID, RIGHT_ID, MIDLINE_ID = 17, 53, 16
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
T1_FIELDS: dict[str, Any] = {"RepetitionTime": 2300, "EchoTime": 2.9, "MRAcquisitionType": "3D"}
T2_FIELDS: dict[str, Any] = {"RepetitionTime": 5000, "EchoTime": 90, "MRAcquisitionType": "2D"}


def ras_grid(shape: Shape3 = (64, 76, 60), spacing_mm: tuple[float, ...] = (2.0, 2.0, 2.0)) -> Grid:
    """A RAS lattice centred on the phantom, but for a few mm."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = np.array([1.0, -2.0, 3.0]) - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return Grid(shape, affine)


def stored_as(grid: Grid, codes: str) -> Grid:
    """The same voxel centres with the axes of `codes`, such as 'LPI'."""
    turn = ornt_transform(io_orientation(grid.affine_ijk_to_ras), axcodes2ornt(codes))
    shape = [0, 0, 0]
    for axis, (target, _) in enumerate(turn.astype(int)):
        shape[target] = grid.shape[axis]
    affine = grid.affine_ijk_to_ras @ inv_ornt_aff(turn, grid.shape)
    return Grid((shape[0], shape[1], shape[2]), np.asarray(affine))


def turned(grid: Grid, degrees: float) -> Grid:
    """The lattice turned about its centre: around the x axis, then half as far around z."""
    matrix = _rotation(0, degrees) @ _rotation(2, degrees / 2)
    affine = np.eye(4)
    affine[:3, :3] = matrix @ grid.affine_ijk_to_ras[:3, :3]
    affine[:3, 3] = grid.centre_ras - affine[:3, :3] @ ((np.asarray(grid.shape) - 1) / 2)
    return Grid(grid.shape, affine)


def _rotation(axis: int, degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b = [n for n in range(3) if n != axis]
    matrix = np.eye(3)
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = c, -s, s, c
    return matrix


def ras_mm(grid: Grid) -> NDArray[np.float64]:
    """(3, i, j, k) world coordinates of the voxel centres."""
    index = np.indices(grid.shape, dtype=float)
    place = np.tensordot(grid.affine_ijk_to_ras[:3, :3], index, axes=1)
    return np.asarray(place + grid.affine_ijk_to_ras[:3, 3, None, None, None])


def head(grid: Grid) -> NDArray[np.float32]:
    """A smooth head of about 100 to 300 with a marker of about 900 on the left."""
    x, y, z = ras_mm(grid)
    radius = np.sqrt((x / RADII_MM[0]) ** 2 + (y / RADII_MM[1]) ** 2 + (z / RADII_MM[2]) ** 2)
    inside = 1 / (1 + np.exp((radius - 0.9) * 30))
    tissue = 200 + 50 * np.sin(x / 15) + 40 * np.cos(y / 19) + z / 4
    return np.asarray(inside * tissue + 700 * _ball(grid, LEFT_MARKER_RAS, 12.0), dtype=np.float32)


def _ball(grid: Grid, centre: tuple[float, ...], radius_mm: float) -> NDArray[np.float64]:
    offset = ras_mm(grid) - np.reshape(centre, (3, 1, 1, 1))
    distance_mm = np.sqrt((offset**2).sum(axis=0))
    return np.asarray(1 / (1 + np.exp((distance_mm - radius_mm) / 1.5)))


def head_labels(grid: Grid) -> NDArray[np.int16]:
    """A ball on the left, a smaller one on the right, one in the middle."""
    labels = np.zeros(grid.shape, dtype=np.int16)
    labels[_ball(grid, LEFT_MARKER_RAS, 16.0) > 0.5] = LEFT_ID
    labels[_ball(grid, (30.0, 20.0, 10.0), 12.0) > 0.5] = RIGHT_ID
    labels[_ball(grid, (0.0, -30.0, -10.0), 14.0) > 0.5] = MIDLINE_ID
    return labels


def marker_ras(data: NDArray[np.float32], grid: Grid) -> NDArray[np.float64]:
    """(3,) where the middle of the bright marker is found, RAS mm."""
    bright = np.argwhere(data > 600).mean(axis=0)
    return np.asarray(grid.affine_ijk_to_ras[:3, :3] @ bright + grid.affine_ijk_to_ras[:3, 3])


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def codes(scan: Scan) -> list[str]:
    """The rules that had something to say."""
    return [finding.code for finding in scan.findings]


def nifti(grid: Grid, data: NDArray[Any] | None = None, *, version: int = 1) -> Any:
    """A NIfTI image of the head (or of `data`) with agreeing sform and qform."""
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    image = kind(head(grid) if data is None else data, grid.affine_ijk_to_ras)
    image.set_sform(grid.affine_ijk_to_ras, 1)
    image.set_qform(grid.affine_ijk_to_ras, 1)
    image.header.set_xyzt_units("mm")
    return image


def save(image: Any, path: Path) -> Path:
    nib.save(image, path)
    return path


def patched(path: Path, at: int, content: bytes) -> Path:
    """Overwrite bytes of an uncompressed file: headers that no library would write."""
    raw = bytearray(path.read_bytes())
    raw[at : at + len(content)] = content
    path.write_bytes(bytes(raw))
    return path


def write_series(
    folder: Path, grid: Grid, *, number: int = 1, missing: tuple[int, ...] = (), **fields: Any
) -> Path:
    """The head as one DICOM file a slice: i runs along a row, j down a column, k across.

    `fields` overwrite or add to the header of every slice; `missing` are places along k.
    """
    folder.mkdir(exist_ok=True)
    data, series = head(grid).round().astype(np.uint16), generate_uid()
    for k in range(grid.shape[2]):
        if k not in missing:
            dataset = slice_dataset(grid, data, k)
            dataset.update_from(number, series, fields)
            pydicom.dcmwrite(folder / f"s{number}_{k:03d}.dcm", dataset, enforce_file_format=True)
    return folder


class SliceDataset(Dataset):
    """A data set that takes fields by name."""

    def update_from(self, number: int, series: str, fields: dict[str, Any]) -> None:
        self.SeriesNumber, self.SeriesInstanceUID = number, series
        for name, value in fields.items():
            setattr(self, name, value)


def slice_dataset(grid: Grid, data: NDArray[np.uint16], k: int) -> SliceDataset:
    """One slice with its pixels and place (LPS), and a patient who must not show up."""
    dataset = _pixels(data[:, :, k].T)
    affine = LPS @ grid.affine_ijk_to_ras
    i_mm, j_mm, k_mm = grid.spacing_mm
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "4711"
    dataset.ImageOrientationPatient = [*(affine[:3, 0] / i_mm), *(affine[:3, 1] / j_mm)]
    dataset.ImagePositionPatient = list((affine @ [0, 0, k, 1])[:3])
    dataset.PixelSpacing, dataset.SliceThickness = [j_mm, i_mm], k_mm
    dataset.InstanceNumber = k + 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    return dataset


def _pixels(pixels: NDArray[np.uint16]) -> SliceDataset:
    dataset = SliceDataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, generate_uid()
    dataset.Modality, dataset.PhotometricInterpretation = "MR", "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    return dataset


def write_multiframe(path: Path, grid: Grid) -> Path:
    """The head as one enhanced multi-frame file, places in functional groups."""
    data = head(grid).round().astype(np.uint16)
    dataset = _pixels(data.transpose(2, 1, 0))
    dataset.NumberOfFrames, dataset.SeriesDescription = grid.shape[2], "T1 MPRAGE"
    dataset.update_from(3, generate_uid(), T1_FIELDS)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [_frame(slice_dataset(grid, data, k)) for k in range(grid.shape[2])]
    )
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def _frame(one: Dataset) -> Dataset:
    frame = Dataset()
    for group, names in {
        "PlanePositionSequence": ("ImagePositionPatient",),
        "PlaneOrientationSequence": ("ImageOrientationPatient",),
        "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    }.items():
        item = Dataset()
        for name in names:
            setattr(item, name, getattr(one, name))
        setattr(frame, group, Sequence([item]))
    return frame


def shared_data(relative: str) -> Path:
    """A file of the data that lies beside the repository; the test skips where it is absent."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    path = Path(os.environ.get("FIBROMORPH_DATA", beside)) / relative
    if not path.exists():
        pytest.skip(f"needs {relative} of the shared data (FIBROMORPH_DATA)")
    return path
