"""Modulated maps of tissue: found, checked, smoothed, and brought into one array."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from fibromorph.errors import ConfigError, ScanError, TableError
from fibromorph.file_names import MAP_OF
from fibromorph.postprocessing.stats.designs.sections import Vbm
from fibromorph.postprocessing.stats.models.linear import Bools, Floats
from fibromorph.postprocessing.stats.tables.cells import read_text_table
from fibromorph.postprocessing.stats.tables.cohort import KEY, MM3_PER_ML
from fibromorph.postprocessing.stats.tables.scan_ids import ScanIds
from fibromorph.scans.resample import FWHM

PLAUSIBLE_ML = (50.0, 3000.0)
"""What the grey or white matter of a head sums to."""
RUN = "run"
SAME_MM = 1e-3
_BIDS = re.compile(r"(sub-[A-Za-z0-9]+)(?:_(ses-[A-Za-z0-9]+))?(?:_|$)")

Key = tuple[str, str]
"""(participant, session) as in the tables of a study."""
Singles = NDArray[np.float32]
OnScan = Callable[[int], object]


@dataclass(frozen=True, eq=False)
class TissueMaps:
    """Smoothed maps of n scans on V voxels.

    Attributes:
        rows: scan -> its row of `values`.
        values: (n, V) tissue in a voxel, as a share of its volume, in the order in which numpy
            reads `mask`.
        mask: (i, j, k) the voxels that are analysed, with a margin of one voxel around them.
        affine: (4, 4) voxels of `mask` to mm of MNI152.
        sums_ml: scan -> tissue of the whole map before it was smoothed.
    """

    rows: Mapping[Key, int]
    values: Singles
    mask: Bools
    affine: Floats
    sums_ml: Mapping[Key, float]

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Lengths of a voxel."""
        return tuple(round(float(length), 3) for length in voxel_sizes(self.affine))

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / MM3_PER_ML

    def of(self, scans: Sequence[Key]) -> Singles:
        """(scans, V) their values, copied."""
        return self.values[[self.rows[scan] for scan in scans]]

    def image(self, values: Floats | Singles | Bools) -> nibabel.Nifti1Image:
        """A volume of (V,) values, float32 (of booleans uint8), 0 outside of the mask."""
        kind = np.uint8 if values.dtype == bool else np.float32
        return nibabel.Nifti1Image(self.spread(values).astype(kind), self.affine)

    def spread(self, values: Floats | Singles | Bools) -> NDArray[np.generic]:
        """(i, j, k) of (V,) values, 0 outside of the mask."""
        volume = np.zeros(self.mask.shape, values.dtype)
        volume[self.mask] = values
        return volume


def find_maps(
    places: Sequence[Path], ids: ScanIds, tables: Sequence[Path] = (), tissue: str = "grey"
) -> dict[Key, Path]:
    """Maps by participant and session.

    Args:
        places: folders, searched with all below them for names that end as `MAP_OF` has it,
            and single files of any name but those of another tissue.
        ids: how names are split; of `sub-01_ses-1_...` participant and session are taken apart
            first, as tables of a cohort have them.
        tables: volumes of the cohort, whose column `run` says which of several maps of a session
            counts.
        tissue: one of `MAP_OF`.

    Raises:
        ConfigError: a place that is not there, a map of another tissue, or nothing in all of them.
        TableError: several maps of a session of which none is said to count; a name that a strict
            rule does not match.
    """
    found: dict[Key, list[Path]] = {}
    for path in _files(places, tissue):
        found.setdefault(_key(path, ids), []).append(path)
    if not found:
        raise ConfigError(
            f"maps of {tissue} matter must be there, files whose names end in {MAP_OF[tissue]}",
            subject=", ".join(map(str, places)),
        )
    several = any(len(paths) > 1 for paths in found.values())
    runs = _runs(tables, ids) if several else {}
    return {key: _only(paths, runs.get(key), key) for key, paths in found.items()}


def _files(places: Sequence[Path], tissue: str) -> list[Path]:
    files: dict[Path, None] = {}
    others = tuple(end for other, end in MAP_OF.items() if other != tissue)
    for place in places:
        if not place.exists():
            raise ConfigError("a folder of maps, or a map, must be there", subject=place)
        if place.name.endswith(others):
            rule = f"maps must be of {tissue} matter, as the design says (vbm.tissue)"
            raise ConfigError(rule, value=place.name, subject=place)
        inside = sorted(place.rglob(f"*{MAP_OF[tissue]}")) if place.is_dir() else [place]
        files.update(dict.fromkeys(inside))
    return list(files)


def _stem(path: Path) -> str:
    name = path.name
    for end in MAP_OF.values():
        name = name.removesuffix(end)
    return name


def _key(path: Path, ids: ScanIds) -> Key:
    bids = _BIDS.match(_stem(path))
    participant, session = bids.groups() if bids else (_stem(path), None)
    return ids.split(str(participant), session, str(path))


def _runs(tables: Sequence[Path], ids: ScanIds) -> dict[Key, str]:
    """Which run of a session the tables are of."""
    runs: dict[Key, str] = {}
    for path in (table for table in tables if table.is_file()):
        frame = read_text_table(path)
        if not {KEY[0], RUN} <= {*frame.columns}:
            continue
        sessions = frame[KEY[1]] if KEY[1] in frame else [None] * len(frame)
        for participant, session, run in zip(frame[KEY[0]], sessions, frame[RUN], strict=True):
            if run:
                runs[ids.split(str(participant), session, str(path))] = str(run)
    return runs


def _only(paths: Sequence[Path], run: str | None, key: Key) -> Path:
    named = [path for path in paths if run is not None and _stem(path).endswith(f"_{run}")]
    kept = list(paths) if len(paths) == 1 else named
    if len(kept) != 1:
        raise TableError(
            "a session may have one map, or a run that its row of the volumes names; take the"
            " others away",
            value=", ".join(path.name for path in paths),
            subject=" ".join(key).strip(),
        )
    return kept[0]


def load_maps(
    paths: Mapping[Key, Path], settings: Vbm, at: str, on_scan: OnScan = lambda _: None
) -> TissueMaps:
    """Read every map twice: for the mask, then smoothed into the array.

    One array of float32 holds all people's voxels inside the mask: 0.3 MB a person at 3 mm, 1 MB
    at 2 mm, 2.5 MB at 1.5 mm; a permutation test takes some eight times that for a while.

    Args:
        paths: scan -> its map.
        settings: smoothing, spacing, threshold of the mask.
        at: where the design says so, named in errors.
        on_scan: told how many maps were read.

    Raises:
        ScanError: a file that is no image, not of three dimensions, on another grid than the
            first, with values that are not finite, or whose sum is no head's.
        ConfigError: no voxel has a mean above the threshold.
    """
    first = next(iter(paths.values()))
    grid = _Analysis.of(_read(first), settings)
    total, sums = np.zeros(grid.shape), {}
    for key, path in paths.items():
        values = _checked(path, grid, first)
        sums[key] = float(values.sum(dtype=float)) * grid.voxel_ml
        _require_plausible(sums[key], settings, path)
        total += values
        on_scan(1)
    # Smoothing is linear: the mean of smoothed maps is the smoothed mean.
    mask = grid.smoothed(total / len(paths)) > settings.mask_above
    if not mask.any():
        raise ConfigError(
            "the mean map must be above it somewhere",
            value=settings.mask_above,
            subject=f"{at}.mask_above",
        )
    box = _box(mask)
    values = np.empty((len(paths), int(mask.sum())), np.float32)
    for row, path in enumerate(paths.values()):
        values[row] = grid.smoothed(_checked(path, grid, first))[mask]
        on_scan(1)
    return TissueMaps(
        rows={key: row for row, key in enumerate(paths)},
        values=values,
        mask=mask[box],
        affine=_moved(grid.affine_out, [part.start for part in box]),
        sums_ml=sums,
    )


@dataclass(frozen=True, eq=False)
class _Analysis:
    """From the voxels of the maps to those that are analysed.

    Attributes:
        shape, affine: of the maps.
        sd: of the Gaussian, in voxels of the maps, an axis each.
        step: voxels of the maps from one analysed voxel to the next, an axis each.
    """

    shape: tuple[int, ...]
    affine: Floats
    sd: tuple[float, ...]
    step: tuple[float, ...]

    @classmethod
    def of(cls, image: nibabel.Nifti1Image, settings: Vbm) -> _Analysis:
        lengths = voxel_sizes(image.affine)
        sd = settings.smoothing_mm / FWHM / lengths
        step = np.maximum(settings.spacing_mm / lengths, 1.0)
        return cls(image.shape, np.asarray(image.affine, float), tuple(sd), tuple(step))

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / MM3_PER_ML

    @property
    def affine_out(self) -> Floats:
        return self.affine @ np.diag([*self.step, 1.0])

    def same(self, image: nibabel.Nifti1Image) -> bool:
        """Whether an image lies on the same grid."""
        if image.shape != self.shape:
            return False
        return bool(np.allclose(image.affine, self.affine, rtol=0, atol=SAME_MM))

    def smoothed(self, values: Floats | Singles) -> Floats | Singles:
        """A map, smoothed, at the voxels that are analysed."""
        smooth = gaussian_filter(values, self.sd, mode="constant") if any(self.sd) else values
        if all(step == 1.0 for step in self.step):
            return np.asarray(smooth)
        count = [int((n - 1) / step) + 1 for n, step in zip(self.shape, self.step, strict=True)]
        return np.asarray(affine_transform(smooth, self.step, output_shape=tuple(count), order=1))


def _read(path: Path) -> nibabel.Nifti1Image:
    try:
        image = nibabel.load(path)
    except (OSError, ImageFileError, HeaderDataError, EOFError) as reason:
        raise _unreadable(path, reason) from None
    if len(image.shape) != 3:
        raise ScanError("a map must have three dimensions", value=image.shape, subject=path)
    return image


def _unreadable(path: Path, reason: Exception) -> ScanError:
    text = " ".join(str(reason).split())
    return ScanError("a map must be a readable NIfTI image", value=text, subject=path)


def _checked(path: Path, grid: _Analysis, first: Path) -> Singles:
    """The voxels of a map that fits the others."""
    image = _read(path)
    if not grid.same(image):
        raise ScanError(
            f"all maps must lie on one grid, that of {first.name} ({_text(grid)})",
            value=_text(_Analysis.of(image, Vbm())),
            subject=path,
        )
    try:
        values = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, EOFError, zlib.error, ValueError) as reason:
        raise _unreadable(path, reason) from None
    strange = np.argwhere(~np.isfinite(values))
    if len(strange):
        place = tuple(int(index) for index in strange[0])
        raise ScanError(
            "every voxel of a map must have a finite value",
            value=f"{values[place]} at {place}",
            subject=path,
        )
    return values


def _text(grid: _Analysis) -> str:
    lengths = " x ".join(f"{length:g}" for length in voxel_sizes(grid.affine))
    corner = ", ".join(f"{x:g}" for x in grid.affine[:3, 3])
    return f"{' x '.join(map(str, grid.shape))} voxels of {lengths} mm from {corner}"


def _require_plausible(sum_ml: float, settings: Vbm, path: Path) -> None:
    low, high = PLAUSIBLE_ML
    if not low <= sum_ml <= high:
        raise ScanError(
            f"a map must sum to the {settings.matter} of a head, {low:g} to {high:g} ml",
            value=f"{sum_ml:g} ml",
            subject=path,
        )


def _box(mask: Bools) -> tuple[slice, ...]:
    """What the mask fills, and one voxel more on every side where there is one."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(int(filled[0]) - 1, 0), int(filled[-1]) + 2))
    return tuple(box)


def _moved(affine: Floats, corner: Sequence[int]) -> Floats:
    """The affine of a box that begins at a voxel."""
    moved = affine.copy()
    moved[:3, 3] = apply_affine(affine, corner)
    return moved
