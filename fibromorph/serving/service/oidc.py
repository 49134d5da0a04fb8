"""Tokens of an OpenID provider, checked against its published keys."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import jwt

from fibromorph.errors import ConfigError
from fibromorph.serving.service.access import Caller, Tokens
from fibromorph.serving.service.ledger import SCOPES
from fibromorph.serving.service.settings import OidcSource

ALGORITHMS = ("RS256", "ES256", "PS256", "EdDSA")
REQUIRED = ("exp", "iss", "aud", "sub")
TIMEOUT_SECONDS = 10
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
        self._keys = jwt.PyJWKClient(_keys_url(source.issuer), timeout=TIMEOUT_SECONDS)

    def caller(self, token: str) -> Caller | None:
        """Who presents a token; None if it is not valid or grants nothing here."""
        try:
            claims = jwt.decode(
                token,
                self._keys.get_signing_key_from_jwt(token).key,
                algorithms=list(ALGORITHMS),
                audience=self._source.audience,
                issuer=self._source.issuer,
                options={"require": list(REQUIRED)},
            )
        except (jwt.PyJWTError, TypeError, ValueError):  # such as a key of another algorithm
            return None
        scopes = _scopes(claims.get(self._source.scopes_claim))
        return Caller(_owner(claims["sub"]), scopes) if scopes else None


def _owner(subject: str) -> str:
    """Of jobs. Nobody may be somebody else because a long name was cut."""
    owner = f"oidc:{subject}"
    if len(owner) <= LONGEST_OWNER:
        return owner
    return f"oidc:{hashlib.sha256(subject.encode()).hexdigest()}"


def _keys_url(issuer: str) -> str:
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        found: str = httpx.get(url, timeout=TIMEOUT_SECONDS).raise_for_status().json()["jwks_uri"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        rule = "an OpenID provider must publish its configuration"
        raise ConfigError(rule, value=error, subject=url) from error
    return found


def _scopes(claim: Any) -> frozenset[str]:
    """'fibromorph:read' or plain 'read', in a list or a text with spaces."""
    words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    plain = {str(word).removeprefix("fibromorph:") for word in words}
    return frozenset(plain & set(SCOPES))
