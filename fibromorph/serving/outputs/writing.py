"""Writes what was found in a scan; every file is complete or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from fibromorph.file_names import CONFORMED, SCAN, atlas_endings, beyond_volumes
from fibromorph.files import write_whole
from fibromorph.postprocessing.normalisation import average_head
from fibromorph.postprocessing.report import ReportContent, write_report
from fibromorph.postprocessing.thickness import write_thickness
from fibromorph.postprocessing.volumes import write_volumes
from fibromorph.scans import write_intensities, write_labels
from fibromorph.serving.atlas import write_parcels
from fibromorph.serving.outputs.page import report_content
from fibromorph.serving.outputs.placing import own, paths_of, require_own, set_in_place
from fibromorph.serving.outputs.provenance import provenance
from fibromorph.serving.pipeline import Segmented
from fibromorph.serving.tissue import write_brain


def write_outputs(
    result: Segmented,
    folder: Path,
    stem: str | None = None,
    *,
    conformed: bool = False,
) -> dict[str, Path]:
    """Write all files of a scan, see `fibromorph.file_names`, then move them into place together.

    Files there that are not what an earlier call wrote, such as corrected labels, are set aside.

    Args:
        result: of `segment_scan`; what it has beyond volumes is written, too.
        folder: made when it does not exist.
        stem: NAME of the files; the scan's own if None; see `require_own`.
        conformed: also write labels and picture on the working grid.

    Returns:
        What each file is -> where it lies.
    """
    stem = stem or result.scan.stem
    require_own(folder, stem)
    folder.mkdir(parents=True, exist_ok=True)
    beyond = beyond_volumes(
        thickness=result.cortex is not None,
        maps=result.mni_maps is not None,
        tissue=result.brain is not None,
        atlases=[one.atlas.name for one in result.parcels],
    )
    endings = {**SCAN, **(CONFORMED if conformed else {}), **beyond}
    final = paths_of(folder, stem, endings)
    with TemporaryDirectory(dir=folder, prefix=f".{stem[:64]}.") as name:
        paths = paths_of(Path(name), stem, endings)
        write_files(result, paths, report_content(result, stem))
        write_whole(paths["provenance"], json.dumps(provenance(result)))
        own(paths["provenance"], list(paths.values()))
        set_in_place(paths, final)
    return final


def write_files(result: Segmented, paths: Mapping[str, Path], content: ReportContent) -> None:
    """Write what `paths` names of a scan, but for its provenance.

    Args:
        result: of `segment_scan`.
        paths: `dseg`, `volumes` and `report`, and what else of `fibromorph.file_names` is wanted.
        content: of the report.
    """
    seen = result.conformed
    write_labels(paths["dseg"], result.labels_on_scan_grid, result.scan.grid)
    if "conformed" in paths:
        write_labels(paths["conformed"], result.labels, seen.grid)
        write_intensities(paths["conformed_scan"], seen.intensities, seen.grid)
    write_volumes(paths["volumes"], result.rows)
    write_report(paths["report"], content)
    if (cortex := result.cortex) and "thickness" in paths:
        write_thickness(paths["thickness"], cortex.rows)
        write_intensities(paths["thickness_map"], cortex.thickness, seen.grid)
    if (maps := result.mni_maps) and "grey_map" in paths:
        grid = average_head().grid
        write_intensities(paths["grey_map"], maps.grey, grid, mni=True)
        write_intensities(paths["white_map"], maps.white, grid, mni=True)
    if result.brain and "brain_mask" in paths:
        write_brain(result.brain, result.scan, paths)
    for parcels in result.parcels:
        if any(what in paths for what in atlas_endings(parcels.atlas.name)):
            write_parcels(parcels, seen.grid, result.scan, paths)
