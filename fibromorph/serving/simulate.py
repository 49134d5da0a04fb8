"""Anatomies to simulate cohorts from: the template that nilearn carries, or a user's own scans."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fibromorph.datasets.cohort.anatomy import Anatomy, conform_anatomy, read_anatomy
from fibromorph.datasets.cohort.contrast import with_tissue_contrast
from fibromorph.datasets.cohort.head import with_head
from fibromorph.errors import ConfigError
from fibromorph.labels import coarsened
from fibromorph.postprocessing.intracranial import looks_stripped
from fibromorph.scans import Scan, read_scan
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.demo.scan import write_template
from fibromorph.serving.engine import Engine
from fibromorph.serving.pipeline import segment_scan

TEMPLATE_EXPONENT = 2
TISSUE_SHARE = 0.6
"""Of the template's picture, made from its labels."""

HEAD_SEED = 0
"""The head around a template is the same in every study: only people differ by seed."""


def template_anatomy(
    model: str = "t1-open", device: str = "auto", threads: int = 0, *, head: bool = True
) -> Anatomy:
    """The T1 template of nilearn, labelled by a bundle.

    Args:
        model, device, threads: see `Engine`.
        head: wrap it in a skull, so that the intracranial volume can be estimated.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mni152.nii.gz"
        write_template(path)
        template = read_scan(path)
    # The template's contrast is compressed: its fluid has 0.46 of white matter's intensity, its
    # putamen 0.87. Squared, both are what a single T1-weighted scan shows (0.2, 0.75).
    contrasted = replace(template, data=template.data**TEMPLATE_EXPONENT)
    labelled = _labelled(contrasted, Engine(find_bundle(model), device, threads))
    anatomy = with_tissue_contrast(labelled, TISSUE_SHARE)
    return _headed(anatomy) if head else anatomy


def anatomies_of(
    sources: Sequence[Sequence[Path]],
    model: str = "t1-open",
    device: str = "auto",
    threads: int = 0,
    *,
    head: bool = True,
) -> tuple[Anatomy, ...]:
    """A user's own anatomies.

    Args:
        sources: (scan, labels) each, or (scan,): that one is labelled by a bundle.
        model, device, threads: see `Engine`.
        head: wrap those that are skull-stripped in a skull.

    Raises:
        ConfigError: neither one nor two files for an anatomy.
        ScanError, LabelError: see `read_anatomy`.
    """
    for source in sources:
        if len(source) not in (1, 2):
            raise ConfigError(
                "takes a scan and, optionally, its labels", value=len(source), subject="--anatomy"
            )
    needs_engine = any(len(source) == 1 for source in sources)
    engine = Engine(find_bundle(model), device, threads) if needs_engine else None
    anatomies = []
    for scan, *labels in sources:
        if engine and not labels:
            found = _labelled(read_scan(scan), engine)
        else:
            found = read_anatomy(scan, *labels)
        anatomies.append(_headed(found) if head else found)
    return tuple(anatomies)


def segmented_anatomy(scan: Scan, engine: Engine) -> Anatomy:
    """A scan with the labels that a bundle gives it, wrapped in a head if it has none.

    They are those of the bundle's own protocol, regions of the cortex included.
    """
    found = segment_scan(scan, engine)
    labels, subject = found.labels_on_scan_grid, str(scan.source)
    return _headed(conform_anatomy(scan, labels, scan.grid, subject, found.table))


def _labelled(scan: Scan, engine: Engine) -> Anatomy:
    found = segment_scan(scan, engine)
    labels = coarsened(found.labels_on_scan_grid, found.table)
    return conform_anatomy(scan, labels, scan.grid, str(scan.source))


def _headed(anatomy: Anatomy) -> Anatomy:
    """The anatomy, wrapped in a head if it is skull-stripped."""
    if not looks_stripped(anatomy.intensities, anatomy.labels, anatomy.grid.spacing_mm):
        return anatomy
    return with_head(anatomy, np.random.default_rng(HEAD_SEED))
