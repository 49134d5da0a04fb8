"""Who asks, and what they may: keys, OIDC tokens, or anybody on loopback."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from fibromorph.errors import ConfigError
from fibromorph.serving.service.ledger import SCOPES, Keys, Scope
from fibromorph.serving.service.problems import Refusal
from fibromorph.serving.service.settings import Settings

LOCAL = "local"
WRONG_KEYS_PER_MINUTE = 10
MOST_REMEMBERED = 10_000


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        owner: whose the jobs are: id of a key, 'oidc:<subject>', or 'local'.
        scopes: what they may do.
    """

    owner: str
    scopes: frozenset[str]

    @property
    def sees(self) -> str | None:
        """The owner whose jobs are visible; None = everybody's."""
        return None if "admin" in self.scopes else self.owner


class Tokens(Protocol):
    """Checks bearer tokens that are no keys of ours."""

    def names_known_key(self, token: str) -> bool:
        """Whether `token` names a key that is at hand: nothing has to be fetched to check it."""

    def caller(self, token: str) -> Caller | None:
        """Who presents `token`, with the scopes that it grants here; None if it is not valid."""


class Access:
    """The door.

    Args:
        settings: address, `require_keys`, rates.
        keys: the ledger's.
        tokens: OIDC, if configured.

    Raises:
        ConfigError: others than this machine could come in without a key.
    """

    def __init__(self, settings: Settings, keys: Keys, tokens: Tokens | None = None) -> None:
        self._keys = keys
        self._tokens = tokens
        self.open = settings.on_loopback and not settings.require_keys and tokens is None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        # Each with a name: limits of the same number would count together.
        self._requests = RateLimitItemPerMinute(settings.requests_per_minute, namespace="requests")
        self._uploads = RateLimitItemPerMinute(settings.uploads_per_minute, namespace="uploads")
        self._wrong = RateLimitItemPerMinute(WRONG_KEYS_PER_MINUTE, namespace="wrong")
        self._repeat = RateLimitItemPerMinute(1, namespace="repeat")
        self._let_in: set[bytes] = set()
        if not self.open and tokens is None and not keys.any_live():
            rule = (
                "a service that asks for keys, or is reached from other machines, needs a key "
                "first: fibromorph keys add --name NAME, with its --config or --data-dir"
            )
            raise ConfigError(rule, value=settings.host, subject="host")

    def caller(self, token: str | None, address: str) -> Caller:
        """Who asks.

        Raises:
            Refusal: 401, no key or a wrong one; 429, too many requests or wrong keys.
        """
        if token is None and self.open:
            caller = Caller(LOCAL, frozenset(SCOPES))
        elif token is None:
            raise Refusal(401, "a key must be sent: Authorization: Bearer KEY")
        else:
            caller = self._known(token, address)
        self._count(self._requests, caller.owner)
        return caller

    def lets_in(self, token: str | None) -> bool:
        """Whether who was let in with `token` still would be: it may have expired meanwhile."""
        return self.open if token is None else self._caller_of(token) is not None

    def count_upload(self, caller: Caller) -> None:
        """Refuse an upload that comes too soon.

        Raises:
            Refusal: 429.
        """
        self._count(self._uploads, caller.owner)

    def _known(self, token: str, address: str) -> Caller:
        """Who presents `token`.

        Wrong ones are limited for what they cost to check, not because one could be guessed: a
        secret has 256 random bits. They count against the key whose id they name; only those that
        name none count against the address, which behind a proxy is everybody's. Tokens that name
        a key of their provider cost next to nothing. So nobody's mistakes keep out another key or
        token that is good. That answers tell which ids there are does no harm: logs show them, too.
        """
        digest = hashlib.sha256(token.encode()).digest()
        guessed = self._keys.live_id(token) or address
        quick = digest in self._let_in or (self._tokens and self._tokens.names_known_key(token))
        if not (quick or self._limiter.test(self._wrong, guessed)):
            raise self._too_many(self._wrong, guessed, "wrong keys")
        caller = self._caller_of(token)
        if caller is None:
            self._let_in.discard(digest)
            # A client that repeats one wrong key all day guesses nothing.
            if self._limiter.hit(self._repeat, digest.hex()):
                self._limiter.hit(self._wrong, guessed)
            raise Refusal(401, "a key must be known, not expired and not revoked")
        if len(self._let_in) >= MOST_REMEMBERED:  # tokens of a provider are new every hour
            self._let_in.clear()
        self._let_in.add(digest)
        return caller

    def _caller_of(self, token: str) -> Caller | None:
        key = self._keys.find(token)
        if key is not None:
            return Caller(key.id, frozenset(key.scopes))
        return self._tokens.caller(token) if self._tokens else None

    def _count(self, limit: RateLimitItem, owner: str) -> None:
        if not self._limiter.hit(limit, owner):
            raise self._too_many(limit, owner)

    def _too_many(self, limit: RateLimitItem, who: str, subject: str = "requests") -> Refusal:
        rule = f"at most {limit.amount} a minute: slow down"
        seconds = self._limiter.get_window_stats(limit, who).reset_time - time.time()
        return Refusal(429, rule, subject=subject, retry_after=max(1, math.ceil(seconds)))


_bearer = HTTPBearer(auto_error=False, description="A key of `fibromorph keys add`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


def _caller_with(scope: Scope) -> object:
    def caller(request: Request, credentials: Credentials) -> Caller:
        access: Access = request.app.state.service.access
        address = request.client.host if request.client else ""
        found = access.caller(credentials.credentials if credentials else None, address)
        request.state.owner = found.owner  # for the log, where the request is refused
        if not found.scopes & {scope, "admin"}:
            rule = f"the key must have the scope '{scope}'"
            raise Refusal(403, rule, value=" ".join(sorted(found.scopes)))
        return found

    return Depends(caller)


Reader = Annotated[Caller, _caller_with("read")]
Submitter = Annotated[Caller, _caller_with("submit")]
Admin = Annotated[Caller, _caller_with("admin")]
