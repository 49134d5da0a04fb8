"""A bundle in the registry is found by its alias, whole and with its signature."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from fibromorph.cli import main
from fibromorph.manifest import open_bundle, write_manifest
from tests.serving.stand_in import write_stand_in


def test_a_bundle_comes_back_by_its_alias(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    folder = write_stand_in(tmp_path / "bundle")
    manifest = open_bundle(folder).manifest
    training = manifest.training.model_copy(update={"run_id": "f00d"})
    write_manifest(folder, manifest.model_copy(update={"training": training}))
    call = ["register", str(folder), "--name", "heads", "--alias", "production"]
    assert main(call) == 0
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "heads version 2" in said
    assert "no service can fetch version 2 of heads" in said
    version = MlflowClient().get_model_version_by_alias("heads", "production")
    assert int(version.version) == 2
    assert version.tags["licence"] == "Apache-2.0"
    assert version.tags["training_run_id"] == "f00d"
    found = Path(mlflow.artifacts.download_artifacts("models:/heads@production"))
    assert open_bundle(found).manifest == open_bundle(folder).manifest
    signature = mlflow.models.get_model_info("models:/heads@production").signature
    assert signature.inputs.input_names() == ["image"]


@pytest.mark.parametrize("alias", ["latest", "V2", "two words", ""])
def test_an_alias_that_mlflow_refuses_leaves_no_version(
    alias: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    folder = write_stand_in(tmp_path / "bundle")
    assert main(["register", str(folder), "--name", "heads", "--alias", alias]) == 2
    assert "an alias is letters" in capsys.readouterr().err
    assert not (tmp_path / "mlflow.db").exists()


def test_the_name_of_a_bundle_that_ships_stays_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    folder = write_stand_in(tmp_path / "bundle")
    assert main(["register", str(folder), "--name", "t1-open"]) == 2
    assert "--name: the name of a bundle that ships" in capsys.readouterr().err
    assert not (tmp_path / "mlflow.db").exists()


def test_a_folder_without_a_bundle_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", str(tmp_path), "--name", "heads"]) == 2
    assert "a bundle is a folder with manifest.json" in capsys.readouterr().err
