"""Tokens of an OpenID provider, which here is a small server on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fibromorph.errors import ConfigError
from fibromorph.serving.service.oidc import OidcTokens, tokens_of
from fibromorph.serving.service.settings import OidcSource

AUDIENCE = "fibromorph"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@contextmanager
def provider() -> Iterator[tuple[str, list[str]]]:
    """Its address, and what it was asked for."""
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
    keys = {"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]}
    asked: list[str] = []

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            url = f"http://{self.headers['Host']}"
            found: dict[str, Any] = {"issuer": url, "jwks_uri": f"{url}/keys"}
            content = keys if self.path == "/keys" else found
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Provider) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with provider() as (url, _):
        yield url


def token(issuer: str, key: Any = KEY, **changes: object) -> str:
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": time.time() + 60,
        "scope": "openid fibromorph:read submit",
        **changes,
    }
    return jwt.encode(claims, key, "RS256", headers={"kid": "one"})


def test_a_token_says_who_comes_and_what_they_may(issuer: str) -> None:
    tokens = OidcTokens(OidcSource(issuer=issuer, audience=AUDIENCE))
    caller = tokens.caller(token(issuer))
    assert caller is not None
    assert caller.owner == "oidc:ada"
    assert caller.scopes == {"read", "submit"}


def test_long_names_are_not_mistaken_for_each_other(issuer: str) -> None:
    tokens = OidcTokens(OidcSource(issuer=issuer, audience=AUDIENCE))
    callers = [tokens.caller(token(issuer, sub="x" * 200 + end)) for end in "ab"]
    owners = {caller.owner for caller in callers if caller is not None}
    assert len(owners) == 2
    assert max(map(len, owners)) <= 128


def test_other_tokens_are_not_let_in(issuer: str) -> None:
    tokens = OidcTokens(OidcSource(issuer=issuer, audience=AUDIENCE))
    wrong = [
        token(issuer, STRANGER),
        token(issuer, aud="something else"),
        token(issuer, iss="https://evil.example"),
        token(issuer, exp=time.time() - 90),
        jwt.encode({"sub": "ada"}, "", "none"),
        # Names a key of another kind than its algorithm's.
        jwt.encode({"sub": "ada"}, CURVE, "ES256", headers={"kid": "one"}),
        "no token",
    ]
    assert [tokens.caller(each) for each in wrong] == [None] * len(wrong)


def test_clocks_may_differ_a_little(issuer: str) -> None:
    tokens = OidcTokens(OidcSource(issuer=issuer, audience=AUDIENCE))
    now = time.time()
    for claims in ({"iat": now + 20, "nbf": now + 20}, {"exp": now - 20}):
        assert tokens.caller(token(issuer, **claims)) is not None


def test_a_token_without_a_scope_of_ours_is_valid_but_may_nothing(issuer: str) -> None:
    tokens = OidcTokens(OidcSource(issuer=issuer, audience=AUDIENCE))
    caller = tokens.caller(token(issuer, scope="openid"))
    assert caller is not None
    assert caller.scopes == frozenset()


def test_what_names_a_key_of_the_provider_is_known_unseen(issuer: str) -> None:
    tokens = OidcTokens(OidcSource(issuer=issuer, audience=AUDIENCE))
    assert tokens.names_known_key(token(issuer))
    other = jwt.encode({"sub": "ada"}, KEY, "RS256", headers={"kid": "two"})
    assert not any(map(tokens.names_known_key, (other, "fm_key", "no token", "")))


def test_an_issuer_that_calls_itself_otherwise_is_named_at_the_start(issuer: str) -> None:
    with pytest.raises(ConfigError, match="spelled as the provider does, http://127"):
        tokens_of(OidcSource(issuer=f"{issuer}/", audience=AUDIENCE))


def test_keys_outlast_a_provider_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with provider() as (url, asked):
        tokens = OidcTokens(OidcSource(issuer=url, audience=AUDIENCE))
        hers = token(url)
        assert tokens.caller(hers) is not None
        assert asked.count("/keys") == 1
    clock = time.monotonic
    for later, good in ((600, True), (1200, True), (7200, False)):
        monkeypatch.setattr(time, "monotonic", lambda later=later: clock() + later)
        assert (tokens.caller(hers) is not None) is good


def test_keys_outlast_a_provider_that_talks_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    with provider() as (url, _):
        tokens = OidcTokens(OidcSource(issuer=url, audience=AUDIENCE))
    told = [b"<html>", b"{}", b'{"keys": []}']
    asked = iter(told)
    answer = "urllib.request.OpenerDirector.open"
    monkeypatch.setattr(answer, lambda *_, **__: BytesIO(next(asked)))
    clock = time.monotonic
    for n in range(1, len(told) + 1):
        monkeypatch.setattr(time, "monotonic", lambda n=n: clock() + 600 * n)
        assert tokens.caller(token(url)) is not None
    assert next(asked, None) is None


def test_a_provider_that_hangs_is_not_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with provider() as (url, _):
        tokens = OidcTokens(OidcSource(issuer=url, audience=AUDIENCE))
    asked: list[object] = []

    def hang(*request: object, **_: object) -> None:
        asked.append(request)
        raise TimeoutError

    monkeypatch.setattr("urllib.request.OpenerDirector.open", hang)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 600)
    for n in range(5):
        stranger = jwt.encode({"sub": "ada"}, STRANGER, "RS256", headers={"kid": f"{n}"})
        assert tokens.caller(stranger) is None
    assert tokens.caller(token(url)) is not None
    assert len(asked) == 1


def test_a_provider_that_is_away_is_named() -> None:
    with pytest.raises(ConfigError, match="OpenID provider must publish"):
        tokens_of(OidcSource(issuer="http://127.0.0.1:9", audience=AUDIENCE))
