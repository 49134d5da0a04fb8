"""A service for the tests that do not break one, and what they send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fibromorph.client import Client
from fibromorph.manifest import read_manifest
from tests.serving.service.server import Server
from tests.serving.service.tiny import make_bundle, write_head

UPLOAD_MB = 64


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that runs in no time."""
    return make_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_settings(tiny: Path) -> dict[str, object]:
    """Settings under which the tiny bundle is the default, and is allowed."""
    sha256 = read_manifest(tiny).network.sha256
    return {
        "model": str(tiny),
        "allowed_models": [sha256],
        "device": "cpu",
        "workers": 1,
        "threads": 1,
        "ship_models": False,
        "upload_mb": UPLOAD_MB,
        "uploads_per_minute": 10_000,
        "requests_per_minute": 100_000,
    }


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, object]
) -> Iterator[Server]:
    """A service that nobody kills."""
    server = Server(tmp_path_factory.mktemp("service"), **tiny_settings).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small head."""
    return write_head(tmp_path_factory.mktemp("heads") / "head.nii.gz")
