"""What the page of a scan shows."""

from __future__ import annotations

import fibromorph
from fibromorph.manifest import Manifest
from fibromorph.postprocessing.atlases.sides import region_colours
from fibromorph.postprocessing.normalisation import average_head
from fibromorph.postprocessing.pictures import grey_map_png, regions_png, thickness_png
from fibromorph.postprocessing.report import (
    AtlasContent,
    CortexContent,
    GreyMapContent,
    ReportContent,
)
from fibromorph.postprocessing.scan_view import regions_layer, scan_view, thickness_layer
from fibromorph.postprocessing.viewer import View
from fibromorph.serving.mni_maps import MniMaps
from fibromorph.serving.outputs.provenance import now
from fibromorph.serving.pipeline import Segmented

STRIPPED_NOTE = (
    "The scan is skull-stripped: eTIV and the CSF outside the ventricles cannot be known."
)
DIGEST_SHOWN = 12


def report_content(result: Segmented, stem: str) -> ReportContent:
    """What the page of a scan shows."""
    manifest = result.bundle.manifest
    return ReportContent(
        name=stem,
        created=now(),
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
