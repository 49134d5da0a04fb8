"""The model card: what a bundle is, where it comes from, how well it does, what it is not for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from fibromorph.files import write_whole
from fibromorph.manifest import (
    CARD_NAME,
    LabelEntry,
    Manifest,
    ThicknessErrors,
    read_manifest,
    write_manifest,
)

USE = """\
For research on T1-weighted scans of adult heads, with or without the skull, at about 1 mm (0.7 to
1.5 mm is where it was looked at). It is not a medical device. It has not been tested on children,
tumours, large lesions, contrast agents, or fields above 3 T. Compare groups, not single people, and
look at the outlines of every scan before using its numbers."""


PICTURE = "![Drift of every structure under every other acquisition](reliability.png)"


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write the card beside the manifest; everything in it is read from the manifest."""
    write_whole(folder / CARD_NAME, render_card(manifest))


def edit_bundle(folder: Path, change: Callable[[Manifest], Mapping[str, object]]) -> Manifest:
    """Change the manifest of a bundle as it is now, and write its card anew.

    Args:
        folder: of the bundle.
        change: gives the fields that become others, by name.
    """
    latest = read_manifest(folder)
    manifest = latest.model_copy(update=change(latest))
    write_manifest(folder, manifest)
    write_card(folder, manifest)
    return manifest


def render_card(manifest: Manifest) -> str:
    """The card as Markdown."""
    sections = [
        f"# {manifest.full_name}",
        manifest.description,
        f"Licence of the weights: {manifest.licence}. Protocol: {manifest.protocol}.",
        "## Use",
        USE,
        "## Training",
        _training(manifest),
        *(["## Balance", _balance(manifest)] if manifest.balance else []),
        "## Scores",
        _scores(manifest),
        *(["## Thickness", _thickness(manifest.thickness)] if manifest.thickness else []),
        *(["## Notes", *manifest.notes] if manifest.notes else []),
        "## Export",
        _export(manifest),
    ]
    return "\n\n".join(sections) + "\n"


def _training(manifest: Manifest) -> str:
    training = manifest.training
    data = "\n".join(f"- {item}" for item in training.data)
    run = f", run {training.run_id} in MLflow" if training.run_id else ""
    return f"{data}\n- {training.steps} steps{run}"


def _balance(manifest: Manifest) -> str:
    offsets = ", ".join(f"{name} {offset:+.2f}" for name, offset in manifest.balance.items())
    return (
        "On export, borders were shifted until the mean volume errors of an evaluation vanished "
        f"(`fibromorph export --balance`). Added to the logits: {offsets}."
    )


def _scores(manifest: Manifest) -> str:
    summary = "\n".join(f"- {name}: {value:.3g}" for name, value in manifest.scores.items())
    if all(entry.dice is None and entry.responsiveness is None for entry in manifest.labels):
        return summary or "Not scored yet."
    rows = [_score_row(entry) for entry in manifest.labels]
    rows += [
        [name, "", "", f"{sd:.2%}", _percent(manifest.coarse_totals.get(name)), *[""] * 4]
        for name, sd in manifest.totals.items()
    ]
    header = [
        *("structure", "Dice", "volume error", "error sd", "coarse voxels", "repeat sd", "MDC"),
        *("responsiveness", "confidence"),
    ]
    picture = PICTURE if any(name.startswith("reliability") for name in manifest.scores) else ""
    return "\n\n".join(part for part in (summary, picture, _table(header, rows)) if part)


def _score_row(entry: LabelEntry) -> list[str]:
    return [
        entry.name,
        "" if entry.dice is None else f"{entry.dice:.3f}",
        "" if entry.volume_error is None else f"{entry.volume_error:+.1%}",
        *(_percent(sd) for sd in (entry.relative_sd, entry.coarse_sd, entry.repeat_sd)),
        _percent(entry.minimal_detectable_change),
        "" if entry.responsiveness is None else f"{entry.responsiveness:.2f}",
        "" if entry.reference_confidence is None else f"{entry.reference_confidence:.2f}",
    ]


def _thickness(errors: ThicknessErrors) -> str:
    sds = (errors.relative_sd, errors.coarse_sd, errors.repeat_sd)
    shares = errors.responsiveness
    rows = [
        [
            name,
            *(_percent(sd.get(name)) for sd in sds),
            f"{shares[name].mean:.2f}" if name in shares else "",
        ]
        for name in dict.fromkeys([*errors.relative_sd, *shares])
    ]
    said = f"Error of the cortex's thickness, the surfaces drawn by {errors.ribbon}."
    header = ["region", "error sd", "coarse voxels", "repeat sd", "responsiveness"]
    return f"{said}\n\n{_table(header, rows)}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def _export(manifest: Manifest) -> str:
    parity = manifest.parity
    compared = (
        "Not compared with torch."
        if parity is None
        else f"ONNX Runtime against torch on {parity.image}: {parity.differing_share:.4%} of "
        f"{parity.voxels} voxels differ; soft volumes differ by at most "
        f"{parity.largest_soft_volume_difference:.3%}."
    )
    engines = "".join(
        f" {name}: {share:.4%} of the voxels." for name, share in manifest.engines.items()
    )
    if engines:
        compared += f" Other engines against ONNX Runtime on the CPU:{engines}"
    files = [[g.file, g.sha256] for g in (manifest.network, manifest.locator)]
    return f"{compared}\n\n{_table(['file', 'sha256'], files)}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
