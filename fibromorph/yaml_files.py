"""YAML that people write: read, and what is wrong with it told in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from fibromorph.errors import ConfigError

UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""What pydantic calls a key that a model, or a dataclass, does not have."""


def read_mapping(path: Path, what: str = "configuration") -> dict[str, Any]:
    """The keys and values of a file; none of an empty one.

    Args:
        path: of the file.
        what: it is, for errors.

    Raises:
        ConfigError: not there, not YAML, or something else than a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"a {what} must exist", subject=path) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as reason:
        text = " ".join(str(reason).replace(' in "<unicode string>"', "").split())
        raise ConfigError(f"a {what} must be readable YAML", value=text, subject=path) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"a {what} must be a mapping of keys", value=content, subject=path)
    return content


def first_wrong(error: ValidationError, model: type) -> tuple[tuple[str | int, ...], str, Any]:
    """The first thing that pydantic found wrong.

    Args:
        error: of the model's validation.
        model: a pydantic model or a dataclass.

    Returns:
        (where it stands, which rule it breaks, the value or None where there is none).
    """
    first = error.errors()[0]
    place, rule = first["loc"], first["msg"].removeprefix("Value error, ")
    missing = first["type"] == "missing"
    if first["type"] in UNKNOWN:
        rule = _unknown_key(place, model)
    elif missing:
        rule = "the key must be there"
    nothing = missing or isinstance(first["input"], dict)
    return place, rule, None if nothing else first["input"]


def wrong(error: ValidationError, model: type, subject: str | Path) -> ConfigError:
    """The same as an error that names the key in `subject`."""
    place, rule, value = first_wrong(error, model)
    key = ".".join(map(str, place))
    return ConfigError(rule, value=value, subject=f"{subject}, key {key}" if key else subject)


def _unknown_key(place: Sequence[str | int], model: type) -> str:
    """What to say of a key that there is not: what may have been meant, what there is."""
    section: Any = model
    for name in place[:-1]:
        field = section.model_fields.get(str(name)) if _is_model(section) else None
        section = field.annotation if field else None
    names = list(_keys(section))
    if not names:
        return "there is no such key"
    meant = get_close_matches(str(place[-1]), names, 1)
    return (
        f"there is no such key; {f'is it {meant[0]}? ' if meant else ''}keys are {', '.join(names)}"
    )


def _keys(section: Any) -> Iterable[str]:
    if _is_model(section):
        return list(section.model_fields)
    return [field.name for field in fields(section)] if is_dataclass(section) else []


def _is_model(section: Any) -> bool:
    return isinstance(section, type) and issubclass(section, BaseModel)
