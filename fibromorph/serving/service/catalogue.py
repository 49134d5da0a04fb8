"""The models that can be chosen; a new version that fails to load leaves the old one in place."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from fibromorph.errors import BundleError, FibromorphError
from fibromorph.manifest import MANIFEST_NAME, Manifest, open_bundle
from fibromorph.serving.bundles import find_bundle, shipped_folder, shipped_names
from fibromorph.serving.service.logs import log
from fibromorph.serving.service.problems import Problem, Refusal, problem_of
from fibromorph.serving.service.settings import Settings
from fibromorph.serving.service.store import Store
from fibromorph.serving.service.wanted import atlas_folders

Try = Callable[[Path], None]


@dataclass(frozen=True)
class Model:
    """A bundle that was verified, copied and tried.

    Attributes:
        name: by which jobs choose it.
        digest: of the manifest, which pins the graphs.
        folder: the copy in the store, never changed again.
        manifest: what it promises.
        reload_problem: why the newest version was not taken over; None if it was.
    """

    name: str
    digest: str
    folder: Path
    manifest: Manifest
    reload_problem: Problem | None = None


class Catalogue:
    """The models by name.

    Args:
        settings: which bundles, and which networks are allowed.
        store: where copies lie.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._models: dict[str, Model] = {}
        self._refused: dict[str, tuple[str, Problem]] = {}
        self._loading = threading.Lock()

    @property
    def models(self) -> tuple[Model, ...]:
        """All that can be chosen, by name."""
        return tuple(self._models[name] for name in sorted(self._models))

    @property
    def refused(self) -> dict[str, Problem]:
        """Bundles of which no version could be loaded, by name, and why."""
        found = {name: problem for name, (_, problem) in self._refused.items()}
        return {name: found[name] for name in sorted(found) if name not in self._models}

    @property
    def default(self) -> Model:
        """What is taken when a job does not choose."""
        return self[self._default_name]

    def __getitem__(self, name: str) -> Model:
        """A model by name.

        Raises:
            Refusal: 422, there is none of that name.
        """
        if name not in self._models:
            known = ", ".join(sorted(self._models))
            raise Refusal(422, f"model must be one of {known}", value=name[:64], subject="model")
        return self._models[name]

    def reload(
        self,
        extra: Iterable[tuple[str, Path]] = (),
        trial: Try = lambda _: None,
        *,
        anew: bool = False,
    ) -> None:
        """Look at every source again.

        Args:
            extra: further bundles: name, folder.
            trial: runs a copy before jobs get it; what it raises keeps the old one in place.
            anew: try once more what was refused, though nothing in its folder has changed.

        Raises:
            BundleError: the default model cannot be had, and was not loaded before.
        """
        with self._loading:
            sources = _one_by_name([*self._sources(), *extra])
            kept = {} if anew else {n: why for n, why in self._refused.items() if n in sources}
            self._refused = kept
            for name, folder in sources.items():
                state = ""
                try:
                    # Before anything is read: what changes from now on is worth another try.
                    state = _state(folder)
                    self._take(name, folder, state, trial)
                    self._refused.pop(name, None)
                except _RefusedBefore:
                    continue
                except FibromorphError as error:
                    self._keep_old(name, folder, error, state)
                except OSError as error:
                    # A worker died, a disk was full: worth another try.
                    told = BundleError("a bundle must be readable", value=error, subject=name)
                    self._keep_old(name, folder, told, "")
            if self._default_name not in self._models:
                rule = "the registry must hand out the default model when the service starts"
                raise BundleError(rule, subject=self._default_name)

    @property
    def _registered_name(self) -> str:
        return self._settings.mlflow.name if self._settings.mlflow else ""

    @property
    def _default_name(self) -> str:
        name = self._settings.model
        return name if name in (*shipped_names(), self._registered_name) else Path(name).name

    def _sources(self) -> list[tuple[str, Path]]:
        names = shipped_names() if self._settings.ship_models else []
        folders = [shipped_folder() / name for name in names]
        folders += self._settings.own_bundles
        found = {folder.name for folder in folders}
        if self._default_name not in found | {self._registered_name}:
            folders.append(find_bundle(self._settings.model).folder)
        return [(folder.name, folder) for folder in folders]

    def _take(self, name: str, folder: Path, state: str, trial: Try) -> None:
        digest = _digest(folder)
        known = self._models.get(name)
        if known is not None and known.digest == digest:
            self._models[name] = replace(known, reload_problem=None)
            return
        if name in self._refused and self._refused[name][0] == state:
            raise _RefusedBefore
        copy = self._copy(folder, digest)
        manifest = open_bundle(copy).manifest
        self._check_allowed(folder, manifest)
        trial(copy)
        self._models[name] = Model(name, digest, copy, manifest)
        log.info("model loaded", model=name, version=manifest.version, digest=digest[:12])

    def _copy(self, folder: Path, digest: str) -> Path:
        """The bundle as it is now, in a folder named by its digest."""
        copy = self._store.bundle(digest)
        if copy.exists():
            return copy
        if folder == self._store.fetched(digest):  # nobody else's, so it need not be copied
            open_bundle(folder)
            folder.replace(copy)
            return copy
        part = copy.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        bundle = open_bundle(folder)
        part.mkdir()
        for path in (folder / MANIFEST_NAME, bundle.network_path, bundle.locator_path):
            shutil.copyfile(path, part / path.name)
        open_bundle(part)
        part.replace(copy)
        return copy

    def _check_allowed(self, folder: Path, manifest: Manifest) -> None:
        shipped = folder.parent == shipped_folder()
        if not shipped and manifest.network.sha256 not in self._settings.allowed_models:
            raise BundleError(
                "a network's sha256 must be in allowed_models",
                value=manifest.network.sha256,
                subject=folder.name,
            )

    def _keep_old(self, name: str, folder: Path, error: FibromorphError, state: str) -> None:
        log.error("model not loaded", model=name, rule=error.rule)
        others = atlas_folders(self._settings.extras)
        told = problem_of(error, folder.parent, self._store.root, *others)
        told = told.model_copy(update={"subject": name})
        self._refused[name] = (state, told)
        if name in self._models:
            self._models[name] = replace(self._models[name], reload_problem=told)
        elif name == self._default_name:
            raise error


def _one_by_name(sources: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """The first of every name; another of that name would be mistaken for it."""
    found: dict[str, Path] = {}
    for name, folder in sources:
        if found.setdefault(name, folder) != folder:
            log.error("model needs a name of its own", model=name)
    return found


class _RefusedBefore(Exception):
    """Nothing has changed since."""


def _state(folder: Path) -> str:
    """Of all files of a bundle: a manifest may come before its graphs are there in full."""
    stats = sorted((path.name, path.stat()) for path in folder.iterdir())
    return repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


def _digest(folder: Path) -> str:
    path = folder / MANIFEST_NAME
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
