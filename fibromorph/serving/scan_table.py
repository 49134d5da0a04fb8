"""One table of all scans of a folder, for spreadsheets and other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fibromorph.file_names import SCAN, THICKNESS
from fibromorph.files import write_whole
from fibromorph.postprocessing.thickness import read_thickness
from fibromorph.postprocessing.volumes import read_volumes
from fibromorph.serving.outputs.placing import is_own

NAME = "scans.tsv"
FACTS = ("scan", "model", "quality", "verdict")


def write_scan_table(folder: Path) -> Path:
    """Write `scans.tsv`: a row for every scan whose results lie in `folder`.

    Columns are `scan`, `model`, `quality`, `verdict`, then what group statistics use of every
    region and total, `NAME_ml` (soft volumes, eTIV), and where it was measured the cortex's
    thickness, `NAME_mm`; of an atlas's regions likewise, `ATLAS:NAME_ml` and `ATLAS:NAME_mm`.
    What a scan does not have is `n/a`: models differ in their regions.

    Raises:
        TableError: a table that is not fibromorph's, see `read_volumes`.
    """
    found = (p for p in sorted(folder.glob("*.json")) if _volumes_of(p).is_file() and is_own(p))
    rows = [_row(path) for path in found]
    # In the order in which tables have them; volumes before thickness.
    named = dict.fromkeys(name for row in rows for name in row if name not in FACTS)
    columns = (*FACTS, *sorted(named, key=lambda name: name.endswith("_mm")))
    lines = ["\t".join(columns)]
    lines += ["\t".join(row.get(name, "n/a") for name in columns) for row in rows]
    path = folder / NAME
    write_whole(path, "\n".join(lines) + "\n")
    return path


def _row(provenance: Path) -> dict[str, str]:
    known: dict[str, Any] = json.loads(provenance.read_bytes())
    model, quality = known["model"], known["quality"]
    row = {
        "scan": provenance.stem,
        "model": f"{model['name']} {model['version']}",
        "quality": f"{quality['overall']:.4f}",
        "verdict": quality["verdict"],
    }
    row |= _values(provenance, "", "")
    for atlas in known.get("atlases", {}).get("sha256", {}):
        row |= _values(provenance, f"_seg-{atlas}", f"{atlas}:")
    return row


def _values(provenance: Path, seg: str, before: str) -> dict[str, str]:
    """Columns of the tables whose names go on after the scan's with `seg`; nothing of missing ones.

    Args:
        provenance: of the scan.
        seg: '' = of the bundle's regions.
        before: what the names of columns begin with.
    """
    stem, found = f"{provenance.stem}{seg}", {}
    volumes = provenance.with_name(f"{stem}{SCAN['volumes']}")
    if volumes.is_file():
        found = {f"{before}{r.name}_ml": _cell(r.analysed_ml) for r in read_volumes(volumes)}
    thickness = provenance.with_name(f"{stem}{THICKNESS['thickness']}")
    if thickness.is_file():
        rows = read_thickness(thickness)
        found |= {f"{before}{r.name}_mm": _cell(r.thickness_mm) for r in rows}
    return found


def _volumes_of(provenance: Path) -> Path:
    return provenance.with_name(f"{provenance.stem}{SCAN['volumes']}")


def _cell(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"
