"""The report of one scan: a single HTML page that opens offline and prints on A4."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from fibromorph.files import write_whole
from fibromorph.labels import CORTEX, FREESURFER, LabelTable, Structure
from fibromorph.postprocessing.atlases.sides import Pair, pairs, region_colours
from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.pages import page_environment
from fibromorph.postprocessing.pictures import THICKNESS_COLOURS, THICKNESS_RANGE_MM
from fibromorph.postprocessing.quality import Quality
from fibromorph.postprocessing.thickness import MEAN, ThicknessRow
from fibromorph.postprocessing.viewer import View, viewer_html, viewer_script
from fibromorph.postprocessing.volumes import VolumeRow

Fact = tuple[str, str]

LIMITS = (
    "For research only. Not a medical device: no diagnosis and no treatment may rest on it.",
    "One scan says nothing about a disease; compare groups, with age, sex and eTIV accounted for.",
    "Look at the outlines before you use the numbers; no score replaces that.",
)
CITATION = (
    "fibromorph, version {version}, model {model}.",
    "Training on synthesised scans: Billot et al. 2023, Medical Image Analysis 86:102789.",
    "{protocol}",
    "{thickness}",
    "{grey_map}",
    "{atlases}",
    "SNR, CNR, CJV: Esteban et al. 2017, PLoS ONE 12:e0184661.",
)
PROTOCOL_CITATION = {
    "freesurfer": "Structures and their colours: Fischl 2012, NeuroImage 62:774-781.",
    "neuromorphometrics": "Regions: manual labels provided by Neuromorphometrics, Inc."
    " (http://Neuromorphometrics.com/) under academic subscription, for the MICCAI 2012 multi-atlas"
    " labelling challenge, of scans of the OASIS project (Marcus et al. 2007, J Cogn Neurosci"
    " 19:1498-1507).",
}
"""Protocol -> whose structures they are."""
GREY_MAP_CITATION = (
    "Grey matter in MNI coordinates: diffeomorphic demons, Vercauteren et al. 2009, NeuroImage"
    " 45:S61-S72; modulated, Good et al. 2001, NeuroImage 14:21-36; tissue of {tissue}."
)
ATLAS_CITATION = (
    "Regions of {atlases}: structures of {structures}, divided as the average head's are, which was"
    " laid over the scan by diffeomorphic demons, Vercauteren et al. 2009, NeuroImage 45:S61-S72."
    " Cite the atlas itself, too."
)
THICKNESS_CITATION = (
    "Thickness: after the projection of Dahnke et al. 2013, NeuroImage 65:336-348; the surfaces of"
    " {ribbon}."
)
VIEWER_HINT = (
    "A volume in the table below leads to its region. What lies far from the brain is left out."
)
PLOT_LIMITS_PERCENT = (5, 10, 20, 30, 50)
PLOT_WIDTH, PLOT_HEIGHT = 200, 16


@dataclass(frozen=True)
class Step:
    """One thing that was done to the scan, and how long it took (None = not timed)."""

    name: str
    detail: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class CortexContent:
    """What the page shows of the cortex.

    Attributes:
        ribbon: name and version of the bundle that drew both surfaces.
        picture_png: from `pictures.thickness_png`.
        rows: from `thickness.measure_thickness`.
    """

    ribbon: str
    picture_png: bytes
    rows: tuple[ThicknessRow, ...]


@dataclass(frozen=True)
class GreyMapContent:
    """What the page shows of the map of grey matter.

    Attributes:
        tissue: name and version of the bundle that drew it.
        picture_png: from `pictures.grey_map_png`.
        likeness: correlation with the average head, see `Normalised`.
    """

    tissue: str
    picture_png: bytes
    likeness: float


@dataclass(frozen=True)
class AtlasContent:
    """What the page shows of an atlas's regions.

    Attributes:
        name: of the atlas.
        structures: name and version of the bundle that drew what it divides.
        picture_png: from `pictures.regions_png`.
        likeness: correlation with the average head, see `Normalised`.
        rows: from `measure_parcels`.
        thickness: from `parcel_thickness`; empty = not measured.
        lost: regions that no structure holds, see `PlacedAtlas`.
    """

    name: str
    structures: str
    picture_png: bytes
    likeness: float
    rows: tuple[VolumeRow, ...]
    thickness: tuple[ThicknessRow, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class ReportContent:
    """All that the page shows; every text is plain and is escaped.

    Attributes:
        name: the scan's, as the user knows it.
        created: date and time, as it should read.
        version: fibromorph's.
        model: name and version of the bundle, as it should be cited.
        scan_facts: what the scan is: (what, value), in order.
        findings: what the header doctor found: (severity, sentence).
        mosaic_png: from `pictures.mosaic_png`.
        rows: from `volumes.measure`.
        quality: from `quality.score`.
        steps: what was done, in order.
        model_facts: bundle, sha256, licence, engine, ...: (what, value).
        cortex: its thickness, if it was measured.
        grey_map: of its grey matter, if it was made.
        atlases: their regions, if they were measured.
        view: every slice, for a page whose script may run; None = the mosaic alone.
        notes: sentences that belong beside the totals ("skull-stripped: no eTIV").
        table: names and colours of the structures.
        limits: what the result must not be used for.
        citations: what to cite, `{version}`, `{model}`, `{protocol}`, `{thickness}`, `{grey_map}`
            and `{atlases}` filled in.
    """

    name: str
    created: str
    version: str
    model: str
    scan_facts: tuple[Fact, ...]
    findings: tuple[Fact, ...]
    mosaic_png: bytes
    rows: tuple[VolumeRow, ...]
    quality: Quality
    steps: tuple[Step, ...]
    model_facts: tuple[Fact, ...]
    cortex: CortexContent | None = None
    grey_map: GreyMapContent | None = None
    atlases: tuple[AtlasContent, ...] = ()
    view: View | None = None
    notes: tuple[str, ...] = ()
    table: LabelTable = FREESURFER
    limits: tuple[str, ...] = LIMITS
    citations: tuple[str, ...] = CITATION


@dataclass(frozen=True)
class _Sheet:
    """A region's line in the table of thickness."""

    name: str
    left: ThicknessRow
    right: ThicknessRow
    asymmetry: float | None


@dataclass(frozen=True)
class _Line:
    """A structure's line in the table of volumes; `right` is None on the midline."""

    name: str
    colour: str
    left: VolumeRow
    right: VolumeRow | None
    asymmetry: float | None
    plot: Markup


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page, moved into place when complete."""
    write_whole(path, render(content))


def render(content: ReportContent) -> str:
    """The page as text."""
    environment = page_environment()
    environment.filters.update(ml=_ml, mm=_mm, percent=_percent, plain=plain_name)
    limit = _plot_limit(content.rows, content.table)
    return environment.get_template("report.html").render(
        c=content,
        picture=_inline(content.mosaic_png),
        viewer=viewer_html(content.view, VIEWER_HINT),
        script=viewer_script(content.view),
        cortex=_cortex(content.cortex),
        map_picture=_inline(content.grey_map.picture_png) if content.grey_map else "",
        atlases=[_atlas(one) for one in content.atlases],
        totals=[row for row in content.rows if row.hemisphere == "both"],
        lines=_lines(content.rows, content.table, limit),
        axis=_axis(limit),
        seconds=[step.seconds for step in content.steps if step.seconds is not None],
        citations=_citations(content),
    )


def _inline(png: bytes) -> str:
    return b64encode(png).decode("ascii")


def _cortex(cortex: CortexContent | None) -> dict[str, object] | None:
    """What the template shows of it: the mean first, then hemispheres and regions by name."""
    if cortex is None:
        return None
    by_name = {row.name: row for row in cortex.rows}
    lefts = [row for row in cortex.rows if row.hemisphere == "left"]
    lefts.sort(key=lambda row: (not row.name.endswith(CORTEX), row.name))
    sheets = []
    for left in lefts:
        right = by_name[f"Right-{left.name.removeprefix('Left-')}"]
        index = asymmetry(left.thickness_mm, right.thickness_mm)
        sheets.append(_Sheet(plain_name(left.name.removeprefix("Left-")), left, right, index))
    return {
        "ribbon": cortex.ribbon,
        "picture": _inline(cortex.picture_png),
        "mean": by_name[MEAN],
        "sheets": sheets,
        "range": THICKNESS_RANGE_MM,
        "gradient": ", ".join(f"rgb{colour}" for colour in THICKNESS_COLOURS),
    }


def _atlas(atlas: AtlasContent) -> dict[str, object]:
    """What the template shows of it."""
    colours = region_colours(atlas.rows)
    lines = []
    for pair in pairs(atlas.rows):
        ids = [row.region_id or 0 for row in (pair.left, pair.right) if row]
        drawn = next((colours[i] for i in ids if i in colours), None)
        colour = "" if drawn is None else "#{:02x}{:02x}{:02x}".format(*drawn)
        lines.append((pair, _between(pair), colour))
    return {
        "content": atlas,
        "picture": _inline(atlas.picture_png),
        "lines": lines,
        "thick": {row.region_id: row for row in atlas.thickness},
    }


def _between(pair: Pair) -> float | None:
    if pair.left is None or pair.right is None:
        return None
    return asymmetry(pair.left.analysed_ml, pair.right.analysed_ml)


def _citations(content: ReportContent) -> list[str]:
    cortex, grey_map, atlases = content.cortex, content.grey_map, content.atlases
    known = {
        "version": content.version,
        "model": content.model,
        "protocol": PROTOCOL_CITATION.get(content.table.protocol, ""),
        "grey_map": GREY_MAP_CITATION.format(tissue=grey_map.tissue) if grey_map else "",
        "atlases": ATLAS_CITATION.format(
            atlases=", ".join(one.name for one in atlases), structures=atlases[0].structures
        )
        if atlases
        else "",
        "thickness": THICKNESS_CITATION.format(ribbon=cortex.ribbon) if cortex else "",
    }
    return [text for line in content.citations if (text := line.format(**known))]


def asymmetry(left: float | None, right: float | None) -> float | None:
    """(left - right) / mean of left and right; None if either is unknown or both are empty."""
    if left is None or right is None or left + right <= 0:
        return None
    return 2.0 * (left - right) / (left + right)


def _lines(rows: Sequence[VolumeRow], table: LabelTable, limit: int) -> list[_Line]:
    lines = []
    for structure, left, right in _pairs(rows, table):
        index = None if right is None else asymmetry(left.analysed_ml, right.analysed_ml)
        colour = "#{:02x}{:02x}{:02x}".format(*structure.colour)
        plot = _plot(left, right, limit)
        lines.append(_Line(plain_name(structure.name), colour, left, right, index, plot))
    return lines


def _pairs(
    rows: Sequence[VolumeRow], table: LabelTable
) -> list[tuple[Structure, VolumeRow, VolumeRow | None]]:
    by_id = {row.region_id: row for row in rows}
    return [
        (s, by_id[s.left_id], by_id[s.right_id] if s.lateralised else None)
        for s in table.structures
        if s.left_id in by_id and s.right_id in by_id
    ]


def _plot_limit(rows: Sequence[VolumeRow], table: LabelTable) -> int:
    """Half-width of the plot in %: nine in ten solid structures fit; ventricles may point out."""
    found = [
        50 * abs(asymmetry(left.soft_volume_ml, right.soft_volume_ml) or 0.0)
        for _, left, right in _pairs(rows, table)
        if right is not None and left.tissue != "csf"
    ]
    needed = sorted(found)[int(0.9 * (len(found) - 1))] if found else 0.0
    return next((n for n in PLOT_LIMITS_PERCENT if n >= needed), PLOT_LIMITS_PERCENT[-1])


def _plot(left: VolumeRow, right: VolumeRow | None, limit: int) -> Markup:
    """Soft volumes with one sd, in % of the mean of both sides, as inline SVG."""
    sides = [row for row in (left, right) if row is not None and row.soft_volume_ml is not None]
    mean = sum(row.soft_volume_ml or 0.0 for row in sides) / max(len(sides), 1)
    marks = [_frame()]
    if mean > 0:
        for row in sides:
            offset = 0 if len(sides) == 1 else (-2.6 if row is left else 2.6)
            share = 100.0 * ((row.soft_volume_ml or 0.0) / mean - 1.0)
            marks.append(_mark(row, share, 100.0 * (row.sd_ml or 0.0) / mean, limit, offset))
    return _svg(Markup("").join(marks), "volume against the mean of both sides")


def _mark(row: VolumeRow, share: float, sd: float, limit: int, offset: float) -> Markup:
    low, high, x = (_x(share - sd, limit), _x(share + sd, limit), _x(share, limit))
    y = PLOT_HEIGHT / 2 + offset
    bar = Markup('<path class="bar" d="M{:.1f} {:.1f}H{:.1f}"/>').format(low, y, high)
    if abs(share) > limit:
        tip = 3 if share > 0 else -3
        arrow = Markup('<path class="dot" d="M{:.1f} {:.1f}l{} 3l{} 3z"/>')
        shape = arrow.format(x - tip, y - 3, 2 * tip, -2 * tip)
    else:
        shape = Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="2.7"/>').format(x, y)
    return Markup('<g class="{}">{}{}</g>').format(row.hemisphere, bar, shape)


def _frame() -> Markup:
    lines = "".join(f"M{_x(p, 1):.1f} 0v{PLOT_HEIGHT}" for p in (-1, 1))
    middle = f"M{PLOT_WIDTH / 2} 0v{PLOT_HEIGHT}"
    return Markup('<path class="grid" d="{}"/><path class="zero" d="{}"/>').format(lines, middle)


def _axis(limit: int) -> Markup:
    texts = [
        Markup('<text x="{:.1f}" y="11" text-anchor="middle">{}</text>').format(_x(p, limit), text)
        for p, text in ((-limit, f"\N{MINUS SIGN}{limit} %"), (0, "mean"), (limit, f"+{limit} %"))
    ]
    return _svg(Markup("").join(texts), "scale")


def _svg(inner: Markup, label: str) -> Markup:
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return head.format(PLOT_WIDTH, PLOT_HEIGHT, label, inner)


def _x(percent: float, limit: int) -> float:
    """Pixel of a percentage, held inside the plot."""
    return PLOT_WIDTH / 2 + (PLOT_WIDTH / 2 - 22) * min(max(percent / limit, -1.15), 1.15)


def _ml(value: float | None) -> str:
    """Three significant digits or so; never more than a hundredth of a millilitre."""
    if value is None:
        return "n/a"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"


def _mm(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    if value is None:
        return ""
    # Adding 0 turns what rounds to minus nought into nought.
    return f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "\N{MINUS SIGN}")
