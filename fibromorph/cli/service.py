"""`serve`, `keys` and `audit`: the REST service, who may use it, and who did."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fibromorph.cli.parts import DONE, Commands, command

if TYPE_CHECKING:
    from fibromorph.serving.service.settings import Settings


def add_commands(commands: Commands) -> None:
    """Add this group's commands."""
    summary = "answer REST requests, with a page at /"
    parser = command(commands, "serve", summary, _serve, extra="serve", own_signals=True)
    parser.add_argument("--config", type=Path, metavar="YAML", help="see configs/serve.yaml")
    parser.add_argument(
        "--host", metavar="ADDRESS", help="others than this machine need keys (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, metavar="N", help="to listen on (default: 8000)")
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="ledger, inputs, results (default: fibromorph-data)",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="a Dask scheduler, such as tls://..."
    )
    summary = "make, list, rotate and revoke keys of the service"
    _add_keys(command(commands, "keys", summary, _list, extra="serve"))
    summary = "print who did what in the service, the newest last"
    parser = command(commands, "audit", summary, _audit, extra="serve")
    parser.add_argument("--last", type=int, default=100, metavar="N", help="lines (default: 100)")
    _add_config(parser, default=None)


def _add_keys(parser: argparse.ArgumentParser) -> None:
    _add_config(parser, default=None)
    actions = parser.add_subparsers(metavar="ACTION")
    add = actions.add_parser("add", help="make a key and print it, this once")
    add.add_argument("--name", required=True, help="whose it is")
    scopes = "read, submit or admin, once for each (default: read and submit)"
    add.add_argument("--scope", action="append", metavar="SCOPE", help=scopes)
    add.add_argument("--days", type=float, metavar="N", help="until it expires (default: never)")
    add.set_defaults(handler=_add)
    listing = actions.add_parser("list", help="the keys there are")
    listing.set_defaults(handler=_list)
    rotate = actions.add_parser("rotate", help="give a key another secret; jobs stay its owner's")
    rotate.add_argument("key_id", metavar="ID", help="as `keys list` shows it")
    rotate.set_defaults(handler=_rotate)
    revoke = actions.add_parser("revoke", help="end a key at once")
    revoke.add_argument("key_id", metavar="ID", help="as `keys list` shows it")
    revoke.set_defaults(handler=_revoke)
    for action in (add, listing, rotate, revoke):
        # Before or after the action; not given after it, what was given before stays.
        _add_config(action, default=argparse.SUPPRESS)


def _add_config(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="YAML", default=default, help="the service's"
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", default=default, help="the service's"
    )


def _serve(options: argparse.Namespace) -> int:
    from fibromorph.serving.service import serve

    names = ("host", "port", "data_dir", "scheduler")
    serve(options.config, **{name: getattr(options, name) for name in names})
    return DONE


def _add(options: argparse.Namespace) -> int:
    from fibromorph.serving.service.desk import add_key

    scopes = options.scope or ["read", "submit"]
    print(add_key(_service_of(options), options.name, scopes, options.days))
    return DONE


def _list(options: argparse.Namespace) -> int:
    from fibromorph.serving.service.desk import list_keys

    print(list_keys(_service_of(options)))
    return DONE


def _rotate(options: argparse.Namespace) -> int:
    from fibromorph.serving.service.desk import rotate_key

    print(rotate_key(_service_of(options), options.key_id))
    return DONE


def _revoke(options: argparse.Namespace) -> int:
    from fibromorph.serving.service.desk import revoke_key

    revoke_key(_service_of(options), options.key_id)
    return DONE


def _audit(options: argparse.Namespace) -> int:
    from fibromorph.serving.service.desk import list_audit

    print(list_audit(_service_of(options), options.last))
    return DONE


def _service_of(options: argparse.Namespace) -> Settings:
    from fibromorph.serving.service.settings import load_settings

    return load_settings(options.config, data_dir=options.data_dir)
