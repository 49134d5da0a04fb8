"""What the modules of the command line share: exit statuses, and options that several take."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from fibromorph.serving.extras import Extras

DONE, SOME_FAILED, WRONG_CALL = 0, 1, 2

Handler = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def command(
    commands: Commands,
    name: str,
    summary: str,
    handler: Handler,
    *,
    passes_on: bool = False,
    extra: str = "",
    own_signals: bool = False,
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: what to add it to.
        name: the word on the command line.
        summary: one line for `--help`.
        handler: runs it, returns the exit status.
        passes_on: what is not known here is left in `options.rest` for the handler.
        extra: that brings all it needs; named when something is missing.
        own_signals: its handler sees to SIGTERM; of others it is as Ctrl-C.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        add_help=not passes_on,
        formatter_class=WithDefaults,
    )
    parser.set_defaults(handler=handler, passes_on=passes_on, extra=extra, own_signals=own_signals)
    return parser


class WithDefaults(argparse.HelpFormatter):
    """Adds the default of every option that has one and does not name it itself."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        unsaid = action.default in (None, False, "", (), argparse.SUPPRESS) or action.default == []
        if not action.option_strings or unsaid or "default" in (text or ""):
            return text
        return f"{text} (default: %(default)s)" if text else "default: %(default)s"


def add_study_tables(parser: argparse.ArgumentParser, volumes: str) -> None:
    """What a study is read from: `--volumes`, `--participants`, `--config`.

    Args:
        parser: of the command.
        volumes: which tables it takes, for `--help`.
    """
    parser.add_argument(
        "--volumes", nargs="+", type=Path, required=True, metavar="PATH", help=volumes
    )
    parser.add_argument(
        "--participants",
        type=Path,
        required=True,
        metavar="TSV",
        help="a row a person: group, covariates, scores",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="YAML", help="the design")


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Which bundle, on what: `--model`, `--device`, `--threads`."""
    parser.add_argument("--model", default="t1-open", metavar="NAME|DIR", help="bundle")
    parser.add_argument(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="auto, cpu, cuda, openvino or openvino-bf16",
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="CPU threads (default: all)"
    )


def add_extras(parser: argparse._ActionsContainer) -> None:
    """What is measured beyond volumes, but for maps: `--thickness`, `--tissue`, `--atlas`."""
    parser.add_argument(
        "--thickness", action="store_true", help="of the cortex and its regions, too"
    )
    parser.add_argument(
        "--tissue",
        action="store_true",
        help="brain mask, skull-stripped scan and shares of tissue on its own voxels, too",
    )
    parser.add_argument(
        "--atlas",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="volumes of its regions, too: one of those installed, or labels in MNI coordinates;"
        " may be given several times",
    )


def extras(options: argparse.Namespace) -> Extras:
    """What `add_extras` and `--vbm` read."""
    from fibromorph.serving.extras import Extras

    return Extras(options.thickness, options.vbm, options.tissue, tuple(options.atlas))


def engine_choice(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_engine_options` read, as the keyword arguments of whatever runs a bundle."""
    return {name: getattr(options, name) for name in ("model", "device", "threads")}
