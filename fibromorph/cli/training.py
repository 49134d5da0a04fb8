"""`train`, `export` and `register`: from label maps to a bundle that a service can follow."""

from __future__ import annotations

import argparse
from pathlib import Path

from fibromorph.cli.parts import DONE, Commands, command


def add_commands(commands: Commands) -> None:
    """Add this group's commands."""
    command(
        commands,
        "train",
        "fit a network: --config YAML and overrides (fibromorph train --help)",
        _train,
        passes_on=True,
    )
    parser = command(commands, "export", "write a bundle from trained weights", _export)
    parser.add_argument("--weights", type=Path, required=True, metavar="CKPT|DIR")
    parser.add_argument("--locator", type=Path, required=True, metavar="CKPT|DIR")
    parser.add_argument("--check", type=Path, required=True, metavar="SCAN")
    parser.add_argument("--facts", type=Path, required=True, metavar="YAML")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--balance",
        type=Path,
        metavar="TSV",
        help="scores.tsv of `evaluate`: shift borders until its mean volume errors vanish",
    )
    parser = command(commands, "register", "put a bundle into MLflow's model registry", _register)
    parser.add_argument("bundle", type=Path, metavar="DIR")
    parser.add_argument("--name", required=True, help="of the registered model")
    parser.add_argument("--alias", default="production", help="moves to the new version")


def _train(options: argparse.Namespace) -> int:
    from fibromorph.training.fit import train

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
    print(f"{manifest.name} {manifest.version} written to {options.out}")
    return DONE


def _register(options: argparse.Namespace) -> int:
    from fibromorph.training.register import register_bundle

    version = register_bundle(options.bundle, options.name, options.alias)
    print(f"{options.name} version {version}, alias {options.alias}")
    return DONE
