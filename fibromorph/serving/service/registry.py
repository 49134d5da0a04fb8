"""Models out of an MLflow registry, by alias, over its REST interface: mlflow is not imported."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from fibromorph.errors import BundleError
from fibromorph.manifest import CARD_NAME, MANIFEST_NAME, read_manifest
from fibromorph.serving.service.logs import log
from fibromorph.serving.service.settings import MlflowSource, Settings
from fibromorph.serving.service.store import Store

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
TIMEOUT_SECONDS = 30
LARGEST_FILE = 1 << 31


def newest_of(settings: Settings, store: Store) -> list[tuple[str, Path]]:
    """The bundle that the configured alias points to now: name, folder; nothing if unreachable."""
    if settings.mlflow is None:
        return []
    try:
        return [(settings.mlflow.name, fetch(settings.mlflow, store))]
    except (httpx.HTTPError, BundleError, KeyError, ValueError) as error:
        # What a bundle breaks is ours to say; the texts of others may hold the server's address.
        said = str(error) if isinstance(error, BundleError) else type(error).__name__
        log.error("model registry failed", error=said)
        return []


def fetch(source: MlflowSource, store: Store) -> Path:
    """Download the bundle behind an alias, unless it was downloaded before.

    Returns:
        A folder with the manifest and the files it names.

    Raises:
        httpx.HTTPError: the server does not answer.
        BundleError: what it holds is no bundle.
    """
    with httpx.Client(base_url=source.url, timeout=TIMEOUT_SECONDS) as client:
        root = _artifact_root(client, source)
        manifest = _get(client, f"{root}/{MANIFEST_NAME}")
        digest = hashlib.sha256(manifest).hexdigest()
        taken, folder = store.bundle(digest), store.fetched(digest)
        if taken.exists():
            return taken
        if not folder.exists():
            _download(client, root, manifest, folder)
    return folder


def _artifact_root(client: httpx.Client, source: MlflowSource) -> str:
    """Path of the model version's artifacts below the server's artifact proxy."""
    alias = {"name": source.name, "alias": source.alias}
    version = _json(client, f"{API}/registered-models/alias", alias)["model_version"]
    wanted = {"name": source.name, "version": version["version"]}
    uri = str(_json(client, f"{API}/model-versions/get-download-uri", wanted)["artifact_uri"])
    parts = urlsplit(uri)
    if parts.scheme != "mlflow-artifacts":
        rule = "the MLflow server must serve artifacts (mlflow server --serve-artifacts)"
        raise BundleError(rule, value=parts.scheme, subject=source.name)
    return ARTIFACTS + parts.path


def _download(client: httpx.Client, root: str, manifest: bytes, folder: Path) -> None:
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    (part / MANIFEST_NAME).write_bytes(manifest)
    promised = read_manifest(part)
    for name in (promised.network.file, promised.locator.file):
        (part / name).write_bytes(_get(client, f"{root}/{name}"))
    (part / CARD_NAME).write_text(f"{promised.name} {promised.version}\n")
    part.replace(folder)


def _json(client: httpx.Client, path: str, query: dict[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(path, params=query).raise_for_status().json()
    return answer


def _get(client: httpx.Client, path: str) -> bytes:
    content = bytearray()
    with client.stream("GET", path) as response:
        response.raise_for_status()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > LARGEST_FILE:
                raise BundleError(f"a graph may have at most {LARGEST_FILE} bytes", subject=path)
    return bytes(content)
