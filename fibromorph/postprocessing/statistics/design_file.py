"""Reading design files, and writing one with every default and what it means."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from fibromorph.errors import ConfigError
from fibromorph.postprocessing.statistics.assemble import variable_of
from fibromorph.postprocessing.statistics.contract import (
    CONTRACT,
    COVARIATE,
    SCORE,
    header_of,
    squashed,
)
from fibromorph.postprocessing.statistics.design import (
    Design,
    Etiv,
    Families,
    Group,
    Point,
    Sessions,
)
from fibromorph.postprocessing.statistics.families import families_by_name
from fibromorph.postprocessing.statistics.formats import VolumeTable, volume_table
from fibromorph.postprocessing.statistics.output import write_text
from fibromorph.postprocessing.statistics.tables import Table, is_missing, read_table

GROUP_HEADERS = ("group", "diagnosis", "dx", "type", "status", "cohort", "arm")
CONTROL_LEVELS = ("hc", "control", "controls", "healthy", "healthycontrol", "con", "ctrl", "0")


def load_design(path: Path) -> Design:
    """Read and validate a design file.

    Raises:
        ConfigError: unreadable, not YAML, an unknown key, or a value out of its range.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as reason:
        raise ConfigError("a design must be a YAML file", value=reason, subject=path) from None
    if not isinstance(content, dict):
        raise ConfigError("a design must be a YAML mapping", value=content, subject=path)
    try:
        return Design.model_validate(content)
    except ValidationError as reason:
        first = reason.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the design"
        rule = f"{where}: {first['msg'].removeprefix('Value error, ')}"
        raise ConfigError(rule, value=first.get("input"), subject=path) from None


def write_design(design: Design, path: Path) -> None:
    """Write a design file in which every key stands with its meaning."""
    head = "# A group study. Every key is here; those that you do not need can be deleted.\n"
    write_text(path, head + "\n".join(_section(design, 0)) + "\n")


def _section(part: BaseModel, depth: int) -> list[str]:
    lines: list[str] = []
    for name, field in type(part).model_fields.items():
        value, pad = getattr(part, name), "  " * depth
        if isinstance(value, BaseModel):
            lines += [f"{pad}{name}:", *_section(value, depth + 1)]
            continue
        lines += textwrap.wrap(
            f"# {field.description}", 95, initial_indent=pad, subsequent_indent=pad + "# "
        )
        dumped = yaml.safe_dump({name: _plain(value)}, sort_keys=False, width=90).rstrip()
        lines += [pad + line for line in dumped.split("\n")]
    return lines


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_defaults=True)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def design_for(volumes: VolumeTable, participants: Table) -> Design:
    """A first design from the tables at hand; what it cannot know keeps its default."""
    found = {m: h for m in CONTRACT if (h := header_of(m, participants.headers))}
    usable = {m: h for m, h in found.items() if _varies(participants, h)}
    return Design(
        group=_group(participants),
        variables={m.name: variable_of(m, h) for m, h in found.items()},
        covariates=[m.name for m in usable if m.role == COVARIATE and m.name in {"age", "sex"}],
        scores=[m.name for m in usable if m.role == SCORE],
        etiv=Etiv(method="none" if volumes.etiv_ml is None else "covariate"),
        families=Families(regions=families_by_name(list(volumes.volumes_ml.columns))),
        sessions=_sessions(volumes),
    )


def _varies(table: Table, header: str) -> bool:
    return len({t for t in table.column(header) if not is_missing(t)}) > 1


def _group(table: Table) -> Group:
    for header in table.headers:
        levels = sorted({t for t in table.column(header) if not is_missing(t)})
        if squashed(header) in GROUP_HEADERS and len(levels) >= 2:
            controls = next((v for v in levels if squashed(v) in CONTROL_LEVELS), levels[0])
            patients = next(v for v in levels if v != controls)
            return Group(column=header, patients=patients, controls=controls)
    return Group()


def _sessions(volumes: VolumeTable) -> Sessions:
    names = sorted(set(volumes.sessions))
    if len(names) < 2:
        return Sessions()
    points = [Point(name=n or "baseline", match=f"^{n}$", time=i) for i, n in enumerate(names)]
    return Sessions(points=points)


def init_design(volumes: Path, participants: Path, out_yaml: Path) -> Design:
    """Write a first design file from the headers and levels of two tables.

    Raises:
        TableError: a table that cannot be read or recognised.
    """
    design = design_for(volume_table(read_table(volumes)), read_table(participants))
    write_design(design, out_yaml)
    return design
