"""Models are taken over when they are whole, allowed and working; else the old one stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fibromorph.errors import BundleError, ConfigError
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


def test_a_bundle_that_comes_in_parts_is_taken_once_it_is_whole(
    folder: Path, catalogue_of: Make
) -> None:
    other = make_bundle(folder.parent / "other", "7")
    sha256 = read_manifest(other).network.sha256
    network = (other / "network.onnx").read_bytes()
    (other / "network.onnx").write_bytes(network[:100])
    catalogue = catalogue_of(settings_for(folder, read_manifest(folder).network.sha256, sha256))
    catalogue.reload()
    assert [model.name for model in catalogue.models] == ["lab"]
    assert "sha256" in catalogue.refused["other"].rule
    assert str(folder.parents[1]) not in catalogue.refused["other"].model_dump_json()
    (other / "network.onnx").write_bytes(network)
    catalogue.reload()
    assert catalogue["other"].manifest.version == "7"
    assert catalogue.refused == {}


def test_a_bundle_that_becomes_whole_while_it_is_refused_is_taken_next_time(
    folder: Path, catalogue_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_bundle(folder.parent / "other", "7")
    allowed = [read_manifest(bundle).network.sha256 for bundle in (folder, other)]
    network = (other / "network.onnx").read_bytes()
    (other / "network.onnx").write_bytes(network[:100])
    catalogue = catalogue_of(settings_for(folder, *allowed))
    keep_old = Catalogue._keep_old

    def late(self: Catalogue, *arguments: Any) -> None:
        (other / "network.onnx").write_bytes(network)
        keep_old(self, *arguments)

    monkeypatch.setattr(Catalogue, "_keep_old", late)
    catalogue.reload()
    catalogue.reload()
    assert catalogue["other"].manifest.version == "7"


def test_what_was_refused_is_tried_again_when_asked(folder: Path, catalogue_of: Make) -> None:
    other = make_bundle(folder.parent / "other", "7")
    allowed = [read_manifest(bundle).network.sha256 for bundle in (folder, other)]
    catalogue, tried = catalogue_of(settings_for(folder, *allowed)), []

    def trial(copy: Path) -> None:
        tried.append(copy)
        if read_manifest(copy).version == "7":
            raise BundleError("graphs must load and run", value="it fell over")

    catalogue.reload(trial=trial)
    catalogue.reload(trial=trial)
    assert len(tried) == 2
    assert catalogue.refused["other"].rule == "graphs must load and run"
    catalogue.reload(trial=trial, anew=True)
    assert len(tried) == 3


def test_going_back_to_the_old_version_ends_the_alarm(folder: Path, catalogue_of: Make) -> None:
    catalogue = catalogue_of(settings_for(folder))
    catalogue.reload()
    good = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text("{")
    catalogue.reload()
    assert reload_problem(catalogue) is not None
    (folder / "manifest.json").write_text(good)
    catalogue.reload()
    assert reload_problem(catalogue) is None


def test_a_name_that_ships_stays_what_ships(
    folder: Path, catalogue_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fibromorph.serving.service.catalogue.shipped_names", lambda: ["lab"])
    monkeypatch.setattr(
        "fibromorph.serving.service.catalogue.shipped_folder", lambda: folder.parent
    )
    own = make_bundle(folder.parents[1] / "own" / "lab", "9")
    settings = settings_for(folder, read_manifest(own).network.sha256)
    update = {"models_dir": own.parent, "ship_models": True}
    catalogue = catalogue_of(settings.model_copy(update=update))
    for _ in range(2):
        catalogue.reload()
        assert catalogue["lab"].manifest.version == "1"


def test_a_registered_model_can_be_the_default(folder: Path, catalogue_of: Make) -> None:
    registered = make_bundle(folder.parents[1] / "fetched", "7")
    settings = load_settings(
        None,
        data_dir=folder.parents[1] / "data",
        model="t1-lab",
        mlflow={"url": "http://127.0.0.1:9", "name": "t1-lab"},
        ship_models=False,
        allowed_models=(read_manifest(registered).network.sha256,),
    )
    catalogue = catalogue_of(settings)
    with pytest.raises(BundleError, match="t1-lab: the registry must hand out the default model"):
        catalogue.reload()
    catalogue.reload([("t1-lab", registered)])
    assert (catalogue.default.name, catalogue.default.manifest.version) == ("t1-lab", "7")
    catalogue.reload()
    assert catalogue.default.manifest.version == "7"


def test_a_registered_model_needs_a_name_of_its_own(folder: Path, catalogue_of: Make) -> None:
    with pytest.raises(ConfigError, match=r"mlflow\.name: .* name of its own.*found: t1-open"):
        load_settings(None, mlflow={"url": "http://127.0.0.1:9", "name": "t1-open"})
    registered = make_bundle(folder.parents[1] / "fetched", "7")
    sha256 = read_manifest(registered).network.sha256
    catalogue = catalogue_of(settings_for(folder, read_manifest(folder).network.sha256, sha256))
    tried: list[Path] = []
    for _ in range(2):
        catalogue.reload([("lab", registered)], tried.append)
        assert catalogue["lab"].manifest.version == "1"
    assert len(tried) == 1


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
