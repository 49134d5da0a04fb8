"""From trained weights to a bundle: two graphs, a manifest and a card, compared with torch."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from fibromorph.errors import BundleError, ConfigError
from fibromorph.labels import LabelTable
from fibromorph.located import brain_of
from fibromorph.manifest import (
    CARD_NAME,
    LARGEST_DIFFERING_SHARE,
    MANIFEST_NAME,
    GraphFile,
    LabelEntry,
    Manifest,
    Parity,
    Training,
    Word,
    file_sha256,
    open_bundle,
    where_it_lies,
    write_manifest,
)
from fibromorph.models.balance import balancing_offsets, read_errors
from fibromorph.models.card import write_card
from fibromorph.models.graph import LocatorGraph, LocatorNet, SegmentationGraph
from fibromorph.models.onnx_files import (
    LOCATOR,
    NETWORK,
    export_locator,
    export_segmentation,
)
from fibromorph.models.weights import (
    Origin,
    load_weights,
    mean_weights,
    merged_hashes,
    network_of,
    origin_of,
    read_weights,
    table_of_weights,
)
from fibromorph.preprocess import Conformed, conform
from fibromorph.scans import read_scan
from fibromorph.yaml_files import read_mapping, wrong

BUNDLE_SUFFIXES = (".onnx", ".png")
"""Of a bundle's files beside manifest and card."""
Note = Callable[[str], None]
Balancing = Callable[[SegmentationGraph, Conformed], Mapping[str, float]]
"""Name of a structure -> what to add to its logits, for a network on the box of a scan."""


@dataclass(frozen=True)
class TrainingFacts:
    """What a manifest's `Training` says that the weights do not know.

    Attributes:
        data: what they have learnt from, in words.
        steps: of the optimiser; None = what the checkpoint has done.
        data_sha256: of files beyond those that the weights have on record, by name.
        config: settings of the training.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    data: tuple[str, ...]
    steps: int | None = None
    data_sha256: dict[str, str] = field(default_factory=dict)
    config: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class BundleFacts:
    """What a manifest says that the weights do not know.

    Attributes:
        name: of the bundle, also its folder's.
        version: of the weights, 'major.minor'.
        description: one sentence.
        licence: SPDX expression of the weights.
        training: see `TrainingFacts`.
        notes: what a reader of the scores should know, for the card.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: Word
    version: Word
    description: str
    licence: str
    training: TrainingFacts
    notes: tuple[str, ...] = ()


def read_facts(path: Path) -> BundleFacts:
    """Read `BundleFacts` from YAML.

    Raises:
        ConfigError: not YAML, or a field is missing, unknown or of another type.
    """
    content = read_mapping(path, "description of a bundle")
    try:
        return TypeAdapter(BundleFacts).validate_python(content)
    except ValidationError as error:
        raise wrong(error, BundleFacts, path) from None


def export_bundle(
    weights: Sequence[Path],
    locator_weights: Path,
    check_scan: Path,
    folder: Path,
    facts: BundleFacts,
    *,
    balance: Path | None = None,
    note: Note = lambda _: None,
) -> Manifest:
    """Write a bundle, and only if ONNX Runtime and torch agree on a real scan.

    Args:
        weights: checkpoint of the segmentation network, or a bundle or the name of one that ships;
            of several, their mean.
        locator_weights: checkpoint of the locator, or a bundle or the name of one that ships, whose
            locator is taken as it is.
        check_scan: the scan that both are compared on.
        folder: of the bundle, which replaces an older one there.
        facts: see `BundleFacts`.
        balance: `scores.tsv` of an evaluation whose mean volume errors the borders are shifted by,
            see `models.balance`; or a bundle or the name of one that ships, to shift them as its.
        note: told what is being done.

    Raises:
        BundleError: no weights, or the two differ on more than 0.1 % of the voxels.
        TableError: `balance` is no such table.
        BundleError: it is a bundle that is not balanced, or of another protocol.
        ConfigError: the folder holds something else than a bundle, or the facts contradict the
            checkpoint.
    """
    _require_replaceable(folder)
    training = _training(facts.training, [origin_of(source) for source in weights])
    state = mean_weights(weights)
    net, table = network_of(state), table_of_weights(state)
    shift = _balancing(balance, table) if balance else None
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        part = Path(name)
        locator = write_locator(locator_weights, part)
        conformed = _conform(part, locator, check_scan)
        graph = SegmentationGraph(net, table).eval()
        offsets: Mapping[str, float] = {}
        if shift:
            note("balancing volumes")
            offsets = shift(graph, conformed)
            net.shift_logits(torch.tensor([0.0, *(offsets.get(n, 0.0) for n in table.names)]))
        note("writing the graphs")
        export_segmentation(graph, part / NETWORK.file)
        note(f"comparing ONNX Runtime with torch on {check_scan.name}")
        parity = measure_parity(graph, part / NETWORK.file, conformed, check_scan)
        manifest = _manifest(_hashed(part, NETWORK), locator, facts, table, training)
        manifest = manifest.model_copy(update={"parity": parity, "balance": dict(offsets)})
        write_manifest(part, manifest)
        write_card(part, manifest)
        _replace_folder(part, folder)
    return manifest


def write_locator(source: Path, folder: Path) -> GraphFile:
    """The locator of a bundle as it is, or that of a checkpoint exported, into a folder.

    Raises:
        BundleError: neither is there, or the weights do not fit.
    """
    if (bundle_folder := where_it_lies(source)).is_dir():
        bundle = open_bundle(bundle_folder)
        shutil.copy(bundle.locator_path, folder / LOCATOR.file)
        return bundle.manifest.locator.model_copy(update={"file": LOCATOR.file})
    locator = LocatorNet()
    load_weights(locator, read_weights(source))
    export_locator(LocatorGraph(locator).eval(), folder / LOCATOR.file)
    return _hashed(folder, LOCATOR)


def measure_parity(
    graph: SegmentationGraph, exported: Path, conformed: Conformed, check_scan: Path
) -> Parity:
    """Compare the exported graph with the torch one, on the box of a scan.

    Raises:
        BundleError: they differ on more than 0.1 % of the voxels.
    """
    image, brain = conformed.network_input, conformed.brain
    with torch.inference_mode():
        answer = graph(torch.from_numpy(image), torch.from_numpy(brain))
    labels, soft, _ = (t.numpy() for t in answer)
    found_labels, found_soft, _ = _run(exported, image=image, brain=brain)
    share = float(np.mean(labels != found_labels))
    largest = float(np.max(np.abs(soft - found_soft) / np.maximum(soft, 100.0)))
    if share > LARGEST_DIFFERING_SHARE:
        raise BundleError(
            f"ONNX Runtime and torch may differ on {LARGEST_DIFFERING_SHARE:.1%} of the voxels",
            value=f"{share:.3%}",
            subject=check_scan,
        )
    return Parity(
        image=check_scan.name,
        voxels=image.size,
        differing_share=share,
        largest_soft_volume_difference=largest,
    )


def _hashed(folder: Path, graph: GraphFile) -> GraphFile:
    return graph.model_copy(update={"sha256": file_sha256(folder / graph.file)})


def _manifest(
    network: GraphFile,
    locator: GraphFile,
    facts: BundleFacts,
    table: LabelTable,
    training: Training,
) -> Manifest:
    return Manifest(
        name=facts.name,
        version=facts.version,
        description=facts.description,
        licence=facts.licence,
        protocol=table.protocol,
        statistics="brain",
        network=network,
        locator=locator,
        labels=tuple(LabelEntry(**vars(label)) for label in table),
        training=training,
        notes=facts.notes,
    )


def _training(facts: TrainingFacts, origins: Sequence[Origin]) -> Training:
    """The facts, and what the weights have on record.

    Raises:
        ConfigError: the steps contradict a checkpoint, or nobody knows them.
    """
    learnt = reduce(merged_hashes, (origin.learnt_from for origin in origins))
    known = facts.data_sha256
    more = {name: sha256 for name, sha256 in learnt.items() if sha256 not in known.values()}
    done = max((origin.steps for origin in origins if origin.steps is not None), default=None)
    steps = done if facts.steps is None else facts.steps
    if steps is None:
        raise ConfigError("must be given, no checkpoint tells it", subject="training.steps")
    # Who went on from other weights may count their steps too.
    all_of_them = len(origins) == 1 and origins[0].from_nothing
    if done is not None and (steps < done or (all_of_them and steps > done)):
        rule = f"must be what the checkpoint has done, {done}, or be left out"
        raise ConfigError(rule, value=steps, subject="training.steps")
    return Training(
        data=facts.data,
        data_sha256=merged_hashes(known, more),
        steps=steps,
        config=facts.config,
        run_id=next((origin.run_id for origin in reversed(origins) if origin.run_id), ""),
    )


def _balancing(source: Path, table: LabelTable) -> Balancing:
    """How to find what is added to logits, by the scores or the bundle in `source`."""
    if (folder := where_it_lies(source)).is_dir():
        known = open_bundle(folder).manifest
        if not known.balance or known.table.names != table.names:
            raise BundleError(f"must be a balanced bundle of {table.protocol}", subject=source)
        return lambda *_: known.balance
    errors = read_errors(source, table)

    def by_errors(graph: SegmentationGraph, conformed: Conformed) -> Mapping[str, float]:
        image, brain = conformed.network_input, conformed.brain
        with torch.inference_mode():
            posteriors = graph.posteriors(torch.from_numpy(image), torch.from_numpy(brain))
            return balancing_offsets(posteriors, errors, table)

    return by_errors


def _conform(folder: Path, locator: GraphFile, check_scan: Path) -> Conformed:
    def locate(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return brain_of(_run(folder / locator.file, image=image))

    return conform(read_scan(check_scan), NETWORK, locator, locate)


def _run(path: Path, **inputs: NDArray[np.float32]) -> list[NDArray[Any]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


def _require_replaceable(folder: Path) -> None:
    """See that nothing but a bundle would be lost.

    Raises:
        ConfigError: a file, or a folder with anything else in it.
    """
    if not folder.exists():
        return
    found = [p.name for p in folder.iterdir()] if folder.is_dir() else [folder.name]
    own = (MANIFEST_NAME, CARD_NAME)
    strange = sorted(n for n in found if n not in own and not n.endswith(BUNDLE_SUFFIXES))
    if strange or (found and MANIFEST_NAME not in found):
        rule = "a bundle replaces only a bundle; take a folder that is new or empty"
        raise ConfigError(rule, value=(strange or found)[0], subject=folder)


def _replace_folder(part: Path, folder: Path) -> None:
    finished = part / "bundle"
    finished.mkdir()
    for item in part.iterdir():
        if item != finished:
            item.rename(finished / item.name)
    if folder.exists():
        folder.rename(part / "old")
    shutil.move(finished, folder)
