"""The files of a job's result: where each lies, and where it is served."""

from __future__ import annotations

from collections.abc import Iterable

from fibromorph.file_names import ATLAS, MAP_OF, TISSUE, atlas_part
from fibromorph.serving.service.views import IMAGE, PLACES, PREVIEW

TISSUE_FILES = {what: f"tissue-{what}.nii.gz" for what in TISSUE}
MAP_FILES = {of: f"map-{of}.nii.gz" for of in MAP_OF}
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

PATHS_BEYOND = {
    "thickness": "thickness",
    **{what: f"tissue/{what}" for what in TISSUE_FILES},
    **{f"{of}_map": f"maps/{of}" for of in MAP_FILES},
}


def atlas_file(atlas: str, part: str) -> str:
    """The name of a file of an atlas among a job's results.

    Args:
        atlas: its name, letters and digits.
        part: a key of `ATLAS`.
    """
    _, _, kind = ATLAS[part].partition(".")
    return f"atlas-{atlas}_{part}.{kind}"


def file_name(kind: str) -> str:
    """The name, among a job's results, of what `write_outputs` calls `kind`."""
    atlas = atlas_part(kind)
    return atlas_file(*atlas) if atlas else FILES[kind]


def results_beyond(kinds: Iterable[str]) -> list[str]:
    """Under which paths, after their job's, those files are served that not every scan has.

    Args:
        kinds: what `write_outputs` has written.
    """
    found, atlases = [], []
    for kind in kinds:
        if atlas := atlas_part(kind):
            atlases.append("/".join((ATLASES, *atlas)))
        elif kind in PATHS_BEYOND:
            found.append(PATHS_BEYOND[kind])
    return [*found, ATLASES, *atlases] if atlases else found
