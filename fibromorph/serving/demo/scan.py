"""The demo: a template head through the whole chain, without a scan of one's own."""

from __future__ import annotations

from pathlib import Path

from fibromorph.postprocessing.volumes import VolumeRow, read_volumes
from fibromorph.serving.batch import segment_files
from fibromorph.serving.outputs.placing import paths_of

STEM = "mni152_template"
TEMPLATE_MM = 1
LINE = "{:<32} {:>10} {:>10}"


def run_demo(out: Path, model: str = "t1-open", device: str = "auto", threads: int = 0) -> Path:
    """Segment the MNI152 T1 template that nilearn carries, and print what came out.

    Args:
        out: folder for the template and the four files.
        model, device, threads: see `segment_files`.

    Returns:
        The report.
    """
    out.mkdir(parents=True, exist_ok=True)
    template = out / f"{STEM}.nii.gz"
    write_template(template)
    print(f"segmenting {template} (an average of 152 healthy brains, skull removed)")
    segment_files([template], out, model=model, device=device, threads=threads)
    paths = paths_of(out, STEM)
    print(volumes_text(read_volumes(paths["volumes"])))
    print(f"\nreport:  {paths['report'].resolve()}")
    print("your own scan:  fibromorph segment SCAN.nii.gz --out results")
    return paths["report"]


def write_template(path: Path) -> None:
    """The template of nilearn, at 1 mm, as NIfTI."""
    from nilearn.datasets import load_mni152_template

    load_mni152_template(resolution=TEMPLATE_MM).to_filename(path)


def volumes_text(rows: tuple[VolumeRow, ...]) -> str:
    """The volumes as a plain table."""
    lines = [LINE.format("region", "ml", "sd")]
    lines += [LINE.format(r.name, _number(r.analysed_ml), _number(r.sd_ml)) for r in rows]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"
