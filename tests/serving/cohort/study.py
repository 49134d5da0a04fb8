"""A simulated BIDS study with what real ones have: missing, broken, doubled and misnamed files."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.pose import AVERAGE_STEP_MM, average_brain

SPACING_MM = 4.0
SHAPE = (44, 52, 48)
SESSIONS = ("01", "02")


@dataclass(frozen=True)
class Study:
    """Where a study lies and what the right answers are.

    Attributes:
        root: BIDS_DIR.
        good: scans that can be segmented, relative to `root`.
        bad: scans that are taken and must fail.
        left: file, session or subject -> a word of the reason why it is left.
        worse: runs that are worse than their sibling.
        odd: a scan whose proportions are no other's.
    """

    root: Path
    good: tuple[str, ...]
    bad: tuple[str, ...]
    left: dict[str, str]
    worse: tuple[str, ...]
    odd: str


def head(rng: np.random.Generator, noise: float = 4.0, core: float = 0.75) -> NDArray[np.float32]:
    """(i, j, k) a skull-stripped head: bright core of this size, darker mantle, no more.

    Both have the outline of a brain, so that how it lies can be told.
    """
    size = rng.uniform(0.95, 1.05, 3)
    bright, inside = (_brain_shaped(size * part) for part in (core, 1.0))
    image = np.where(bright, 200.0, np.where(inside, 120.0, 0.0))
    return np.asarray(image + inside * rng.normal(0, noise, SHAPE), np.float32).clip(0)


def _brain_shaped(size: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(i, j, k) an average brain, this much larger along each axis, around the middle."""
    average = average_brain()
    voxels = [(np.arange(n) - (n - 1) / 2) * SPACING_MM for n in SHAPE]
    places = [
        axis / (stretch * AVERAGE_STEP_MM) + (n - 1) / 2
        for axis, stretch, n in zip(voxels, size, average.shape, strict=True)
    ]
    shares = ndimage.map_coordinates(average, np.meshgrid(*places, indexing="ij"), order=1)
    return np.asarray(shares > 0.5)


def folded_head(person: int, noise_seed: int = 0) -> NDArray[np.float32]:
    """(i, j, k) a head with folds that are no one else's, and the noise of one scan."""
    rng = np.random.default_rng(person)
    image = head(rng, noise=0.0)
    folds = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.2)
    noise = np.random.default_rng([person, noise_seed]).normal(0, 2.0, SHAPE) * (image > 0)
    return np.asarray(image * (1 + 0.3 * folds / folds.std()) + noise, np.float32).clip(0)


def write_scan(path: Path, image: NDArray[np.float32], *, sidecar: bool = True) -> None:
    """Write a T1w scan, and a sidecar that says nothing remarkable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = -SPACING_MM * (np.array(SHAPE) - 1) / 2
    content = nib.Nifti1Image(np.rint(image).astype(np.int16), affine).to_bytes()
    path.write_bytes(gzip.compress(content, 1, mtime=0))
    if sidecar:
        facts = {"Modality": "MR", "MagneticFieldStrength": 3}
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(facts))


def scan_path(subject: int, session: str, rest: str = "") -> str:
    """Relative path of a T1w scan."""
    folder = f"sub-{subject:02d}/ses-{session}/anat"
    return f"{folder}/sub-{subject:02d}_ses-{session}_{rest}T1w.nii.gz"


def write_study(root: Path, subjects: int, seed: int = 0) -> Study:
    """Write a study of `subjects` (10 or more) with two sessions each and all of the mess.

    Args:
        root: BIDS_DIR, made.
        subjects: how many.
        seed: of the heads.
    """
    root.mkdir(parents=True)
    scans = {scan_path(s, t) for s in range(1, subjects + 1) for t in SESSIONS}
    for number, scan in enumerate(sorted(scans)):
        rng = np.random.default_rng([seed, number])
        write_scan(root / scan, head(rng), sidecar=number % 7 != 3)
    _write_tables(root, subjects)
    bad = _break_scans(root)
    worse = _double_scans(root, scans)
    left = _leave_scans(root, scans)
    odd = scan_path(10, "02")
    write_scan(root / odd, head(np.random.default_rng(7), core=0.6))
    return Study(root, tuple(sorted(scans - set(bad) - set(left))), bad, left, worse, odd)


def _write_tables(root: Path, subjects: int) -> None:
    facts = {"Name": "Simulated", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(facts))
    (root / "README").write_text("Simulated heads with what real studies have.\n")
    rows = [f"{n}\t{'patient' if n % 2 else 'control'}\t{30 + n}" for n in range(1, subjects + 1)]
    # A first column of another name, ids without prefix and zeros, one who never came.
    table = "\n".join(("\ufeffSubject ID\tgroup\tage", *rows, "99\tpatient\t41")) + "\n"
    (root / "participants.tsv").write_text(table, encoding="utf-8")
    times = "session_id\tacq_time\nses-01\t1843-02-03T10:00:00\n"
    (root / "sub-01" / "sub-01_sessions.tsv").write_text(times)


def _break_scans(root: Path) -> tuple[str, ...]:
    """A truncated file, and a bottle of water: only reading them shows it."""
    truncated, bottle = scan_path(2, "01"), scan_path(3, "02")
    content = (root / truncated).read_bytes()
    (root / truncated).write_bytes(content[: len(content) // 2])
    image = np.zeros(SHAPE, np.float32)
    image[20:26, 20:26, 20:30] = 100 + np.random.default_rng(0).normal(0, 4, (6, 6, 10))
    write_scan(root / bottle, image)
    return truncated, bottle


def _double_scans(root: Path, scans: set[str]) -> tuple[str, ...]:
    """A second run whose noise drowns the contrast, and a single run that is named as one."""
    single, first, second = (scan_path(4, "01", rest) for rest in ("", "run-1_", "run-2_"))
    (root / single).rename(root / first)
    write_scan(root / second, head(np.random.default_rng(5), noise=60.0))
    scans.discard(single)
    scans.update((first, second))
    return (second,)


def _leave_scans(root: Path, scans: set[str]) -> dict[str, str]:
    annexed, pointer, flat = scan_path(5, "01"), scan_path(5, "02"), scan_path(6, "01")
    gadolinium, stray = scan_path(7, "01", "ce-gad_"), scan_path(7, "02", "run-x_bad_")
    (root / annexed).unlink()
    key = "SHA256E-s100--0.nii.gz"
    (root / annexed).symlink_to(f"../../../.git/annex/objects/a/b/{key}/{key}")
    (root / pointer).write_text(f"/annex/objects/{key}\n")
    (root / flat).write_bytes(b"")
    for extra, like in ((gadolinium, scan_path(7, "01")), (stray, scan_path(7, "02"))):
        shutil.copy(root / like, root / extra)
    shutil.rmtree(root / "sub-08" / "ses-02" / "anat")
    (root / "sub-08" / "ses-02" / "func").mkdir()
    shutil.rmtree(root / "sub-09" / "ses-01")
    shutil.rmtree(root / "sub-09" / "ses-02")
    gone = {scan_path(8, "02"), scan_path(9, "01"), scan_path(9, "02")}
    scans -= gone
    return {
        annexed: "annexed",
        pointer: "annexed",
        flat: "empty",
        gadolinium: "contrast agent",
        stray: "does not follow BIDS",
        "sub-08/ses-02": "no T1w",
        "sub-09": "no T1w",
    }
