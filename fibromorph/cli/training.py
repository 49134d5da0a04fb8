"""`train`, `export` and `register`: from label maps to a bundle that a service can follow."""

from __future__ import annotations

import argparse
from pathlib import Path

from fibromorph.cli.parts import DONE, Commands, command
from fibromorph.training import USAGE


def add_commands(commands: Commands) -> None:
    """Add this group's commands."""
    command(
        commands,
        "train",
        "fit a network: --config YAML and overrides (fibromorph train --help)",
        _train,
        passes_on=True,
        own_signals=True,
    )
    parser = command(commands, "export", "write a bundle from trained weights", _export)
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        required=True,
        metavar="CKPT|NAME|DIR",
        help="checkpoint of the network, or a bundle; of several, their mean",
    )
    for option, metavar, text in (
        ("--locator", "CKPT|NAME|DIR", "checkpoint of the locator, or a bundle"),
        ("--check", "SCAN", "on which ONNX Runtime and torch must agree"),
        ("--facts", "YAML", "name, version, licence and so on: see configs/bundle-own.yaml"),
        ("--out", "DIR", "the bundle, which replaces an older one there"),
    ):
        parser.add_argument(option, type=Path, required=True, metavar=metavar, help=text)
    parser.add_argument(
        "--balance",
        type=Path,
        metavar="TSV|NAME|DIR",
        help="scores.tsv of `evaluate`: shift borders until its mean volume errors vanish;"
        " or as a bundle's were shifted",
    )
    parser = command(commands, "register", "put a bundle into MLflow's model registry", _register)
    parser.add_argument("bundle", type=Path, metavar="DIR", help="of the bundle")
    parser.add_argument("--name", required=True, help="of the registered model")
    parser.add_argument("--alias", default="production", help="moves to the new version")


TRAIN_HELP = f"""\
usage: {USAGE}

Fits the segmentation network, or the locator. What a configuration may hold, and what --KEY VALUE
overrides, `fibromorph train --help` lists in full once the extra is installed:
  pip install -c constraints.txt ".[train]"
To begin with: configs/train-*.yaml, configs/finetune.yaml; docs/training.md says how."""


def _train(options: argparse.Namespace) -> int:
    try:
        from fibromorph.training.fit import train
    except ModuleNotFoundError:
        if not {"-h", "--help"} & set(options.rest):
            raise
        print(TRAIN_HELP)
        return DONE
    train(options.rest)
    return DONE


def _export(options: argparse.Namespace) -> int:
    from fibromorph.models.export import export_bundle, read_facts

    facts = read_facts(options.facts)
    manifest = export_bundle(
        options.weights,
        options.locator,
        options.check,
        options.out,
        facts,
        balance=options.balance,
        note=print,
    )
    print(f"{manifest.full_name} written to {options.out}")
    return DONE


def _register(options: argparse.Namespace) -> int:
    from fibromorph.training.register import register_bundle

    version = register_bundle(options.bundle, options.name, options.alias)
    print(f"{options.name} version {version}, alias {options.alias}")
    return DONE
