"""`models`, `evaluate`, `reliability`, `responsiveness`: the bundles, and how good they are."""

from __future__ import annotations

import argparse
from pathlib import Path

from fibromorph.cli.parts import DONE, Commands, add_engine_options, command, engine_choice
from fibromorph.errors import ConfigError

PROTOCOL_HELP = "of the labels: neuromorphometrics or freesurfer"


def add_commands(commands: Commands) -> None:
    """Add this group's commands."""
    _add_models(commands)
    _add_evaluate(commands)
    _add_reliability(commands)
    _add_responsiveness(commands)


def _add_models(commands: Commands) -> None:
    parser = command(commands, "models", "the bundles that ship", _models)
    parser.add_argument(
        "action",
        choices=("list", "show", "verify", "compare"),
        help="all that ship; the card of one; its hashes; its engines' labels and seconds",
    )
    parser.add_argument(
        "model", nargs="?", default="t1-open", metavar="NAME|DIR", help="bundle (default: t1-open)"
    )
    parser.add_argument("--scan", type=Path, help="compare: engines with each other, on this scan")
    parser.add_argument(
        "--update-bundle", action="store_true", help="compare: write what was found into the bundle"
    )


def _add_evaluate(commands: Commands) -> None:
    parser = command(commands, "evaluate", "score a bundle on labelled scans", _evaluate)
    parser.add_argument("folder", type=Path, metavar="DIR", help="scans with reference labels")
    parser.add_argument("--scans", default="*_SS.nii.gz", metavar="GLOB", help="in DIR")
    parser.add_argument(
        "--labels", default="_SS.nii.gz=_glm.nii.gz", metavar="OLD=NEW", help="scan to label name"
    )
    parser.add_argument("--protocol", default="neuromorphometrics", help=PROTOCOL_HELP)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for tables and pictures"
    )
    parser.add_argument(
        "--repeats", type=int, default=0, metavar="N", help="simulated re-scans of each scan"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N scans")
    parser.add_argument(
        "--only",
        nargs="+",
        default=(),
        metavar="STEM",
        help="scans by their path in DIR without OLD, or patterns of it such as 'sub-0*'",
    )
    parser.add_argument(
        "--skip",
        nargs="+",
        default=(),
        metavar="STEM",
        help="scans to leave out, such as those that the bundle has learnt from",
    )
    parser.add_argument(
        "--folds",
        nargs="+",
        default=(),
        metavar="NAME|DIR",
        help="trained alike on some of the scans; the first that has not seen a scan answers it",
    )
    parser.add_argument(
        "--update-bundle", action="store_true", help="write the scores into manifest and card"
    )
    add_engine_options(parser)


def _add_reliability(commands: Commands) -> None:
    parser = command(
        commands, "reliability", "how far volumes move when only the acquisition does", _reliability
    )
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN", help="heads to disturb")
    parser.add_argument(
        "--labels",
        metavar="OLD=NEW",
        help="scan to reference label name; where there are none, a scan is its own reference",
    )
    parser.add_argument("--protocol", default="neuromorphometrics", help=PROTOCOL_HELP)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for tables and pictures"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the perturbations")
    parser.add_argument(
        "--update-bundle", action="store_true", help="write error, scores, picture into the bundle"
    )
    add_engine_options(parser)


def _add_responsiveness(commands: Commands) -> None:
    parser = command(
        commands,
        "responsiveness",
        "how much of a change of one structure alone arrives in its volume",
        _responsiveness,
    )
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN", help="heads to change")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for tables and pictures"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the changes")
    parser.add_argument(
        "--update-bundle", action="store_true", help="write what was found into the bundle"
    )
    add_engine_options(parser)


def _models(options: argparse.Namespace) -> int:
    from fibromorph.serving import bundles

    if options.action == "list":
        print(bundles.list_bundles())
    elif options.action == "show":
        print(bundles.show_bundle(options.model))
    elif options.action == "verify":
        print(bundles.verify_bundle(options.model))
    else:
        from fibromorph.serving.measuring.parity import compare_engines

        print(compare_engines(options.model, options.scan, update_bundle=options.update_bundle))
    return DONE


def _evaluate(options: argparse.Namespace) -> int:
    from fibromorph.serving.measuring.evaluation import EvaluationRequest, evaluate

    old, new = _renaming(options.labels)
    request = EvaluationRequest(
        folder=options.folder,
        scan_glob=options.scans,
        scan_suffix=old,
        label_suffix=new,
        protocol=options.protocol,
        repeats=options.repeats,
        limit=options.limit,
        only=options.only,
        skip=options.skip,
    )
    print(
        evaluate(
            request,
            options.out,
            **engine_choice(options),
            folds=options.folds,
            update_bundle=options.update_bundle,
        )
    )
    return DONE


def _renaming(text: str) -> tuple[str, str]:
    """End of a scan's name, and what stands there in the name of its labels.

    Raises:
        ConfigError: not both.
    """
    old, _, new = text.partition("=")
    if not new:
        rule = "must be OLD=NEW: the end of a scan's name and what its labels have there"
        raise ConfigError(rule, value=text, subject="--labels")
    return old, new


def _reliability(options: argparse.Namespace) -> int:
    from fibromorph.serving.measuring.reliability import ScanWithTruth, measure_reliability

    references: list[Path | None] = [None for _ in options.scans]
    if options.labels:
        old, new = _renaming(options.labels)
        named = [path.with_name(path.name.removesuffix(old) + new) for path in options.scans]
        references = [labels if labels.is_file() else None for labels in named]
        if not any(references):
            rule = "a scan must have the labels"
            raise ConfigError(rule, value=options.labels, subject="--labels")
    scans = [
        ScanWithTruth(path, labels, options.protocol)
        for path, labels in zip(options.scans, references, strict=True)
    ]
    print(
        measure_reliability(
            scans,
            options.out,
            **engine_choice(options),
            seed=options.seed,
            update_bundle=options.update_bundle,
        )
    )
    return DONE


def _responsiveness(options: argparse.Namespace) -> int:
    from fibromorph.serving.measuring.responsiveness import measure_responsiveness

    print(
        measure_responsiveness(
            options.scans,
            options.out,
            **engine_choice(options),
            seed=options.seed,
            update_bundle=options.update_bundle,
        )
    )
    return DONE
