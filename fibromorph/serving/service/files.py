"""The files of a job's result: where each lies, and where it is served."""

from __future__ import annotations

from collections.abc import Iterable

from fibromorph.postprocessing.normalisation import MAP_SUFFIXES
from fibromorph.serving.service.views import IMAGE, PLACES, PREVIEW
from fibromorph.serving.tissue import TISSUE_SUFFIXES

TISSUE_FILES = {what: f"tissue-{what}.nii.gz" for what in TISSUE_SUFFIXES}
MAP_FILES = {of: f"map-{of}.nii.gz" for of in MAP_SUFFIXES}
FILES = {
    "dseg": "segmentation.nii.gz",
    "volumes": "volumes.tsv",
    "thickness": "thickness.tsv",
    "thickness_map": "thickness.nii.gz",
    **TISSUE_FILES,
    **{f"{of}_map": name for of, name in MAP_FILES.items()},
    "report": "report.html",
    "provenance": "provenance.json",
    "preview": PREVIEW,
    "image": IMAGE,
    "places": PLACES,
}
"""What `write_outputs` calls a file, but for those of atlases, or what a view is -> its name."""

ATLASES = "atlases"
ATLAS_ENDINGS = {"labels": ".nii.gz", "names": ".tsv", "volumes": ".tsv", "thickness": ".tsv"}
"""What there is of an atlas -> the ending of its file."""

PATHS_BEYOND = {
    "thickness": "thickness",
    **{what: f"tissue/{what}" for what in TISSUE_FILES},
    **{f"{of}_map": f"maps/{of}" for of in MAP_FILES},
}


def atlas_file(atlas: str, part: str) -> str:
    """The name of a file of an atlas among a job's results.

    Args:
        atlas: its name, letters and digits.
        part: a key of `ATLAS_ENDINGS`.
    """
    return f"atlas-{atlas}_{part}{ATLAS_ENDINGS[part]}"


def file_name(kind: str) -> str:
    """The name, among a job's results, of what `write_outputs` calls `kind`."""
    atlas = _atlas_of(kind)
    return atlas_file(*atlas) if atlas else FILES[kind]


def results_beyond(kinds: Iterable[str]) -> list[str]:
    """Under which paths, after their job's, those files are served that not every scan has.

    Args:
        kinds: what `write_outputs` has written.
    """
    found, atlases = [], []
    for kind in kinds:
        if atlas := _atlas_of(kind):
            atlases.append("/".join((ATLASES, *atlas)))
        elif kind in PATHS_BEYOND:
            found.append(PATHS_BEYOND[kind])
    return [*found, ATLASES, *atlases] if atlases else found


def _atlas_of(kind: str) -> tuple[str, str] | None:
    """Name of the atlas, and which part of it; see `atlas_files`."""
    if not kind.startswith("atlas_"):
        return None
    _, atlas, part = kind.split("_")
    return atlas, part
