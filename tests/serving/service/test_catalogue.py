"""Models are taken over when they are whole, allowed and working; else the old one stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fibromorph.errors import BundleError
from fibromorph.manifest import read_manifest
from fibromorph.serving.service.catalogue import Catalogue
from fibromorph.serving.service.problems import Problem, Refusal
from fibromorph.serving.service.settings import Settings, load_settings
from fibromorph.serving.service.store import Store
from tests.serving.service.tiny import make_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "models" / "lab")


def settings_for(folder: Path, *allowed: str) -> Settings:
    return load_settings(
        None,
        data_dir=folder.parents[1] / "data",
        model=str(folder),
        models_dir=folder.parent,
        ship_models=False,
        allowed_models=allowed or (read_manifest(folder).network.sha256,),
    )


Make = Callable[[Settings], Catalogue]


@pytest.fixture
def catalogue_of() -> Iterator[Make]:
    """Catalogues, whose stores are let go of afterwards."""
    stores = []

    def make(settings: Settings) -> Catalogue:
        stores.append(Store(settings.data_dir))
        return Catalogue(settings, stores[-1])

    yield make
    for store in stores:
        store.close()


def reload_problem(catalogue: Catalogue) -> Problem | None:
    return catalogue.default.reload_problem


def test_a_new_version_replaces_the_old_one(folder: Path, catalogue_of: Make) -> None:
    first = read_manifest(folder).network.sha256
    make_bundle(folder, "2")
    second = read_manifest(folder).network.sha256
    make_bundle(folder, "1")
    catalogue = catalogue_of(settings_for(folder, first, second))
    catalogue.reload()
    old = catalogue["lab"]
    make_bundle(folder, "2")
    catalogue.reload()
    assert (old.manifest.version, catalogue["lab"].manifest.version) == ("1", "2")
    assert (old.folder / "network.onnx").is_file()


def test_a_network_that_is_not_allowed_changes_nothing(folder: Path, catalogue_of: Make) -> None:
    catalogue = catalogue_of(settings_for(folder))
    catalogue.reload()
    make_bundle(folder, "2")
    catalogue.reload()
    model = catalogue.default
    assert model.manifest.version == "1"
    assert model.reload_problem is not None
    assert model.reload_problem.rule == "a network's sha256 must be in allowed_models"


def test_a_damaged_bundle_changes_nothing_and_can_be_mended(
    folder: Path, catalogue_of: Make
) -> None:
    catalogue = catalogue_of(settings_for(folder))
    catalogue.reload()
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(
        manifest.replace("Thresholds, for tests", "changed") + "x"
    )
    catalogue.reload()
    assert reload_problem(catalogue) is not None
    (folder / "manifest.json").write_text(manifest.replace("Thresholds, for tests", "changed"))
    catalogue.reload()
    assert reload_problem(catalogue) is None
    assert catalogue.default.manifest.description == "changed"


def test_a_network_that_does_not_run_changes_nothing(folder: Path, catalogue_of: Make) -> None:
    first = read_manifest(folder).network.sha256
    make_bundle(folder, "2")
    second = read_manifest(folder).network.sha256
    make_bundle(folder, "1")
    catalogue = catalogue_of(settings_for(folder, first, second))
    catalogue.reload()
    make_bundle(folder, "2")

    def trial(_: Path) -> None:
        raise BundleError("graphs must load and run", value="it fell over")

    catalogue.reload(trial=trial)
    assert catalogue.default.manifest.version == "1"
    assert catalogue.default.reload_problem is not None


def test_a_service_does_not_start_without_its_default_model(
    folder: Path, catalogue_of: Make
) -> None:
    with pytest.raises(BundleError, match="allowed_models"):
        catalogue_of(settings_for(folder, "0" * 64)).reload()


def test_an_unknown_name_lists_the_known_ones(folder: Path, catalogue_of: Make) -> None:
    catalogue = catalogue_of(settings_for(folder))
    catalogue.reload()
    with pytest.raises(Refusal, match=r"model must be one of lab \(found: other\)"):
        catalogue["other"]
