"""Models out of a real MLflow server, by alias."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fibromorph.manifest import open_bundle, read_manifest
from fibromorph.serving.service.catalogue import Catalogue
from fibromorph.serving.service.registry import fetch, newest_of
from fibromorph.serving.service.settings import MlflowSource, load_settings
from fibromorph.serving.service.store import Store
from tests.serving.service.tiny import make_bundle

START_SECONDS = 300
PUBLISH = """
import sys
from mlflow import MlflowClient, log_artifacts, set_tracking_uri, start_run
uri, folder, name = sys.argv[1:]
set_tracking_uri(uri)
with start_run() as run:
    log_artifacts(folder, "bundle")
client = MlflowClient(uri)
try:
    client.create_registered_model(name)
except Exception:
    pass
version = client.create_model_version(name, f"{run.info.artifact_uri}/bundle", run.info.run_id)
client.set_registered_model_alias(name, "production", version.version)
"""


@pytest.fixture(scope="module")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("mlflow", reason="needs MLflow (extra train)")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--serve-artifacts"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    stores += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *options, *stores],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/health")
        yield url
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def publish(url: str, bundle: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", PUBLISH, url, str(bundle), "t1-lab"], check=True, capture_output=True
    )


def test_the_alias_is_followed(mlflow_url: str, tmp_path: Path) -> None:
    source = MlflowSource(url=mlflow_url, name="t1-lab")
    store = Store(tmp_path / "data")
    versions, allowed = [], []
    for version in ("1", "2"):
        bundle = make_bundle(tmp_path / "bundle", version)
        allowed.append(read_manifest(bundle).network.sha256)
        publish(mlflow_url, bundle)
        versions.append(open_bundle(fetch(source, store)).manifest.version)
    assert versions == ["1", "2"]
    assert fetch(source, store) == fetch(source, store)
    default = make_bundle(tmp_path / "default", "0")
    allowed.append(read_manifest(default).network.sha256)
    settings = load_settings(None, ship_models=False, model=str(default), allowed_models=allowed)
    catalogue = Catalogue(settings, store)
    for _ in range(2):
        catalogue.reload([("t1-lab", fetch(source, store))])
    assert catalogue["t1-lab"].manifest.version == "2"
    assert catalogue["t1-lab"].folder == fetch(source, store)
    # The default, and each version once; nobody took over the first.
    assert len(list((store.root / "bundles").iterdir())) == 3
    store.close()


def test_a_registry_that_is_away_changes_nothing(tmp_path: Path) -> None:
    settings = load_settings(None, mlflow={"url": "http://127.0.0.1:9", "name": "t1-lab"})
    store = Store(tmp_path / "data")
    assert newest_of(settings, store) == []
    store.close()


def _wait_for(url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    raise AssertionError("MLflow did not start")
