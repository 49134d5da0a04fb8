"""What holds for every request: under what name it comes, from which page, who may embed us."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fibromorph.serving.service.handlers import refuse
from fibromorph.serving.service.problems import plain_problem
from fibromorph.serving.service.settings import Settings

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SameOrigin:
    """Refuses requests under a foreign name, and those that another site's page makes.

    Without it, any web page could reach a service on loopback through its visitor's browser: by a
    form, or by a name of its own that resolves to 127.0.0.1.

    Args:
        app: what to guard.
        settings: the names under which the service is reached.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        names = (settings.host, *settings.allowed_hosts, *LOOPBACK_NAMES)
        self._names = {name.lower() for name in names}
        # With keys, a foreign name gains nothing; without `allowed_hosts` every name will do.
        self._any = settings.host in EVERYWHERE and not settings.allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._any and _name(host) not in self._names:
            problem = plain_problem(421, "the service must be called by its own name", "Host")
            return await refuse(Request(scope), problem)(scope, receive, send)
        if origin is not None and _host_of(origin) != host:
            problem = plain_problem(403, "requests of other sites' pages are refused", "Origin")
            return await refuse(Request(scope), problem)(scope, receive, send)
        return await self._app(scope, receive, _with_headers(send))


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped
