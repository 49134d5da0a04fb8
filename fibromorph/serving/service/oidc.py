"""Tokens of an OpenID provider, checked against its published keys."""

from __future__ import annotations

import hashlib
import math
import time
from typing import Any

import httpx
import jwt

from fibromorph.errors import ConfigError
from fibromorph.serving.service.access import Caller, Tokens
from fibromorph.serving.service.ledger import SCOPES
from fibromorph.serving.service.logs import log
from fibromorph.serving.service.settings import OidcSource

ALGORITHMS = ("RS256", "ES256", "PS256", "EdDSA")
REQUIRED = ("exp", "iss", "aud", "sub")
TIMEOUT_SECONDS = 5
KEPT_SECONDS, AWAY_SECONDS = 3600, 30
"""How long keys are good whose provider is away, and when it is asked again."""
APART_SECONDS = 60
"""By so much the clocks of provider and service may differ."""
LONGEST_OWNER = 128


def tokens_of(source: OidcSource | None) -> Tokens | None:
    """The checker of a provider, if one is configured.

    Raises:
        ConfigError: the provider does not answer with its discovery document.
    """
    return None if source is None else OidcTokens(source)


class OidcTokens:
    """Bearer tokens of one issuer, meant for one audience.

    Args:
        source: issuer, audience and the claim that lists the scopes.
    """

    def __init__(self, source: OidcSource) -> None:
        self._source = source
        url = _keys_url(source.issuer)
        self._keys = _KeptKeys(url)
        try:
            self._keys.get_signing_keys()
        except jwt.PyJWTError as error:
            rule = "an OpenID provider must publish its keys"
            raise ConfigError(rule, value=error, subject=url) from error

    def names_known_key(self, token: str) -> bool:
        """Whether a token names a key of the provider's, so that it is quickly checked."""
        try:
            return jwt.get_unverified_header(token).get("kid") in self._keys.ids
        except (jwt.PyJWTError, TypeError):
            return False

    def caller(self, token: str) -> Caller | None:
        """Who presents a token, with the scopes that it grants; None if it is not valid."""
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key.key,
                algorithms=list(ALGORITHMS),
                audience=self._source.audience,
                issuer=self._source.issuer,
                leeway=APART_SECONDS,
                options={"require": list(REQUIRED)},
            )
        # The latter two of a key of another algorithm.
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            log.info("token refused", why=type(error).__name__)
            return None
        return Caller(_owner(claims["sub"]), _scopes(claims.get(self._source.scopes_claim)))


class _KeptKeys(jwt.PyJWKClient):
    """A provider's keys, which outlast its absence for a while.

    Whoever comes waits for a fetch. One that fails is not tried again at once: a provider that
    hangs would otherwise keep every thread of the service waiting.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout=TIMEOUT_SECONDS)
        self._kept: jwt.PyJWKSet | None = None
        self._fetched_at = self._again_at = -math.inf

    @property
    def ids(self) -> set[str | None]:
        """Of the keys that it has."""
        return {key.key_id for key in self._kept.keys} if self._kept else set()

    def get_jwk_set(self, refresh: bool = False) -> jwt.PyJWKSet:
        """The provider's keys; while it is away, those that it had."""
        try:
            self._kept = super().get_jwk_set(refresh)
        except jwt.PyJWTError:
            if self._kept is None or time.monotonic() - self._fetched_at > KEPT_SECONDS:
                raise
        return self._kept

    def fetch_data(self) -> Any:
        """What the provider publishes now."""
        if time.monotonic() < self._again_at:
            raise jwt.PyJWKClientConnectionError("the provider was away a moment ago")
        try:
            found = super().fetch_data()
        except (jwt.PyJWTError, OSError, ValueError) as error:  # away, or no keys in what it says
            self._again_at = time.monotonic() + AWAY_SECONDS
            log.warning("the OpenID provider's keys could not be had", error=str(error))
            raise jwt.PyJWKClientConnectionError(str(error)) from error
        self._fetched_at = time.monotonic()
        return found


def _owner(subject: str) -> str:
    """Of jobs. Nobody may be somebody else because a long name was cut."""
    owner = f"oidc:{subject}"
    if len(owner) <= LONGEST_OWNER:
        return owner
    return f"oidc:{hashlib.sha256(subject.encode()).hexdigest()}"


def _keys_url(issuer: str) -> str:
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        told = httpx.get(url, timeout=TIMEOUT_SECONDS).raise_for_status().json()
        keys, name = str(told["jwks_uri"]), str(told["issuer"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        rule = "an OpenID provider must publish its configuration"
        raise ConfigError(rule, value=error, subject=url) from error
    if name != issuer:
        # Its tokens would name another issuer, and all be refused.
        rule = f"must be spelled as the provider does, {name}"
        raise ConfigError(rule, value=issuer, subject="oidc.issuer")
    return keys


def _scopes(claim: Any) -> frozenset[str]:
    """'fibromorph:read' or plain 'read', in a list or a text with spaces."""
    words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    plain = {str(word).removeprefix("fibromorph:") for word in words}
    return frozenset(plain & set(SCOPES))
