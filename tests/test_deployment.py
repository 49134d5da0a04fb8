"""What the Dockerfile and `compose.yaml` rely on, exercised without Docker."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.engine import make_url

from fibromorph.cli import build_parser
from fibromorph.serving.service.settings import load_settings

ROOT = Path(__file__).parents[1]
PASSWORD = "aa11"


@pytest.fixture(scope="module")
def dockerfile() -> str:
    """Continued lines joined."""
    return (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return content


def stages(dockerfile: str) -> dict[str, str]:
    """Name -> lines of each stage, in order."""
    parts = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]
    return {part.splitlines()[0].split()[-1]: part for part in parts}


def image_environment(stage: str) -> dict[str, str]:
    lines = [line.removeprefix("ENV ") for line in stage.splitlines() if line.startswith("ENV ")]
    return dict(pair.split("=", 1) for line in lines for pair in shlex.split(line))


def command_of(stage: str) -> list[str]:
    line = next(line for line in stage.splitlines() if line.startswith("CMD "))
    arguments: list[str] = json.loads(line.removeprefix("CMD "))
    return arguments


def test_the_service_starts_with_what_compose_gives_it(
    dockerfile: str, compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_environment(stages(dockerfile)["serve"])
    given = compose["services"]["service"]["environment"]
    for name, value in {**image, **given}.items():
        if name.startswith("FIBROMORPH_"):
            filled = re.sub(r"\$\{POSTGRES_PASSWORD[^}]*\}", PASSWORD, value)
            monkeypatch.setenv(name, filled)
    settings = load_settings(ROOT / "configs" / "serve.yaml")
    assert str(settings.data_dir) == "/data"
    assert settings.host == "0.0.0.0"
    assert settings.allowed_hosts == ("localhost", "127.0.0.1")
    database = make_url(str(settings.database_url))
    postgres = compose["services"]["postgres"]["environment"]
    assert database.host == "postgres"
    assert database.database == postgres["POSTGRES_DB"]
    assert database.username == postgres["POSTGRES_USER"]
    assert database.password == PASSWORD


def test_the_commands_of_images_and_of_the_instructions_exist(dockerfile: str) -> None:
    parser = build_parser()
    command = command_of(stages(dockerfile)["serve"])
    assert command[0] == "fibromorph"
    parser.parse_args(command[1:])
    steps = re.findall(r"service fibromorph (.+)", (ROOT / "compose.yaml").read_text())
    assert steps
    for step in steps:
        parser.parse_args(shlex.split(step))


def test_what_is_copied_exists_and_what_is_built_is_named(
    dockerfile: str, compose: dict[str, Any]
) -> None:
    found = stages(dockerfile)
    for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, flags=re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
    for source in re.findall(r"COPY --from=(\S+)", dockerfile):
        assert source in found
    for service in compose["services"].values():
        build = service.get("build")
        if isinstance(build, dict):
            assert build["target"] in found
    assert list(found)[-1] == "serve"  # what `build: .` makes


def test_the_serving_image_has_no_torch_and_runs_as_nobody_special(dockerfile: str) -> None:
    found = stages(dockerfile)
    extras = re.search(r'"\.\[(.+)\]"', found["build"])
    assert extras is not None
    assert "train" not in extras[1].split(",")
    assert "HEALTHCHECK" in found["serve"]
    assert "/health/ready" in found["serve"]
    for name in ("serve", "train", "mlflow"):
        assert re.search(r"^USER (?!root)", found[name], flags=re.MULTILINE), name


def test_compose_keeps_what_must_be_kept(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        volumes = [volume.split(":")[0] for volume in service["volumes"]]
        assert set(volumes) <= set(compose["volumes"]), name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
