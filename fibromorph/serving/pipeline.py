"""One scan through the whole chain: conform, engine, components, own grid, volumes, quality."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fibromorph.grid import Grid
from fibromorph.labels import LabelTable
from fibromorph.manifest import COARSE_MM, Bundle, LabelEntry, Manifest
from fibromorph.postprocessing.atlases import Parcels
from fibromorph.postprocessing.components import keep_main_components
from fibromorph.postprocessing.intracranial import etiv_ml, looks_stripped
from fibromorph.postprocessing.quality import Quality, image_measures, score, with_warnings
from fibromorph.postprocessing.report import Step
from fibromorph.postprocessing.scan_view import ScanPictures, draw_scan
from fibromorph.postprocessing.thickness import Ribbon
from fibromorph.postprocessing.volumes import (
    Calibration,
    VolumeRow,
    confidence_by_id,
    measure,
)
from fibromorph.preprocess import Conformed, conform
from fibromorph.scans import Scan, restore_labels
from fibromorph.serving.atlas import DividedHead, divide
from fibromorph.serving.background import begun
from fibromorph.serving.beyond import BeyondVolumes
from fibromorph.serving.engine import Engine, Prediction
from fibromorph.serving.mni_maps import MniMaps, lay_over_average
from fibromorph.serving.ribbon import DrawnRibbon, draw_ribbon, soft_volumes
from fibromorph.serving.thickness import Cortex, measure_cortex
from fibromorph.serving.tissue import BrainImages, Drawn, draw_brain

OnStep = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Segmented:
    """What is known of a scan once it is segmented; nothing of it is written yet.

    Attributes:
        scan: as it was read.
        bundle: the model.
        engine: what ran it, with version and threads.
        conformed: the part of the scan that the network saw.
        labels: (i, j, k) uint8 ids on the conformed grid, cleaned.
        confidence: (i, j, k) float32 posteriors there, of the labels before they were cleaned.
        labels_on_scan_grid: (i, j, k) uint8 ids on the scan's own voxels.
        rows: volumes, see `volumes.measure`.
        quality: see `quality.score`.
        stripped: the scan has no skull.
        steps: what was done, with seconds.
        cortex: its thickness; None = nobody asked for it.
        mni_maps: of its tissue; None likewise.
        brain: its mask and tissue on the scan's own voxels; None likewise.
        divided: its regions by atlases; None likewise.
        drawing: `pictures` in the making; None = drawn when they are asked for.
    """

    scan: Scan
    bundle: Bundle
    engine: str
    conformed: Conformed
    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    labels_on_scan_grid: NDArray[np.uint8]
    rows: tuple[VolumeRow, ...]
    quality: Quality
    stripped: bool
    steps: tuple[Step, ...]
    cortex: Cortex | None = None
    mni_maps: MniMaps | None = None
    brain: BrainImages | None = None
    divided: DividedHead | None = None
    drawing: Future[ScanPictures] | None = None

    @property
    def table(self) -> LabelTable:
        return self.bundle.manifest.table

    @property
    def parcels(self) -> tuple[Parcels, ...]:
        """Its regions by each atlas."""
        return self.divided.parcels if self.divided else ()

    @cached_property
    def pictures(self) -> ScanPictures:
        """What is shown of the labels."""
        if self.drawing is not None:
            return self.drawing.result()
        return _drawn(self.conformed, self.labels, self.table)


CONFORMED_ALONE = "brain located on 4 mm voxels, box around it sampled at 1 mm, upright"
CONFORMED_JOINTLY = (
    "sampled at 1 mm on one lattice with this person's other sessions, half-way between them"
)


class _Stopwatch:
    """Collects steps; tells who listens when one begins."""

    def __init__(self, on_step: OnStep) -> None:
        self.on_step = on_step
        self.steps: list[Step] = []

    @contextmanager
    def step(self, name: str, detail: str) -> Iterator[None]:
        self.on_step(name)
        started = time.perf_counter()
        yield
        self.steps.append(Step(name, detail, time.perf_counter() - started))


def segment_scan(
    scan: Scan,
    engine: Engine,
    on_step: OnStep = lambda _: None,
    conformed: Conformed | None = None,
    *,
    draw: bool = False,
    beyond: BeyondVolumes | None = None,
    sessions: Sequence[Conformed] = (),
) -> Segmented:
    """Segment one scan.

    Args:
        scan: from `read_scan`.
        engine: a loaded bundle.
        on_step: told the name of each step as it begins.
        conformed: the scan on a lattice that was chosen elsewhere; None = found here.
        draw: `Segmented.pictures` at once, in a thread beside the others.
        beyond: what else is measured.
        sessions: other scans of this head, see `normalise_head`.

    Raises:
        ScanError: there is no brain in it.
    """
    watch = _Stopwatch(on_step)
    manifest = engine.bundle.manifest
    with watch.step("conform", CONFORMED_ALONE if conformed is None else CONFORMED_JOINTLY):
        if conformed is None:
            conformed = conform(scan, manifest.network, manifest.locator, engine.locate)
    with watch.step("network", engine.description):
        prediction = engine.segment(conformed.network_input, conformed.brain)
    with watch.step("components", "islands and minor parts given to what surrounds them"):
        labels = keep_main_components(prediction.labels, manifest.table)
    # Both need no more than the labels: what follows runs beside them.
    measuring = begun(image_measures, conformed.intensities, labels, manifest.table)
    drawing = begun(_drawn, conformed, labels, manifest.table) if draw else None
    with watch.step("own grid", "labels back on the scan's voxels"):
        on_scan_grid = restore_labels(labels, conformed.grid, scan.grid, prediction.confidence)
    with watch.step("volumes", "voxels counted, posteriors summed, quality scored"):
        stripped = looks_stripped(conformed.intensities, labels, conformed.grid.spacing_mm)
        head_ml = etiv_ml(labels, conformed.grid, stripped=stripped)
        cleaned = labels, on_scan_grid
        rows, quality = _measured(
            scan, manifest, conformed, prediction, cleaned, head_ml, measuring.result()
        )
    result = Segmented(
        scan,
        engine.bundle,
        engine.description,
        conformed,
        labels,
        prediction.confidence,
        on_scan_grid,
        rows,
        quality,
        stripped,
        tuple(watch.steps),
        drawing=drawing,
    )
    return result if beyond is None else _with_beyond(result, engine, beyond, sessions, watch)


def _with_beyond(
    result: Segmented,
    engine: Engine,
    beyond: BeyondVolumes,
    sessions: Sequence[Conformed],
    watch: _Stopwatch,
) -> Segmented:
    """The result with what is measured beyond volumes; arguments are those of `segment_scan`."""
    conformed, scan_grid = result.conformed, result.scan.grid
    cortex, mni_maps, brain, divided = None, None, None, None
    quality = result.quality
    drawn = _drawn_by(result)
    if beyond.ribbon is not engine:
        with watch.step("ribbon", beyond.ribbon.bundle.manifest.full_name):
            drawn = draw_ribbon(beyond.ribbon, conformed)
    if beyond.thickness:
        with watch.step("thickness", "of the cortex, from surface to surface"):
            spacing_mm = conformed.grid.spacing_mm[0]
            cortex = measure_cortex(engine, drawn, result.labels, spacing_mm, scan_grid)
    if beyond.registers:
        with watch.step("average head", "laid over it: affine, then diffeomorphic"):
            others = [draw_ribbon(beyond.ribbon, other) for other in sessions]
            laid = lay_over_average(drawn, conformed.grid, engine.threads, others)
        if laid.warning:
            quality = with_warnings(quality, [laid.warning])
        if beyond.mni_maps:
            mni_maps = MniMaps(drawn.by, laid.grey, laid.white, laid.likeness)
        if beyond.atlases:
            with watch.step("atlases", ", ".join(atlas.name for atlas in beyond.atlases)):
                grids = conformed.grid, scan_grid
                bundle = beyond.ribbon.bundle.manifest
                wanted = beyond.atlases, cortex
                divided = divide(drawn, bundle, laid, grids, wanted, engine.threads)
    if beyond.tissue:
        with watch.step("tissue", "brain mask and shares of tissue on the scan's voxels"):
            seen = Drawn(result.labels, result.confidence, conformed.grid)
            brain = draw_brain(seen, result.table, result.labels_on_scan_grid, scan_grid)
    return replace(
        result,
        quality=quality,
        cortex=cortex,
        mni_maps=mni_maps,
        brain=brain,
        divided=divided,
        steps=tuple(watch.steps),
    )


def _drawn_by(result: Segmented) -> DrawnRibbon:
    """The labels of the result itself as a ribbon."""
    soft = {row.region_id: row.soft_volume_ml for row in result.rows if row.region_id is not None}
    known = {label_id: ml for label_id, ml in soft.items() if ml is not None}
    ribbon = Ribbon(result.labels, result.confidence)
    return DrawnRibbon(result.bundle.manifest.full_name, ribbon, known)


def _measured(
    scan: Scan,
    manifest: Manifest,
    conformed: Conformed,
    prediction: Prediction,
    cleaned: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    head_ml: float | None,
    measures: Mapping[str, float],
) -> tuple[tuple[VolumeRow, ...], Quality]:
    """Volumes, and how far they can be trusted.

    Args:
        scan, manifest, conformed, prediction: of `segment_scan`.
        cleaned: labels on the conformed grid, and on the scan's own.
        head_ml: eTIV, None = not estimable.
        measures: of the image, see `quality.score`.
    """
    labels, on_scan_grid = cleaned
    calibration = calibration_of(manifest, scan.grid)
    rows = measure(
        on_scan_grid,
        scan.grid,
        soft_volumes(prediction, labels, conformed.grid.voxel_ml),
        confidence_by_id(labels, prediction.confidence, manifest.table),
        calibration,
        manifest.table,
        etiv_ml=head_ml,
    )
    quality = score(
        measures,
        labels,
        prediction.confidence,
        rows,
        manifest.table,
        calibration=calibration,
        on_scan_grid=(on_scan_grid, scan.grid.spacing_mm),
    )
    warnings = ((f.code, f.message) for f in scan.findings if f.severity == "warning")
    return rows, with_warnings(quality, warnings)


def calibration_of(manifest: Manifest, grid: Grid) -> Calibration:
    """What a bundle knows of its own error on voxels like those of `grid`."""
    coarse = max(grid.spacing_mm) > COARSE_MM
    return Calibration(
        {e.id: sd for e in manifest.labels if (sd := _relative_sd(e, coarse)) is not None},
        {
            e.id: e.reference_confidence
            for e in manifest.labels
            if e.reference_confidence is not None
        },
        manifest.totals | (manifest.coarse_totals if coarse else {}),
    )


def repeat_shares_of(manifest: Manifest, grid: Grid) -> dict[str, float]:
    """Region -> `repeat_sd` as a share of the error that `calibration_of` takes.

    With one and the same protocol a scan errs by this share of its `sd_ml`. Repetition was not
    measured on coarse voxels.
    """
    if max(grid.spacing_mm) > COARSE_MM:
        return {}
    return {
        entry.name: round(entry.repeat_sd / entry.relative_sd, 4)
        for entry in manifest.labels
        if entry.repeat_sd is not None and entry.relative_sd
    }


def _relative_sd(entry: LabelEntry, coarse: bool) -> float | None:
    """Before the error over acquisitions was measured, that of mere repetition is all there is."""
    if coarse and entry.coarse_sd is not None:
        return entry.coarse_sd
    return entry.repeat_sd if entry.relative_sd is None else entry.relative_sd


def _drawn(conformed: Conformed, labels: NDArray[np.uint8], table: LabelTable) -> ScanPictures:
    return draw_scan(conformed.intensities, labels, conformed.grid, table)
