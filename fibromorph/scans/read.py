"""Any supported scan, read and diagnosed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from fibromorph.errors import ConfigError, ScanError
from fibromorph.file_names import is_derived
from fibromorph.grid import Grid
from fibromorph.scans.bounded import Stream, first_bytes, read_file
from fibromorph.scans.doctor import check_field_of_view, check_voxels
from fibromorph.scans.members import ZIP_MAGIC, Member, folder_members, zip_members
from fibromorph.scans.mgh import is_mgh, read_mgh
from fibromorph.scans.nifti import is_nifti, read_nifti
from fibromorph.scans.scan import ReadLimits, Scan, Volume

IMAGES = (".nii.gz", ".nii", ".mgz", ".mgh", ".mgh.gz")
OTHER_KIND = re.compile(r"_(T2w|T2starw|PDw|PDT2|FLAIR|inplaneT[12]|bold|sbref|dwi|epi|asl)\.")
FREESURFERS_SCAN, FREESURFERS_OWN = "orig.mgz", ("nu.mgz", "norm.mgz")
"""In FreeSurfer's `mri`: the scan, conformed, and two of the many images made from it."""
SUFFIXES = (*IMAGES, ".zip", ".dcm", ".gz")
ACCEPTED = "a scan must be NIfTI (.nii, .nii.gz), MGH/MGZ, or a DICOM series as a folder or zip"


def read_scan(path: Path, *, limits: ReadLimits = ReadLimits()) -> Scan:  # noqa: B008
    """Read a scan of any supported format and let the header doctor look at it.

    What the file is, is told from its content, not from its name. Names, dates, descriptions and
    identifiers in headers are neither kept nor reported.

    Args:
        path: NIfTI-1 or -2, MGH or MGZ, DICOM folder or zip.
        limits: sizes beyond which a scan is refused before memory is taken.

    Returns:
        The scan on its own lattice with the findings of the header doctor.

    Raises:
        ScanError: the scan breaks a rule; the message names rule, value and file.
    """
    path = Path(path)
    volume = _read_volume(path, limits)
    data, voxel_findings = check_voxels(volume.data, limits, path)
    i, j, k = data.shape
    grid = Grid((i, j, k), volume.affine_ijk_to_ras)
    findings = (*volume.findings, *voxel_findings, *check_field_of_view(data, grid))
    return Scan(data, grid, scan_stem(path), path, volume.format, volume.sha256, findings)


def scan_stem(path: Path) -> str:
    """The file's or folder's name without its scan suffix: NAME of the outputs."""
    name = path.name or path.resolve().name
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def scans_in(path: Path) -> list[Path]:
    """The scans that a path stands for: those in a folder, in their names' order, or itself.

    A folder is one of scans where images lie in it and no slice of a DICOM series does. Images
    whose names say that they are of another kind (BIDS' suffixes), or derived, are none. Of
    FreeSurfer's `mri` it is the scan that all others were made from.
    """
    if not path.is_dir():
        return [path]
    files = [p for p in sorted(path.iterdir()) if p.is_file() and not p.name.startswith(".")]
    images = [p for p in files if p.name.lower().endswith(IMAGES)]
    others = (p for p in files if not p.name.lower().endswith(IMAGES))
    if not images or any(_is_slice(p) for p in others):
        return [path]
    if {FREESURFERS_SCAN, *FREESURFERS_OWN} <= {p.name for p in images}:
        return [path / FREESURFERS_SCAN]
    scans = [p for p in images if not is_derived(p.name) and not OTHER_KIND.search(p.name)]
    return scans or [path]


def _is_slice(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _is_dicom(file.read(132))
    except OSError:
        return False


def require_distinct(paths: Sequence[Path]) -> None:
    """Refuse two scans of one name: files and tables tell scans apart by it.

    Raises:
        ConfigError: two have the same name without suffix.
    """
    stems: dict[str, Path] = {}
    for path in paths:
        other = stems.setdefault(scan_stem(path), path)
        if other is not path:
            raise ConfigError(
                f"scans need different names without suffix, this one and {other} share it",
                value=scan_stem(path),
                subject=path,
            )


def _read_volume(path: Path, limits: ReadLimits) -> Volume:
    if path.is_dir():
        return _read_dicom(folder_members(path, limits), limits, path)
    if first_bytes(path, limits, len(ZIP_MAGIC)) == ZIP_MAGIC:
        with zip_members(path, limits) as members:
            return _read_dicom(members, limits, path)
    content = read_file(path, limits)
    if content[128:132] == b"DICM":
        return _read_dicom([Member(path.name, lambda: content)], limits, path)
    sha256 = hashlib.sha256(content).hexdigest()
    stream = Stream(content, limits, path)
    head = stream.take(4)
    if is_nifti(head):
        return read_nifti(head, stream, limits, path, sha256)
    if is_mgh(head):
        return read_mgh(head, stream, limits, path, sha256)
    if path.suffix == ".img" and path.with_suffix(".hdr").exists():
        rule = "a pair of .hdr and .img must be one file: convert it to .nii.gz"
        raise ScanError(rule, value=path.with_suffix(".hdr").name, subject=path)
    if _is_dicom(content):
        return _read_dicom([Member(path.name, lambda: content)], limits, path)
    raise ScanError(ACCEPTED, value=f"first bytes {head!r}", subject=path)


def _is_dicom(content: bytes) -> bool:
    from fibromorph.scans.dicom_slices import is_dicom

    return is_dicom(content)


def _read_dicom(members: list[Member], limits: ReadLimits, path: Path) -> Volume:
    from fibromorph.scans.dicom import read_dicom

    return read_dicom(members, limits, path)
