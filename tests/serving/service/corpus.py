"""Uploads that mean harm, or are merely broken: none of them may become a job."""

from __future__ import annotations

import gzip
import io
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from tests.serving.service.tiny import write_head

HEADER, OFFSET = 348, 352
DIM, DATATYPE, VOX_OFFSET, SROW = 40, 70, 108, 280


def hostile_uploads(folder: Path) -> dict[str, bytes]:
    """Name -> the bytes of an upload that must be refused."""
    plain = gzip.decompress(write_head(folder / "head.nii.gz").read_bytes())
    return {
        "dimensions beyond memory": patched(plain, DIM, struct.pack("<4h", 3, 32767, 32767, 32767)),
        "negative dimensions": patched(plain, DIM, struct.pack("<4h", 3, -64, 64, 64)),
        "no dimensions": patched(plain, DIM, struct.pack("<4h", 0, 0, 0, 0)),
        "unknown voxel type": patched(plain, DATATYPE, struct.pack("<h", 9999)),
        "voxels of a colour image": patched(plain, DATATYPE, struct.pack("<h", 128)),
        "offset beyond the file": patched(plain, VOX_OFFSET, struct.pack("<f", 1e9)),
        "offset not a number": patched(plain, VOX_OFFSET, struct.pack("<f", float("nan"))),
        "NaN affine": nan_affine(plain),
        "header alone": plain[:HEADER],
        "truncated": plain[: len(plain) // 2],
        "truncated gzip": gzip.compress(plain)[:5000],
        "damaged gzip": patched(gzip.compress(plain), 300, b"\xff" * 64),
        "gzip bomb": gzip.compress(bytes(300 << 20), 9),
        "gzip bomb behind a header": gzip.compress(plain + bytes(300 << 20), 9),
        "gzip bomb that its header admits": gzip.compress(huge_of_zeros(), 9),
        "all voxels the same": constant(folder),
        "pickle": pickle.dumps({"a": 1}),
        "pickled array": pickled_array(),
        "zip slip": zipped({"../../etc/cron.d/x": b"DICM" * 100}),
        "absolute names": zipped({"/etc/passwd": b"x" * 400}),
        "zip of a link": link_zip(),
        "zip bomb": zipped({f"{n}.dcm": bytes(300 << 20) for n in range(4)}),
        "zip of nothing": zipped({}),
        "zip of text": zipped({"a.txt": b"hello" * 100}),
        "DICOM of one slice": dicom(64, 64),
        "DICOM with huge tags": dicom(64, 64, comment=b"x" * (32 << 20)),
        "DICOM with absurd rows": dicom(65535, 65535),
        "HTML": b"<!doctype html><script>alert(1)</script>",
        "noise": np.random.default_rng(0).bytes(100_000),
    }


def patched(content: bytes, at: int, other: bytes) -> bytes:
    """`content` with `other` written over it."""
    return content[:at] + other + content[at + len(other) :]


def nan_affine(plain: bytes) -> bytes:
    """Sform and qform both not a number."""
    nans = struct.pack("<12f", *[float("nan")] * 12)
    return patched(patched(plain, SROW, nans), 256, struct.pack("<6f", *[float("nan")] * 6))


def huge_of_zeros() -> bytes:
    """A header that says truly how many zeros follow: 512 x 512 x 512."""
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    header = patched(image.to_bytes()[:OFFSET], DIM, struct.pack("<4h", 3, 512, 512, 512))
    return header + bytes(512**3)


def constant(folder: Path) -> bytes:
    path = folder / "constant.nii.gz"
    nib.save(nib.Nifti1Image(np.full((64, 64, 64), 7, np.int16), np.diag([3.0, 3, 3, 1])), path)
    return path.read_bytes()


def pickled_array() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def link_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("slice.dcm")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


def dicom(rows: int, columns: int, comment: bytes = b"") -> bytes:
    """A zip of one slice that claims to have so many rows and columns."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    slice_ = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    slice_.SOPClassUID, slice_.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    slice_.Modality, slice_.SeriesInstanceUID = "MR", generate_uid()
    slice_.SeriesDescription = "T1 MPRAGE"
    slice_.Rows, slice_.Columns = rows, columns
    slice_.ImagePositionPatient, slice_.PixelSpacing = [0, 0, 0], [1, 1]
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit, slice_.PixelRepresentation = 15, 0
    slice_.PixelData = bytes(64 * 64 * 2)
    if comment:
        slice_.add_new(0x00091001, "OB", comment)
    out = io.BytesIO()
    slice_.save_as(out, enforce_file_format=True)
    return zipped({"1.dcm": out.getvalue()})
