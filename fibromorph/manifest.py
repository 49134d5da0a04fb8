"""What a model bundle promises: a folder with `manifest.json`, its ONNX files and a card.

Bundles are data: nothing in them is executed but the ONNX graphs, whose hashes the manifest pins.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from fibromorph.errors import BundleError
from fibromorph.files import write_whole
from fibromorph.labels import Colour, Hemisphere, Label, LabelTable, Structure, Tissue

FORMAT_VERSION: Final = 1
LARGEST_DIFFERING_SHARE = 1e-3
"""Of the voxels of a scan, that another engine may label otherwise than the reference does."""
MANIFEST_NAME = "manifest.json"
CARD_NAME = "card.md"
COARSE_MM = 1.3
"""Voxels with a longer side are coarse: a bundle's errors on them are measured apart. Between the
sizes that scanners are set to, so that rounding in a header decides nothing."""
LONGEST_WORD = 64


def _fits_a_header(word: str) -> str:
    plain = word.isprintable() and all(ord(letter) < 256 for letter in word)
    if not plain or not 1 <= len(word) <= LONGEST_WORD:
        rule = f"must be 1 to {LONGEST_WORD} printable characters of Latin-1"
        raise PydanticCustomError("word", rule)
    return word


Word = Annotated[str, AfterValidator(_fits_a_header)]
"""A name or a version: the service tells both in a header of HTTP, which knows Latin-1 alone."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelEntry(_Frozen):
    """One output label, with what is known about its measurement.

    Attributes:
        parent: structure that this one is a part of in a coarser protocol, '' = none.
        relative_sd: standard deviation of the soft volume's error over acquisitions of one head
            (position, voxels, noise, shading), over the soft volume; None until it was measured.
        coarse_sd: the same over acquisitions whose voxels are longer than `COARSE_MM`, which the
            other then leaves out; None where they were not told apart.
        repeat_sd: the same over simulated re-scans with one and the same protocol.
        minimal_detectable_change: relative change between two such scans of one person that
            repetition alone exceeds in 5 % of pairs: 1.96 sqrt(2) repeat_sd.
        responsiveness: share of a change of this structure alone that arrives in its soft volume,
            see `serving.responsiveness`; None until it was measured.
        responsiveness_sd: its standard deviation over heads, sides and draws.
        reference_confidence: median of the label's mean confidence over good scans.
        people_sd: standard deviation of the log soft volume between the people of the evaluation,
            their brain volume taken out; None if there were too few.
        dice: mean Dice on the evaluation scans; None if not evaluated.
        volume_error: mean signed relative error of the soft volume there.
    """

    id: int = Field(ge=1, le=255)
    name: str
    hemisphere: Hemisphere
    tissue: Tissue
    colour: Colour
    parent: str = ""
    relative_sd: float | None = None
    coarse_sd: float | None = None
    repeat_sd: float | None = None
    minimal_detectable_change: float | None = None
    responsiveness: float | None = None
    responsiveness_sd: float | None = None
    reference_confidence: float | None = None
    people_sd: float | None = None
    dice: float | None = None
    volume_error: float | None = None

    @property
    def label(self) -> Label:
        return Label(self.id, self.name, self.hemisphere, self.tissue, self.colour, self.parent)


class GraphFile(_Frozen):
    """An ONNX file of the bundle, named relative to the manifest.

    Attributes:
        spacing_mm: of the input's voxels.
        shape_multiple: what the input's lengths must be multiples of.
        smallest_length: what they must be at least, because the network was trained with no less
            around the brain.
        normalised_by: whose mean and variance the input has to be of 0 and 1: the whole 'box' that
            is seen or, when the locator looks again, the 'brain' that it has found.
    """

    file: str = Field(pattern=r"^[A-Za-z0-9._-]+\.onnx$")
    sha256: str = Field(default="0" * 64, pattern=r"^[0-9a-f]{64}$")
    spacing_mm: float = Field(gt=0)
    shape_multiple: int = Field(ge=1)
    smallest_length: int = Field(ge=1)
    normalised_by: Literal["box", "brain"] = "box"


class Training(_Frozen):
    """Where the weights come from.

    Attributes:
        data: what they have learnt from, in words.
        data_sha256: of the files that they have learnt from, by name.
        steps: of the optimiser.
        config: settings of the training.
        run_id: of the run in MLflow that wrote the checkpoint, '' = not recorded.
    """

    data: tuple[str, ...]
    data_sha256: dict[str, str] = {}
    steps: int
    config: dict[str, object] = {}
    run_id: str = ""


class Parity(_Frozen):
    """How far ONNX Runtime and torch agree on one image."""

    image: str
    voxels: int
    differing_share: float
    largest_soft_volume_difference: float


class MeasuredShare(_Frozen):
    """Mean share of a change that arrives, and its standard deviation over heads, sides, draws."""

    mean: float
    sd: float


class ThicknessErrors(_Frozen):
    """What is known of the error of cortical thickness, see `postprocessing.thickness`.

    All by the name of a row.

    Attributes:
        ribbon: name and version of the bundle that drew both surfaces when it was measured.
        relative_sd: standard deviation of its error over acquisitions of one head, over the
            thickness.
        coarse_sd: the same over acquisitions whose voxels are longer than `COARSE_MM`.
        reference_confidence: mean posterior of the ribbon then.
        repeat_sd: as `relative_sd`, over simulated re-scans with one and the same protocol.
        people_sd: standard deviation of the log thickness between the people of the evaluation.
        responsiveness: of a cortex that is thinner there.
    """

    ribbon: str
    relative_sd: dict[str, float] = {}
    coarse_sd: dict[str, float] = {}
    reference_confidence: float | None = None
    repeat_sd: dict[str, float] = {}
    people_sd: dict[str, float] = {}
    responsiveness: dict[str, MeasuredShare] = {}


def merged_thickness(
    known: ThicknessErrors | None, found: ThicknessErrors | None
) -> ThicknessErrors | None:
    """What was known of thickness, and what was measured of it now; None = nothing.

    What other surfaces than today's have shown is not kept.
    """
    if found is None:
        return known
    if known is None or known.ribbon != found.ribbon:
        return found
    measured = {name: getattr(found, name) for name in found.model_fields_set}
    return known.model_copy(update={name: value for name, value in measured.items() if value})


class Manifest(_Frozen):
    """The contract of a bundle.

    `statistics` tells what the network's layers normalise by: those of the whole 'box' that it
    sees, or of the 'brain' in it, of which it then takes the locator's shares as its second input.
    `engines` holds, for each engine that was compared with ONNX Runtime on the CPU, the share of
    voxels that it labels otherwise. `totals` is the `relative_sd` of each total, and of each
    structure that the labels only have in parts, by its name in volumes tables, `coarse_totals` the
    `coarse_sd`. `thickness` is None until its error was measured. `balance` is what was added to
    the logits of structures on export, see `models.balance`.
    """

    format_version: Literal[1] = FORMAT_VERSION
    name: Word
    version: Word
    description: str
    licence: str
    protocol: str
    orientation: Literal["RAS"] = "RAS"
    normalisation: Literal["zscore-clip6"] = "zscore-clip6"
    statistics: Literal["box", "brain"] = "box"
    network: GraphFile
    locator: GraphFile
    labels: tuple[LabelEntry, ...]
    totals: dict[str, float] = {}
    coarse_totals: dict[str, float] = {}
    balance: dict[str, float] = {}
    thickness: ThicknessErrors | None = None
    training: Training
    parity: Parity | None = None
    engines: dict[str, float] = {}
    scores: dict[str, float] = {}
    notes: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """Name and version, as a bundle is cited."""
        return f"{self.name} {self.version}"

    @property
    def table(self) -> LabelTable:
        """The labels as structures, left and right twins joined by their names."""
        right = {
            e.name.removeprefix("Right-"): e.id for e in self.labels if e.hemisphere == "right"
        }
        structures = []
        for entry in self.labels:
            name = entry.name.removeprefix("Left-")
            if entry.hemisphere != "right":
                twin = right.get(name, entry.id)
                tissue, colour, parent = entry.tissue, entry.colour, entry.parent
                structures.append(Structure(name, tissue, colour, entry.id, twin, parent))
        return LabelTable(self.protocol, tuple(structures))


class Bundle(_Frozen):
    """A manifest together with the folder it was read from and verified in."""

    folder: Path
    manifest: Manifest

    @property
    def network_path(self) -> Path:
        return self.folder / self.manifest.network.file

    @property
    def locator_path(self) -> Path:
        return self.folder / self.manifest.locator.file


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into the bundle's folder."""
    content = json.dumps(manifest.model_dump(mode="json"), indent=1)
    write_whole(folder / MANIFEST_NAME, content + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read and validate `manifest.json` without touching the graphs.

    Raises:
        BundleError: no manifest, an unknown format version, or a field that breaks its rule.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise BundleError(f"a bundle is a folder with {MANIFEST_NAME}", subject=folder)
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise BundleError("the manifest must be JSON", value=error, subject=path) from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise BundleError(
            f"the manifest's format_version must be {FORMAT_VERSION}", value=version, subject=path
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{where}: {first['msg']}", value=first["input"], subject=path) from error
    _check_labels(manifest, path)
    return manifest


def open_bundle(folder: Path) -> Bundle:
    """Read a bundle and check the hash of every graph.

    Raises:
        BundleError: see `read_manifest`; or a graph is missing or has another hash.
    """
    manifest = read_manifest(folder)
    for graph in (manifest.network, manifest.locator):
        path = folder / graph.file
        if not path.is_file():
            raise BundleError("a graph that the manifest names must exist", subject=path)
        found = file_sha256(path)
        if found != graph.sha256:
            raise BundleError(
                f"the file's sha256 must be the manifest's, {graph.sha256}",
                value=found,
                subject=path,
            )
    return Bundle(folder=folder, manifest=manifest)


def shipped_folder() -> Path:
    """Where the package keeps its bundles."""
    return Path(__file__).parent / "models" / "bundles"


def shipped_names() -> list[str]:
    """Names of the bundles that ship, sorted."""
    return sorted(p.parent.name for p in shipped_folder().glob(f"*/{MANIFEST_NAME}"))


def where_it_lies(source: Path) -> Path:
    """The folder of the bundle that ships under a name; any other path as it is."""
    return shipped_folder() / source if str(source) in shipped_names() else source


def _check_labels(manifest: Manifest, path: Path) -> None:
    ids = [entry.id for entry in manifest.labels]
    if not ids or len(set(ids)) != len(ids):
        raise BundleError("labels must be given once each", value=ids, subject=path)
