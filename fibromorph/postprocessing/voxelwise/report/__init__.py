"""The files of a voxelwise analysis: images, tables, then the page."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel

from fibromorph.files import write_whole
from fibromorph.postprocessing.stats.results import to_tsv
from fibromorph.postprocessing.voxelwise.report.page import render
from fibromorph.postprocessing.voxelwise.results import VoxelResults

REPORT, CLUSTERS, RESULTS = "report.html", "clusters.tsv", "results.json"
GZIP_LEVEL = 6
SPACE_MNI = 4
"""NIfTI's code of MNI152."""


def write_voxelwise(results: VoxelResults, out: Path) -> None:
    """Write images, `clusters.tsv`, `results.json` and `report.html`, each when complete.

    Images of an earlier analysis, which its `results.json` names, that this one does not have are
    removed.

    Args:
        results: of `run_voxelwise`.
        out: made when it does not exist.
    """
    contents = {name: _nifti(image) for name, image in results.images()}
    images = list(contents)
    contents[CLUSTERS] = to_tsv(results.clusters).encode()
    contents[REPORT] = render(results).encode()
    contents[RESULTS] = results.to_json([*contents, RESULTS]).encode()
    out.mkdir(parents=True, exist_ok=True)
    outdated = _images_of(out / RESULTS) - {*images}
    for name, content in contents.items():
        write_whole(out / name, content)
    for name in outdated:
        (out / name).unlink(missing_ok=True)


def _nifti(image: nibabel.Nifti1Image) -> bytes:
    """Compressed, the same bytes for the same image."""
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=SPACE_MNI)
    image.set_qform(image.affine, code=SPACE_MNI)
    return gzip.compress(image.to_bytes(), GZIP_LEVEL, mtime=0)


def _images_of(path: Path) -> set[str]:
    """Names of the images that an earlier analysis wrote beside `path`."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {Path(str(name)).name for name in names if str(name).endswith(".nii.gz")}
