"""The interface is what its document says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.service.server import Server

DOCUMENT = Path(__file__).parents[3] / "docs" / "api" / "openapi.json"
EXAMPLES = int(os.environ.get("FIBROMORPH_FUZZ_EXAMPLES", "8"))
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


OPERATIONS = [
    operation.ok() for operation in schemathesis.openapi.from_path(DOCUMENT).get_all_operations()
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_no_request_is_answered_in_an_undocumented_way(operation: Any, server: Server) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        case.call_and_validate(base_url=server.url, checks=CHECKS)

    send()
