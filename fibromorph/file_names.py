"""What the files of a scan are called: NAME, the scan's own, and one of these endings.

Entities and suffixes are BIDS', in BIDS' order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

SPACE = "MNI152NLin2009aSym"
"""BIDS' name of the space of ICBM's symmetric average of 2009 (a)."""

CONFORMED_SPACE = "conformed"
"""Of images on the working grid."""

DESC = "fibromorph"
"""Of what a cohort's folder has beside what others derived from its scans."""

Endings = Mapping[str, str]
"""What a file is -> the end of its name."""

DERIVED = ("_dseg", "_mask", "_probseg", "_thickness")
"""BIDS' suffixes of what is derived from scans."""

SCAN: Endings = MappingProxyType(
    {
        "dseg": "_dseg.nii.gz",
        "volumes": "_volumes.tsv",
        "report": "_report.html",
        "provenance": ".json",
    }
)
"""Of every scan."""

# Where it was asked for: labels and picture on the working grid, the thickness of the cortex, brain
# and tissue on the scan's voxels, modulated maps.
CONFORMED: Endings = MappingProxyType(
    {
        "conformed": f"_space-{CONFORMED_SPACE}_dseg.nii.gz",
        "conformed_scan": f"_space-{CONFORMED_SPACE}_T1w.nii.gz",
    }
)
THICKNESS: Endings = MappingProxyType(
    {
        "thickness": "_thickness.tsv",
        "thickness_map": f"_space-{CONFORMED_SPACE}_thickness.nii.gz",
    }
)
TISSUE: Endings = MappingProxyType(
    {
        "brain_mask": "_desc-brain_mask.nii.gz",
        "brain": "_desc-brain_T1w.nii.gz",
        "grey": "_label-GM_probseg.nii.gz",
        "white": "_label-WM_probseg.nii.gz",
        "fluid": "_label-CSF_probseg.nii.gz",
    }
)
MAP_OF: Endings = MappingProxyType(
    {
        "grey": f"_space-{SPACE}_label-GM_desc-modulated_probseg.nii.gz",
        "white": f"_space-{SPACE}_label-WM_desc-modulated_probseg.nii.gz",
    }
)
"""Tissue -> the end of its map's name."""

MAPS: Endings = MappingProxyType({f"{of}_map": ending for of, ending in MAP_OF.items()})
VIEWS: Endings = MappingProxyType({"preview": "_preview.png", "brain": "_brain.nii.gz"})
"""Of what the service's page shows beside the files of a scan."""

ATLAS: Endings = MappingProxyType(
    {
        "labels": "_dseg.nii.gz",
        "names": "_dseg.tsv",
        "volumes": "_volumes.tsv",
        "thickness": "_thickness.tsv",
    }
)
"""What there is of an atlas -> the end of its name, see `atlas_ending`."""


def atlas_ending(atlas: str, part: str) -> str:
    """The end of the name of a file of an atlas.

    Args:
        atlas: its name, letters and digits.
        part: a key of `ATLAS`.
    """
    return f"_seg-{atlas}{ATLAS[part]}"


def atlas_endings(atlas: str, *, thickness: bool = False) -> dict[str, str]:
    """All files of an atlas: `atlas_NAME_PART`, PART a key of `ATLAS` -> the end of its name.

    Args:
        atlas: its name, letters and digits.
        thickness: that of its regions is measured, too.
    """
    parts = [part for part in ATLAS if thickness or part != "thickness"]
    return {f"atlas_{atlas}_{part}": atlas_ending(atlas, part) for part in parts}


def beyond_volumes(
    *, thickness: bool, maps: bool, tissue: bool, atlases: Sequence[str]
) -> dict[str, str]:
    """What is written of a scan of which more than volumes was asked for.

    Args:
        thickness: of the cortex, and of the atlases' regions.
        maps: of grey and white matter in MNI coordinates.
        tissue: brain mask and tissue on the scan's voxels.
        atlases: their names.
    """
    of_atlases = [atlas_endings(name, thickness=thickness) for name in atlases]
    return {
        **(THICKNESS if thickness else {}),
        **(MAPS if maps else {}),
        **(TISSUE if tissue else {}),
        **{what: ending for endings in of_atlases for what, ending in endings.items()},
    }


def atlas_part(kind: str) -> tuple[str, str] | None:
    """Name and key of `ATLAS` of what `atlas_endings` calls `kind`; None of other files."""
    if not kind.startswith("atlas_"):
        return None
    _, atlas, part = kind.split("_")
    return atlas, part


def is_derived(name: str) -> bool:
    """Whether a file is called as something that was made from a scan."""
    parts = name.split(".")
    return (
        any(part.endswith(DERIVED) for part in parts)
        or f"_space-{CONFORMED_SPACE}_" in name
        or "_desc-" in name
    )


def described(ending: str, desc: str) -> str:
    """The ending with BIDS' entity `desc`: '_dseg.nii.gz' -> '_desc-X_dseg.nii.gz'."""
    entities, _, suffix = ending.rpartition("_")
    return f"{entities}_desc-{desc}_{suffix}"
