"""Print the OpenAPI document: `python -m fibromorph.serving.service.document`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from fibromorph.serving.service.app import create_app
from fibromorph.serving.service.core import Service
from fibromorph.serving.service.settings import load_settings


def openapi_text() -> str:
    """The document as it is kept in docs/api/openapi.json."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(load_settings(None, data_dir=Path(folder)))
        return json.dumps(create_app(service).openapi(), indent=1) + "\n"


if __name__ == "__main__":
    print(openapi_text(), end="")
