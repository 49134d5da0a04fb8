"""The command line. Every import that costs time is made by the command that needs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import fibromorph
from fibromorph.errors import FibromorphError, MissingExtraError

DONE, SOME_FAILED, WRONG_CALL = 0, 1, 2
EXTRA_OF = {
    "torch": "train",
    "monai": "train",
    "pytorch_lightning": "train",
    "mlflow": "train",
    "torchio": "train",
    "onnx": "train",
    "fastapi": "serve",
    "uvicorn": "serve",
    "nilearn": "demo",
}
"""Package -> the extra that brings it."""

Handler = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 = done; 1 = some scans of several failed, the rest is written; 2 = the call or its input
        is wrong, and one line on stderr says which rule, which value, which file.
    """
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not options.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return int(options.handler(options))
    except FibromorphError as error:
        return _complain(error)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF:
            raise
        return _complain(MissingExtraError(EXTRA_OF[package], package))
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
    _add_segment(commands)
    _add_demo(commands)
    _add_serve(commands)
    _add_models(commands)
    _add_evaluate(commands)
    _add_train(commands)
    _add_export(commands)
    return parser


def _command(
    commands: Commands,
    name: str,
    summary: str,
    handler: Handler,
    *,
    passes_on: bool = False,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary, add_help=not passes_on)
    parser.set_defaults(handler=handler, passes_on=passes_on)
    return parser


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="t1-open", metavar="NAME|DIR", help="bundle to use")
    parser.add_argument(
        "--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or openvino"
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="CPU threads (default: all)"
    )


def _add_segment(commands: Commands) -> None:
    parser = _command(commands, "segment", "segment scans, write volumes and reports", _segment)
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--space", choices=("scan", "conformed"), default="scan", help="conformed: both grids"
    )
    _add_engine(parser)


def _add_demo(commands: Commands) -> None:
    parser = _command(commands, "demo", "segment the T1 template that nilearn carries", _demo)
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR")
    _add_engine(parser)


def _add_serve(commands: Commands) -> None:
    parser = _command(commands, "serve", "answer REST requests", _serve)
    parser.add_argument("--config", type=Path, metavar="YAML")


def _add_models(commands: Commands) -> None:
    parser = _command(commands, "models", "the bundles that ship", _models)
    parser.add_argument("action", choices=("list", "show", "verify"))
    parser.add_argument("model", nargs="?", default="t1-open", metavar="NAME|DIR")


def _add_evaluate(commands: Commands) -> None:
    parser = _command(commands, "evaluate", "score a bundle on labelled scans", _evaluate)
    parser.add_argument("folder", type=Path, metavar="DIR", help="scans with reference labels")
    parser.add_argument("--scans", default="*_SS.nii.gz", metavar="GLOB")
    parser.add_argument(
        "--labels", default="_SS.nii.gz=_glm.nii.gz", metavar="OLD=NEW", help="scan to label name"
    )
    parser.add_argument("--protocol", default="neuromorphometrics", help="of the labels")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--repeats", type=int, default=0, metavar="N", help="re-scans a scan")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N scans")
    parser.add_argument(
        "--update-bundle", action="store_true", help="write the scores into manifest and card"
    )
    _add_engine(parser)


def _add_train(commands: Commands) -> None:
    _command(
        commands,
        "train",
        "fit a network: --config YAML and overrides (fibromorph train --help)",
        _train,
        passes_on=True,
    )


def _add_export(commands: Commands) -> None:
    parser = _command(commands, "export", "write a bundle from trained weights", _export)
    parser.add_argument("--weights", type=Path, required=True, metavar="CKPT|DIR")
    parser.add_argument("--locator", type=Path, required=True, metavar="CKPT|DIR")
    parser.add_argument("--check", type=Path, required=True, metavar="SCAN")
    parser.add_argument("--facts", type=Path, required=True, metavar="YAML")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")


def _segment(options: argparse.Namespace) -> int:
    from fibromorph.serving.batch import segment_files

    failures = segment_files(
        options.scans,
        options.out,
        model=options.model,
        device=options.device,
        threads=options.threads,
        conformed=options.space == "conformed",
    )
    if not failures:
        return DONE
    return SOME_FAILED if len(failures) < len(options.scans) else WRONG_CALL


def _demo(options: argparse.Namespace) -> int:
    from fibromorph.serving.demo import run_demo

    run_demo(options.out, options.model, options.device, options.threads)
    return DONE


def _serve(options: argparse.Namespace) -> int:
    from fibromorph.serving.app import serve

    serve(options.config)
    return DONE


def _models(options: argparse.Namespace) -> int:
    from fibromorph.serving import bundles

    if options.action == "list":
        print(bundles.list_bundles())
    elif options.action == "show":
        print(bundles.show_bundle(options.model))
    else:
        print(bundles.verify_bundle(options.model))
    return DONE


def _evaluate(options: argparse.Namespace) -> int:
    from fibromorph.serving.evaluation import EvaluationRequest, evaluate

    old, _, new = options.labels.partition("=")
    request = EvaluationRequest(
        folder=options.folder,
        scan_glob=options.scans,
        scan_suffix=old,
        label_suffix=new,
        protocol=options.protocol,
        repeats=options.repeats,
        limit=options.limit,
    )
    print(
        evaluate(
            request,
            options.out,
            model=options.model,
            device=options.device,
            threads=options.threads,
            update_bundle=options.update_bundle,
        )
    )
    return DONE


def _train(options: argparse.Namespace) -> int:
    from fibromorph.training.fit import train

    train(options.rest)
    return DONE


def _export(options: argparse.Namespace) -> int:
    from fibromorph.models.export import export_bundle, read_facts

    facts = read_facts(options.facts)
    manifest = export_bundle(
        options.weights, options.locator, options.check, options.out, facts, note=print
    )
    print(f"{manifest.name} {manifest.version} written to {options.out}")
    return DONE


def _complain(error: FibromorphError) -> int:
    print(f"fibromorph: {error}", file=sys.stderr)
    return WRONG_CALL


if __name__ == "__main__":
    sys.exit(main())
