"""A service that is played for the page: it answers what a real one answers seldom or late."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route

from fibromorph.serving.service.routes.page import PAGE

ORIGIN = "http://fibromorph.test"
BROKEN = 0
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}


RESULTS = ("volumes", "segmentation", "report", "provenance", "preview")


def job(number: int, state: str = "done", **facts: Any) -> dict[str, Any]:
    """A scan, as the service describes it; the higher its number, the newer."""
    created = f"2026-03-01T{number // 60:02}:{number % 60:02}:00Z"
    model = {"name": "tiny", "version": "1", "sha256": ""}
    known = {"id": f"{number:032x}", "kind": "scan", "state": state, "stage": None, "percent": 0}
    about = {"label": "", "queue_position": 0, "model": model, "created_at": created, "seconds": {}}
    about |= {"quality_reasons": []}
    links = {name: f"/v1/jobs/{known['id']}/{name}" for name in RESULTS}
    return known | about | {"links": links} | facts


class Played:
    """Answers all that a page asks for.

    Args:
        page: whose requests are caught.
        prefix: path under which a proxy would offer the service.

    Attributes:
        jobs: what there is, by id; tests change it under the page's feet.
        answers: status by method and path, in place of the true one; `BROKEN` = no answer at all.
        asked: method and path of each request, with its query and its key.
    """

    def __init__(self, page: Page, prefix: str = "") -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.models = [{"name": "tiny", "version": "1", "is_default": True}]
        self.regions: list[dict[str, Any]] = []
        self.answers: dict[str, int] = {}
        self.asked: list[str] = []
        self.url = f"{ORIGIN}{prefix}/"
        self._prefix = prefix
        page.route("**/*", self._on_request)

    def add(self, *jobs: dict[str, Any]) -> None:
        self.jobs |= {each["id"]: each for each in jobs}

    def count(self, request: str) -> int:
        """How often something that starts so was asked for."""
        return sum(each.startswith(request) for each in self.asked)

    def _on_request(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        path = url.path.removeprefix(self._prefix)
        if not url.path.startswith(f"{self._prefix}/"):
            route.fulfill(status=404)
        elif path.startswith("/v1/"):
            self._count_and_answer(route, path, url.query)
        else:
            file = PAGE / (path.removeprefix("/page/") if path != "/" else "index.html")
            known = file.is_file()
            body = file.read_bytes() if known else b""
            kind = TYPES.get(file.suffix)
            route.fulfill(status=200 if known else 404, body=body, content_type=kind)

    def _count_and_answer(self, route: Route, path: str, query: str) -> None:
        request = f"{route.request.method} {path}"
        self.asked.append(f"{request}?{query}" if query else request)
        status = self.answers.get(request, 200)
        if status == BROKEN:
            route.abort()
        elif status != 200:
            route.fulfill(status=status, json={"detail": f"played: {status}"})
        else:
            route.fulfill(**self._answer(route.request.method, path, parse_qs(query)))

    def _answer(self, method: str, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        name, *rest = path.removeprefix("/v1/").split("/")
        if name == "scans":
            self.add(job(len(self.jobs) + 1, label=query.get("label", [""])[0]))
            return {"status": 202, "json": [*self.jobs.values()][-1]}
        if not rest:
            lists = {"models": {"models": self.models}}
            return {"json": lists.get(name) or self._list(name == "studies", query)}
        found = self.jobs.get(rest[0])
        if found is None:
            return {"status": 404, "json": {"detail": "there must be such a job"}}
        if method == "DELETE":
            return self._end(found, only=query.get("only"))
        # Events end at once, whether the job is over or not: as those of a service that restarts.
        event = f"event: job\ndata: {json.dumps(found)}\n\n"
        answers: dict[str, dict[str, Any]] = {
            "": {"json": found},
            "events": {"body": event, "content_type": "text/event-stream"},
            "volumes": {"json": {"regions": self.regions}},
        }
        return answers.get("".join(rest[1:]), {"body": ""})

    def _list(self, studies: bool, query: dict[str, list[str]]) -> dict[str, Any]:
        label, limit = query.get("label"), int(query.get("limit", ["50"])[0])
        until = float(query.get("before", ["inf"])[0])
        jobs = [
            each
            for each in sorted(self.jobs.values(), key=_number, reverse=True)
            if (each["kind"] == "study") == studies
            and (label is None or each["label"] == label[0])
            and _number(each) < until
        ]
        before = _number(jobs[limit - 1]) if len(jobs) >= limit else None
        return {"jobs": jobs[:limit], "before": before}

    def _end(self, found: dict[str, Any], only: list[str] | None) -> dict[str, Any]:
        if found["state"] in ("queued", "running"):
            found["state"] = "cancelled"
            return {"status": 202, "json": found}
        if only == ["cancel"]:
            return {"status": 409, "json": {"detail": "it has ended"}}
        del self.jobs[found["id"]]
        return {"status": 204}


def _number(job: dict[str, Any]) -> int:
    return int(job["id"], 16)
