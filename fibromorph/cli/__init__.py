"""The command line: one module a group of commands, none of which imports anything heavy.

Every import that costs time is made by the handler that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

import fibromorph
from fibromorph.cli import bundles, cohort, scans, service, statistics, synth, training, voxels
from fibromorph.cli.parts import WRONG_CALL
from fibromorph.errors import FibromorphError, MissingExtraError

GROUPS = (scans, cohort, statistics, voxels, synth, service, bundles, training)
"""In the order in which `--help` lists their commands."""

EXTRA_OF = {
    "torch": "train",
    "monai": "train",
    "pytorch_lightning": "train",
    "mlflow": "train",
    "torchio": "train",
    "onnx": "train",
    "fastapi": "serve",
    "uvicorn": "serve",
    "pydantic_settings": "serve",
    "sqlalchemy": "serve",
    "alembic": "serve",
    "structlog": "serve",
    "limits": "serve",
    "prometheus_client": "serve",
    "python_multipart": "serve",
    "jwt": "serve",
    "httpx": "serve",
    "psycopg": "postgres",
    "nilearn": "demo",
    "SimpleITK": "vbm",
    "distributed": "cluster",
}
"""Package -> the extra that brings it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 = done; 1 = some scans of several failed, the rest is written; 2 = the call or its input
        is wrong, and one line on stderr says which rule, which value, which file.
    """
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks how a line could go on
        import argcomplete

        argcomplete.autocomplete(parser)
    options, rest = parser.parse_known_args(arguments)
    if rest and not options.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    if not options.own_signals:
        # Batch systems end jobs by SIGTERM: leave as after Ctrl-C, nothing half-written.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(options.handler(options))
    except FibromorphError as error:
        return _complain(error)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF:
            raise
        return _complain(MissingExtraError(options.extra or EXTRA_OF[package], package))
    except BrokenPipeError:  # whoever read has seen enough: `fibromorph power ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except OSError as error:
        named = next((str(n) for n in (error.filename, error.filename2) if n is not None), "")
        return _complain(FibromorphError(error.strerror or str(error), subject=named))
    except KeyboardInterrupt:
        print("fibromorph: stopped", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="fibromorph",
        description="From a T1-weighted scan to regional brain volumes, with their uncertainty.",
    )
    parser.add_argument("--version", action="version", version=fibromorph.__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for group in GROUPS:
        group.add_commands(commands)
    return parser


def _complain(error: FibromorphError) -> int:
    print(f"fibromorph: {error}", file=sys.stderr)
    return WRONG_CALL
