"""What was done to a scan, with what: the JSON beside its results."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version

import fibromorph
from fibromorph.file_names import SPACE
from fibromorph.serving.atlas import DividedHead
from fibromorph.serving.mni_maps import MniMaps
from fibromorph.serving.outputs.placing import PACKAGE
from fibromorph.serving.pipeline import Segmented, repeat_shares_of
from fibromorph.serving.thickness import known_of_thickness


def provenance(result: Segmented) -> dict[str, object]:
    """What was done to what, with what, as plain JSON; no names or dates of the person scanned."""
    scan, manifest, quality = result.scan, result.bundle.manifest, result.quality
    tilt_deg = result.conformed.tilt_deg
    return {
        "generated_by": {"name": PACKAGE, "version": fibromorph.__version__},
        "created": now(),
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


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
