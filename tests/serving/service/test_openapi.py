"""The interface is what its document says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.service.server import Server

DOCUMENT = Path(__file__).parents[3] / "docs" / "api" / "openapi.json"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_the_document_is_the_service_s(server: Server) -> None:
    served = httpx.get(f"{server.url}/v1/openapi.json").json()
    assert served["openapi"].startswith("3.1")
    assert json.loads(DOCUMENT.read_text()) == served, "run: make openapi"


@pytest.fixture(scope="module")
def document(server: Server) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/v1/openapi.json")


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_request_is_answered_in_an_undocumented_way(case: Any) -> None:
    case.call_and_validate(checks=CHECKS)
