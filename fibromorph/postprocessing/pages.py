"""The environment in which every page is filled in, and the one script that a page may run."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

PACKAGE = "fibromorph.postprocessing"


@dataclass(frozen=True)
class PageScript:
    """A script of ours within a page.

    Attributes:
        text: of the script; '' = the page runs nothing.
        policy: what the page's Content-Security-Policy says of scripts: this one and no other.
    """

    text: Markup
    policy: Markup


NO_SCRIPT = PageScript(Markup(""), Markup("'none'"))


def page_environment(package: str = PACKAGE) -> Environment:
    """Templates of a package: every value is escaped, one that is not given is an error."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page_script(name: str, package: str = PACKAGE) -> PageScript:
    """A script that lies beside a package's templates; nothing of a scan is in it."""
    text = (files(package) / "templates" / name).read_text("utf-8")
    digest = b64encode(sha256(text.encode()).digest()).decode("ascii")
    return PageScript(Markup(text), Markup("'sha256-{}'").format(digest))
