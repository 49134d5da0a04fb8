"""Hostile uploads are refused with a reason, by a process that may die of them."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fibromorph.client import Client
from tests.serving.service.corpus import HEADER, hostile_uploads
from tests.serving.service.server import Server

EXAMPLES = 5 * int(os.environ.get("FIBROMORPH_FUZZ_EXAMPLES", "8"))
LARGEST_MEMORY_MB = 400
ANSWER_SECONDS = 60


def test_every_hostile_upload_is_refused(server: Server, client: Client, tmp_path: Path) -> None:
    with httpx.Client(timeout=ANSWER_SECONDS) as http:
        for name, content in hostile_uploads(tmp_path).items():
            answer = http.post(f"{server.url}/v1/scans", content=content)
            assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text)
            problem = answer.json()
            assert problem["rule"], name
            assert str(server.data) not in answer.text, name
            assert server.memory_mb() < LARGEST_MEMORY_MB, name
    assert not list((server.data / "incoming").iterdir())
    assert not client.jobs(["failed"])
    assert httpx.get(f"{server.url}/health/ready").status_code == 200


@pytest.fixture(scope="module")
def plain(head: Path) -> bytes:
    return gzip.decompress(head.read_bytes())


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(edits=st.lists(st.tuples(st.integers(0, HEADER - 1), st.integers(0, 255)), max_size=12))
def test_no_header_breaks_the_service(
    edits: list[tuple[int, int]], plain: bytes, server: Server
) -> None:
    content = bytearray(plain)
    for position, value in edits:
        content[position] = value
    answer = httpx.post(f"{server.url}/v1/scans", content=bytes(content), timeout=ANSWER_SECONDS)
    assert answer.status_code == 202 or 400 <= answer.status_code < 500
    if answer.status_code == 202:
        httpx.delete(f"{server.url}/v1/jobs/{answer.json()['id']}")
    assert server.memory_mb() < LARGEST_MEMORY_MB
