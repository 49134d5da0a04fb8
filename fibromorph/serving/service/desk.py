"""Keys and the audit log from the command line, beside a service that may be running."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fibromorph.errors import ConfigError
from fibromorph.serving.service.ledger import Audit, Database, Keys, state_of
from fibromorph.serving.service.schemas import when
from fibromorph.serving.service.settings import Settings

LINE = "{:<10} {:<20} {:<20} {:<18} {}"
AUDIT_LINE = "{:<20} {:<16} {:<12} {:<33} {}"


def add_key(settings: Settings, name: str, scopes: Sequence[str], days: float | None) -> str:
    """Make a key; arguments and errors as `Keys.add`'s."""
    with _keys(settings) as keys:
        return keys.add(name, scopes, days)


def list_keys(settings: Settings) -> str:
    """The keys as a table: id, name, scopes, expiry, state."""
    with _keys(settings) as keys:
        lines = [LINE.format("id", "name", "scopes", "expires (UTC)", "state")]
        for key in keys.all():
            expiry = when(key.expires_at)
            expires = "never" if expiry is None else f"{expiry:%Y-%m-%d %H:%M}"
            cells = (key.id, key.name, " ".join(key.scopes), expires, state_of(key))
            lines.append(_printable(LINE.format(*cells)))
    return "\n".join(lines)


def rotate_key(settings: Settings, key_id: str) -> str:
    """Give a key another secret; errors as `Keys.rotate`'s."""
    with _keys(settings) as keys:
        return keys.rotate(key_id)


def revoke_key(settings: Settings, key_id: str) -> None:
    """End a key; errors as `Keys.revoke`'s."""
    with _keys(settings) as keys:
        keys.revoke(key_id)


def list_audit(settings: Settings, last: int) -> str:
    """The newest lines of the audit log, oldest first: when, who, what, to what, how.

    Raises:
        ConfigError: `last` is below 1.
    """
    if last < 1:
        raise ConfigError("must be 1 or more", value=last, subject="--last")
    with _ledger(settings) as database:
        lines = [
            AUDIT_LINE.format(
                f"{when(e.at):%Y-%m-%d %H:%M:%S}", e.actor, e.action, e.subject, e.detail
            )
            for e in reversed(Audit(database).latest(last))
        ]
    head = AUDIT_LINE.format("when (UTC)", "who", "what", "to what", "")
    return "\n".join(_printable(line.rstrip()) for line in [head, *lines])


def _printable(line: str) -> str:
    """With what would move a terminal's cursor spelt out: names and details come from callers."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


@contextmanager
def _keys(settings: Settings) -> Iterator[Keys]:
    with _ledger(settings) as database:
        yield Keys(database)


@contextmanager
def _ledger(settings: Settings) -> Iterator[Database]:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        rule = "the service's folder must be writable"
        raise ConfigError(rule, value=error.strerror, subject=settings.data_dir) from error
    database = Database(settings.url)
    try:
        yield database
    finally:
        database.close()
