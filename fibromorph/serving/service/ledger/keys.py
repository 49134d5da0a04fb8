"""API keys: made, found again by what is presented, revoked."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, get_args

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from fibromorph.errors import ConfigError
from fibromorph.serving.service.ledger.audit import note
from fibromorph.serving.service.ledger.database import Database
from fibromorph.serving.service.ledger.tables import ApiKey

Scope = Literal["read", "submit", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "fm"
SECONDS_PER_DAY = 86_400
LONGEST_DAYS = 36_500
SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}


class Keys:
    """The keys of a ledger. A key reads `fm_<id>_<secret>`; the secret has 256 random bits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, scopes: Sequence[str], days: float | None) -> str:
        """Make a key.

        Args:
            name: whose it is.
            scopes: of 'read', 'submit', 'admin'; admin sees and ends everybody's jobs.
            days: until it expires; None = never.

        Returns:
            The key: it is shown this once and cannot be recovered.

        Raises:
            ConfigError: unknown scope, or no time left.
        """
        _check(name, scopes, days)
        key_id, secret, salt, hashed = secrets.token_hex(4), *_new_secret()
        now = time.time()
        key = ApiKey(
            id=key_id,
            name=name,
            salt=salt,
            hash=hashed,
            scopes=sorted({*scopes}),
            created_at=now,
            expires_at=None if days is None else now + days * SECONDS_PER_DAY,
        )
        with self._database.write() as session:
            session.add(key)
            note(session, "command line", "key added", key_id, " ".join(key.scopes))
        return f"{PREFIX}_{key_id}_{secret}"

    def rotate(self, key_id: str) -> str:
        """Give a key another secret: jobs belong to its id, and stay its owner's.

        The old secret ends at once. The time until the key expires begins anew, if it was to
        expire; one that was revoked is let in again.

        Returns:
            The key, shown this once.

        Raises:
            ConfigError: there is no such key.
        """
        secret, salt, hashed = _new_secret()
        now = time.time()
        with self._database.write() as session:
            key = _existing(session, key_id, "rotated")
            if key.expires_at is not None:
                key.expires_at = now + key.expires_at - key.created_at
            key.salt, key.hash, key.created_at, key.revoked_at = salt, hashed, now, None
            note(session, "command line", "key rotated", key_id)
        return f"{PREFIX}_{key_id}_{secret}"

    def find(self, presented: str) -> ApiKey | None:
        """The live key that `presented` is, compared in constant time; None if there is none."""
        key_id, secret = _parts(presented)
        if not secret:
            return None
        key = self._get(key_id)
        # An unknown id costs as much time as a wrong secret.
        salt, expected = (key.salt, key.hash) if key else ("0" * 32, "0" * 64)
        matches = hmac.compare_digest(_hash(_digest(secret), salt), expected)
        return key if matches and key is not None and _is_live(key, time.time()) else None

    def live_id(self, presented: str) -> str:
        """The id that `presented` names if it is a live key's, else ''; its secret may be wrong."""
        key = self._get(_parts(presented)[0])
        return key.id if key is not None and _is_live(key, time.time()) else ""

    def all(self) -> list[ApiKey]:
        """All keys, oldest first."""
        with self._database.read() as session:
            return list(session.scalars(select(ApiKey).order_by(ApiKey.created_at)))

    def any_live(self) -> bool:
        """True if at least one key would be let in now."""
        with self._database.read() as session:
            return _first_live(session, time.time()) is not None

    def revoke(self, key_id: str) -> None:
        """End a key at once.

        Raises:
            ConfigError: there is no such key.
        """
        with self._database.write() as session:
            key = _existing(session, key_id, "revoked")
            key.revoked_at = time.time()
            note(session, "command line", "key revoked", key_id)

    def _get(self, key_id: str) -> ApiKey | None:
        with self._database.read() as session:
            return session.get(ApiKey, key_id)


def _parts(presented: str) -> tuple[str, str]:
    """Id and secret; empty if it is none of our keys."""
    prefix, _, rest = presented.partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == PREFIX and len(presented) <= 128 else ("", "")


def _check(name: str, scopes: Sequence[str], days: float | None) -> None:
    if not 0 < len(name) <= 64:
        raise ConfigError("a key needs a name of 1 to 64 characters", value=name, subject="--name")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise ConfigError(
            f"scopes must be of {', '.join(SCOPES)}", value=unknown or "none", subject="--scope"
        )
    if days is not None and not 0 < days <= LONGEST_DAYS:
        rule = f"must be more than 0 and at most {LONGEST_DAYS}"
        raise ConfigError(rule, value=days, subject="--days")


def _new_secret() -> tuple[str, str, str]:
    """A secret, a salt, and the hash of both."""
    secret, salt = secrets.token_urlsafe(32), secrets.token_hex(16)
    return secret, salt, _hash(_digest(secret), salt)


def _existing(session: Session, key_id: str, done: str) -> ApiKey:
    key = session.get(ApiKey, key_id)
    if key is None:
        raise ConfigError(f"a key must exist to be {done}", value=key_id, subject="keys")
    return key


def state_of(key: ApiKey) -> Literal["live", "expired", "revoked"]:
    """Whether a key would be let in now, and why not."""
    if key.revoked_at is not None:
        return "revoked"
    return "live" if _is_live(key, time.time()) else "expired"


def _is_live(key: ApiKey, now: float) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def _first_live(session: Session, now: float) -> ApiKey | None:
    alive = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
    query = select(ApiKey).where(ApiKey.revoked_at.is_(None), alive)
    return session.scalars(query.limit(1)).first()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


@lru_cache(maxsize=1024)
def _hash(digest: bytes, salt: str) -> str:
    """scrypt of a secret's digest; remembered, for it is slow on purpose and pure."""
    return hashlib.scrypt(digest, salt=salt.encode(), **SCRYPT).hex()
