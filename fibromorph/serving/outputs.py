"""The files that come out for one scan; every one is complete or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import fibromorph
from fibromorph.errors import ConfigError
from fibromorph.files import write_whole
from fibromorph.manifest import Manifest, file_sha256
from fibromorph.postprocessing.atlases.sides import region_colours
from fibromorph.postprocessing.normalisation import MAP_SUFFIXES, SPACE, average_head
from fibromorph.postprocessing.pictures import grey_map_png, regions_png, thickness_png
from fibromorph.postprocessing.report import (
    AtlasContent,
    CortexContent,
    GreyMapContent,
    ReportContent,
    write_report,
)
from fibromorph.postprocessing.scan_view import regions_layer, scan_view, thickness_layer
from fibromorph.postprocessing.thickness import write_thickness
from fibromorph.postprocessing.viewer import View
from fibromorph.postprocessing.volumes import write_volumes
from fibromorph.scans import Scan, write_intensities, write_labels
from fibromorph.serving.atlas import DividedHead, atlas_files, write_parcels
from fibromorph.serving.mni_maps import MniMaps
from fibromorph.serving.pipeline import Segmented, repeat_shares_of
from fibromorph.serving.thickness import known_of_thickness
from fibromorph.serving.tissue import TISSUE_SUFFIXES, write_brain

STRIPPED_NOTE = (
    "The scan is skull-stripped: eTIV and the CSF outside the ventricles cannot be known."
)
DIGEST_SHOWN = 12
PACKAGE = "fibromorph"


def output_paths(folder: Path, stem: str) -> dict[str, Path]:
    """Where the files of a scan called `stem` go: dseg, volumes, report, provenance."""
    return {
        "dseg": folder / f"{stem}_dseg.nii.gz",
        "volumes": folder / f"{stem}_volumes.tsv",
        "report": folder / f"{stem}_report.html",
        "provenance": folder / f"{stem}.json",
    }


def is_own(provenance_path: Path) -> bool:
    """Whether fibromorph wrote a JSON as a scan's provenance."""
    try:
        name: str = json.loads(provenance_path.read_bytes())["generated_by"]["name"]
    except (ValueError, KeyError, TypeError):
        return False
    return name == PACKAGE


def require_own(folder: Path, stem: str) -> None:
    """Refuse to write a scan's provenance over a JSON of the same name, a scanner's sidecar.

    Raises:
        ConfigError: fibromorph did not write it.
    """
    path = output_paths(folder, stem)["provenance"]
    if path.exists() and not is_own(path):
        rule = "a JSON that fibromorph did not write must stay; write into another folder"
        raise ConfigError(rule, value=path.name, subject=path)


def require_same_scan(folder: Path, stem: str, scan: Scan) -> None:
    """Refuse to replace the results of another scan that has the same name.

    Raises:
        ConfigError: by the hash in the provenance they are another scan's.
    """
    _require_input(output_paths(folder, stem)["provenance"], scan.sha256)


def require_same_input(new: Path, old: Path) -> None:
    """Refuse results whose provenance is `new` in the place of another scan's, of `old`.

    Raises:
        ConfigError: see `require_same_scan`.
    """
    sha256 = _input_of(new)
    if sha256 is not None:
        _require_input(old, sha256)


def _require_input(provenance_path: Path, sha256: str) -> None:
    if _input_of(provenance_path) not in (None, sha256):
        rule = "results of another scan of this name must stay; write into another folder"
        raise ConfigError(rule, value=provenance_path.stem, subject=provenance_path)


def _input_of(provenance_path: Path) -> str | None:
    """The hash of the scan that results are of; None where they are nobody's."""
    try:
        return str(json.loads(provenance_path.read_bytes())["input"]["sha256"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write_outputs(
    result: Segmented,
    folder: Path,
    stem: str | None = None,
    *,
    conformed: bool = False,
) -> dict[str, Path]:
    """Write segmentation, volumes, report and provenance, then move them into place together.

    With `result.cortex` also `NAME_thickness.tsv`, and `NAME_space-conformed_thickness.nii.gz`, the
    map in mm. With `result.mni_maps` those of `MAP_SUFFIXES`. With `result.brain` the images
    of `TISSUE_SUFFIXES`. With `result.divided` what `atlas_files` names.

    Files there that are not what an earlier call wrote, such as corrected labels, are set aside.

    Args:
        result: of `segment_scan`.
        folder: made when it does not exist.
        stem: NAME of the files; the scan's own if None; see `require_own`.
        conformed: also write `NAME_space-conformed_dseg.nii.gz` and the picture that it lies on,
            `NAME_space-conformed_T1w.nii.gz`, on the working grid.

    Returns:
        What each file is -> where it lies.
    """
    stem = stem or result.scan.stem
    require_own(folder, stem)
    folder.mkdir(parents=True, exist_ok=True)
    final = _all_paths(result, folder, stem, conformed=conformed)
    with TemporaryDirectory(dir=folder, prefix=f".{stem[:64]}.") as name:
        paths = {what: Path(name) / path.name for what, path in final.items()}
        write_labels(paths["dseg"], result.labels_on_scan_grid, result.scan.grid)
        if conformed:
            write_labels(paths["conformed"], result.labels, result.conformed.grid)
            seen = result.conformed
            write_intensities(paths["conformed_scan"], seen.intensities, seen.grid)
        write_beyond(result, paths)
        write_volumes(paths["volumes"], result.rows)
        write_report(paths["report"], report_content(result, stem))
        write_whole(paths["provenance"], json.dumps(provenance(result)))
        own(paths["provenance"], list(paths.values()))
        set_in_place(paths, final)
    return final


def set_in_place(paths: Mapping[str, Path], final: Mapping[str, Path]) -> None:
    """Move the files of a scan to where they belong, all of one folder.

    What is there and not as the provenance there recorded it is set aside, see `set_aside`; what
    an earlier call wrote and this one does not is removed.

    Args:
        paths: what each is, one of them `provenance` -> where it was written.
        final: the same -> where it goes.
    """
    names = {path.name for path in final.values()}
    for name, sha256 in _written_before(final["provenance"]).items():
        other = final["provenance"].with_name(name)
        set_aside(other, sha256)
        if name not in names:
            other.unlink(missing_ok=True)
    # The provenance last: what it names is there.
    for what in sorted(paths, key=lambda what: what == "provenance"):
        os.replace(paths[what], final[what])


def _all_paths(result: Segmented, folder: Path, stem: str, *, conformed: bool) -> dict[str, Path]:
    """Where all files of a result go; arguments are those of `write_outputs`."""
    paths = output_paths(folder, stem)
    if conformed:
        paths["conformed"] = folder / f"{stem}_space-conformed_dseg.nii.gz"
        paths["conformed_scan"] = folder / f"{stem}_space-conformed_T1w.nii.gz"
    if result.cortex:
        paths["thickness"] = folder / f"{stem}_thickness.tsv"
        paths["thickness_map"] = folder / f"{stem}_space-conformed_thickness.nii.gz"
    if result.mni_maps:
        paths |= {f"{of}_map": folder / f"{stem}{end}" for of, end in MAP_SUFFIXES.items()}
    if result.brain:
        paths |= {what: folder / f"{stem}{end}" for what, end in TISSUE_SUFFIXES.items()}
    for parcels in result.parcels:
        ends = atlas_files(parcels.atlas.name, thickness=result.cortex is not None)
        paths |= {what: folder / f"{stem}{end}" for what, end in ends.items()}
    return paths


def write_beyond(result: Segmented, paths: Mapping[str, Path]) -> None:
    """Write what was measured beyond volumes, as far as `paths` names it.

    Args:
        result: of `segment_scan`.
        paths: `thickness` and `thickness_map`, `grey_map` and `white_map`, what `TISSUE_SUFFIXES`
            and `atlas_files` name -> where they go; others are left.
    """
    cortex, maps, brain = result.cortex, result.mni_maps, result.brain
    if cortex and "thickness" in paths:
        write_thickness(paths["thickness"], cortex.rows)
        write_intensities(paths["thickness_map"], cortex.thickness, result.conformed.grid)
    if maps and "grey_map" in paths:
        grid = average_head().grid
        write_intensities(paths["grey_map"], maps.grey, grid, mni=True)
        write_intensities(paths["white_map"], maps.white, grid, mni=True)
    if brain and "brain_mask" in paths:
        write_brain(brain, result.scan, paths)
    for parcels in result.parcels:
        if any(what in paths for what in atlas_files(parcels.atlas.name)):
            write_parcels(parcels, result.conformed.grid, result.scan, paths)


def own(provenance_path: Path, files: Sequence[Path]) -> None:
    """Record the names that files have here, and their hashes, in their provenance."""
    content = json.loads(provenance_path.read_bytes())
    others = (path for path in files if path != provenance_path)
    content["outputs"] = {path.name: file_sha256(path) for path in others}
    write_whole(provenance_path, json.dumps(content, indent=2) + "\n")


def _written_before(provenance_path: Path) -> dict[str, str]:
    """File name -> its hash as an earlier call wrote it; empty where nothing is known."""
    try:
        known = json.loads(provenance_path.read_bytes())["outputs"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {Path(name).name: str(sha256) for name, sha256 in known.items()}


def set_aside(path: Path, sha256: str) -> None:
    """Rename a file that is not what was recorded, `NAME.edited.nii.gz`: somebody worked on it."""
    if not path.is_file() or file_sha256(path) == sha256:
        return
    stem, _, suffix = path.name.partition(".")
    free = (path.with_name(f"{stem}.edited{n or ''}.{suffix}") for n in count())
    path.rename(next(other for other in free if not other.exists()))


def provenance(result: Segmented) -> dict[str, object]:
    """What was done to what, with what, as plain JSON; no names or dates of the person scanned."""
    scan, manifest, quality = result.scan, result.bundle.manifest, result.quality
    tilt_deg = result.conformed.tilt_deg
    return {
        "generated_by": {"name": PACKAGE, "version": fibromorph.__version__},
        "created": _now(),
        "input": {
            "name": scan.source.name,
            "format": scan.format,
            "sha256": scan.sha256,
            "shape": list(scan.grid.shape),
            "spacing_mm": [round(s, 6) for s in scan.grid.spacing_mm],
            "skull_stripped": result.stripped,
            "tilt_deg": None if tilt_deg is None else round(tilt_deg, 1),
        },
        "findings": [vars(finding) for finding in scan.findings],
        "model": {
            "name": manifest.name,
            "version": manifest.version,
            "licence": manifest.licence,
            "sha256": manifest.network.sha256,
        },
        "responsiveness": {
            entry.name: {"mean": entry.responsiveness, "sd": entry.responsiveness_sd}
            for entry in manifest.labels
            if entry.responsiveness is not None
        },
        "repeatability": repeat_shares_of(manifest, scan.grid),
        **({"thickness": _thickness_facts(result)} if result.cortex else {}),
        **({"grey_map": _map_facts(result.mni_maps)} if result.mni_maps else {}),
        **({"tissue": {"csf": _csf(result)}} if result.brain else {}),
        **({"atlases": _atlas_facts(result.divided)} if result.divided else {}),
        "engine": result.engine,
        "seconds": {step.name: round(step.seconds or 0.0, 3) for step in result.steps},
        "quality": {
            "overall": quality.overall,
            "verdict": quality.verdict,
            "factors": dict(quality.factors),
            "structures": {str(i): value for i, value in quality.structures.items()},
            "measures": dict(quality.measures),
            "flags": [vars(flag) for flag in quality.flags],
        },
    }


def _thickness_facts(result: Segmented) -> dict[str, object]:
    assert result.cortex is not None
    known = known_of_thickness(result.bundle.manifest, result.scan.grid)
    return {"ribbon": result.cortex.ribbon, **known}


def _map_facts(maps: MniMaps) -> dict[str, object]:
    return {
        "space": SPACE,
        "tissue": maps.drawn_by,
        "likeness": round(maps.likeness, 4),
        "registration": f"SimpleITK {version('SimpleITK')}",
    }


def _atlas_facts(divided: DividedHead) -> dict[str, object]:
    return {
        "structures": divided.drawn_by,
        "likeness": round(divided.likeness, 4),
        "registration": f"SimpleITK {version('SimpleITK')}",
        "sha256": {one.atlas.name: one.atlas.sha256 for one in divided.parcels},
    }


def _csf(result: Segmented) -> str:
    """Which fluid its image is of."""
    return "what skull-stripping has left" if result.stripped else "all within the skull"


def report_content(result: Segmented, stem: str) -> ReportContent:
    """What the page of a scan shows."""
    manifest = result.bundle.manifest
    return ReportContent(
        name=stem,
        created=_now(),
        version=fibromorph.__version__,
        model=manifest.full_name,
        scan_facts=_scan_facts(result),
        findings=tuple((f.severity, f.message) for f in result.scan.findings),
        mosaic_png=result.pictures.mosaic_png,
        view=_view(result),
        rows=result.rows,
        quality=result.quality,
        steps=result.steps,
        model_facts=_model_facts(manifest, result.engine),
        cortex=_cortex_content(result),
        grey_map=_grey_map_content(result.mni_maps),
        atlases=_atlas_contents(result),
        notes=(STRIPPED_NOTE,) if result.stripped else (),
        table=result.table,
    )


def _view(result: Segmented) -> View:
    box = result.labels, result.conformed.grid
    layers = [thickness_layer(result.cortex.thickness, *box)] if result.cortex else []
    for one in result.parcels:
        layer = regions_layer(one.atlas.name, one.labels, one.rows, region_colours(one.rows), box)
        layers += [layer] if layer else []
    return scan_view(result.pictures, result.rows, result.table, layers)


def _cortex_content(result: Segmented) -> CortexContent | None:
    cortex, seen = result.cortex, result.conformed
    if cortex is None:
        return None
    picture = thickness_png(seen.intensities, result.labels, seen.grid, cortex.thickness)
    return CortexContent(cortex.ribbon, picture, cortex.rows)


def _atlas_contents(result: Segmented) -> tuple[AtlasContent, ...]:
    divided, seen = result.divided, result.conformed
    if divided is None:
        return ()
    return tuple(
        AtlasContent(
            one.atlas.name,
            divided.drawn_by,
            regions_png(
                seen.intensities, result.labels, seen.grid, one.labels, region_colours(one.rows)
            ),
            divided.likeness,
            one.rows,
            one.thickness,
            one.atlas.lost,
        )
        for one in divided.parcels
    )


def _grey_map_content(maps: MniMaps | None) -> GreyMapContent | None:
    if maps is None:
        return None
    picture = grey_map_png(maps.grey, average_head())
    return GreyMapContent(maps.drawn_by, picture, maps.likeness)


def _scan_facts(result: Segmented) -> tuple[tuple[str, str], ...]:
    scan, tilt_deg = result.scan, result.conformed.tilt_deg
    position = (
        "as the scan's axes say" if tilt_deg is None else f"{tilt_deg:.0f} degrees, turned upright"
    )
    shape = " x ".join(str(n) for n in scan.grid.shape)
    spacing = " x ".join(f"{s:.2f}" for s in scan.grid.spacing_mm)
    return (
        ("File", scan.source.name),
        ("Format", scan.format),
        ("Voxels", f"{shape}, {spacing} mm"),
        ("Skull", "removed" if result.stripped else "present"),
        ("Tilt of the head", position),
        ("SHA-256", f"{scan.sha256[:DIGEST_SHOWN]}..."),
    )


def _model_facts(manifest: Manifest, engine: str) -> tuple[tuple[str, str], ...]:
    return (
        ("Model", manifest.full_name),
        ("Licence of its weights", manifest.licence),
        ("SHA-256", f"{manifest.network.sha256[:DIGEST_SHOWN]}..."),
        ("Protocol", manifest.protocol),
        ("Engine", engine),
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
