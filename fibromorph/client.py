"""A client of the service: what its REST interface offers, typed."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx

from fibromorph.errors import ConfigError, FibromorphError
from fibromorph.file_names import ATLAS, MAP_OF, SCAN, THICKNESS, TISSUE, VIEWS, atlas_ending
from fibromorph.files import write_whole
from fibromorph.text import without_credentials

State = Literal["queued", "running", "done", "failed", "cancelled"]
Result = Literal[
    "segmentation",
    "volumes",
    "thickness",
    "tissue/brain_mask",
    "tissue/brain",
    "tissue/grey",
    "tissue/white",
    "tissue/fluid",
    "maps/grey",
    "maps/white",
    "report",
    "provenance",
    "preview",
    "brain",
]
AtlasResult = Literal["labels", "names", "volumes", "thickness"]
StudyResult = Literal["report", "tables"]
ENDED = ("done", "failed", "cancelled")
TSV = "text/tab-separated-values"
TABLES = ("/volumes", "/thickness")
"""How paths end that are answered with JSON unless a table is asked for."""
ENDING: dict[str, str] = {
    "segmentation": SCAN["dseg"],
    "volumes": SCAN["volumes"],
    "thickness": THICKNESS["thickness"],
    **{f"tissue/{what}": ending for what, ending in TISSUE.items()},
    **{f"maps/{of}": ending for of, ending in MAP_OF.items()},
    "report": SCAN["report"],
    "provenance": SCAN["provenance"],
    **VIEWS,
}
"""Result -> the end of its file's name, after the scan's."""
JOBS, STUDIES = "/v1/jobs", "/v1/studies"
PAGE = 200
AWAY, BUSY = 0, (429, 502, 503, 504)
"""Statuses after which a job may still be well: no answer; slow down, starting or draining, or a
proxy before a service that is being restarted."""
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
READING = httpx.Timeout(300.0, connect=10.0)
"""For the answer to a scan, which is read first."""
PATIENCE_SECONDS = 300.0
AGAIN_SECONDS = 1.0
T = TypeVar("T")


class ServiceError(FibromorphError):
    """What the service refused, or why a job did not end well.

    `status` is HTTP's; 0 where the service could not be reached.
    """

    def __init__(self, status: int, rule: str, value: object = None, subject: str = "") -> None:
        super().__init__(rule, value=value, subject=subject)
        self.status = status


@dataclass(frozen=True)
class Job:
    """A job as the service last told; see its OpenAPI document."""

    id: str
    state: State
    percent: int
    stage: str | None = None
    label: str = ""
    queue_position: int | None = None
    model: dict[str, str] | None = None
    reason: str | None = None
    problem: dict[str, Any] | None = None
    quality: str | None = None
    seconds: dict[str, float] | None = None
    links: dict[str, str] | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


class Client:
    """A connection to a service.

    Args:
        url: of the service.
        key: of `fibromorph keys add`; `FIBROMORPH_KEY` if not given; none is needed on loopback.

    Raises:
        ConfigError: the URL is not one of HTTP, or the key cannot be one.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", key: str | None = None) -> None:
        _require_address(url)
        # As it is read from a file.
        key = (key or os.environ.get("FIBROMORPH_KEY") or "").strip()
        if not (key.isascii() and key.isprintable()):
            # Not its value: errors end up in logs.
            raise ConfigError("must be as `fibromorph keys add` gave it", subject="key")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def submit(
        self,
        scan: Path,
        *,
        label: str = "",
        model: str = "",
        priority: Literal["single", "cohort"] = "single",
        idempotency_key: str = "",
    ) -> Job:
        """Send a scan: NIfTI, MGZ or a zip of a DICOM series.

        Args:
            scan: the file; its name is not sent.
            label: what to call it, a participant's id.
            model: name of a model; the service's default if empty.
            priority: 'cohort' lets single scans of others go first.
            idempotency_key: the same key sends the same scan once, however often this is called.

        Raises:
            ServiceError: the service refused it.
        """
        headers = {"Content-Type": "application/octet-stream"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        query = {"label": label, "model": model, "priority": priority}
        with scan.open("rb") as file, _reached():
            answer = self._http.post(
                "/v1/scans", params=query, headers=headers, content=file, timeout=READING
            )
        return _job(_checked(answer).json())

    def submit_study(
        self, participants: str, design: str = "", *, jobs: Sequence[str] = (), label: str = ""
    ) -> Job:
        """Run the group statistics on finished scans.

        Args:
            participants: text of a participants.tsv, whose ids are the scans' labels.
            design: YAML as for `fibromorph stats`; guessed if empty.
            jobs: ids of the scans; if empty, all your finished ones of people in the table.
            label: what to call the study.

        Raises:
            ServiceError: the service refused it.
        """
        study = {
            "participants": participants,
            "design": design,
            "jobs": list(jobs),
            "label": label,
        }
        with _reached():
            return _job(_checked(self._http.post(STUDIES, json=study)).json())

    def job(self, job_id: str) -> Job:
        """A job, now.

        Raises:
            ServiceError: 404, there is no such job.
        """
        return _job(self._get(_path_of(job_id)).json())

    def jobs(self, states: Sequence[State] = (), limit: int = 50, *, label: str = "") -> list[Job]:
        """Your scans' jobs, newest first, at most `limit`; with `label`, those called so."""
        query = {"label": label} if label else {}
        return self._listed(JOBS, limit, {"state": list(states), **query})

    def studies(self, limit: int = 50) -> list[Job]:
        """Your studies' jobs, newest first, at most `limit`."""
        return self._listed(STUDIES, limit, {})

    def _listed(self, path: str, limit: int, query: Mapping[str, Any]) -> list[Job]:
        found: list[Job] = []
        page: dict[str, Any] = {}
        while len(found) < limit and page.get("before", 0) is not None:
            more = {"limit": min(limit - len(found), PAGE), **query}
            more |= {"before": page["before"]} if page else {}
            page = self._get(path, params=more).json()
            found += [_job(entry) for entry in page["jobs"]]
        return found

    def watch(self, job_id: str, patience: float = PATIENCE_SECONDS) -> Iterator[Job]:
        """A job at every change, until it has ended; the service may be restarted meanwhile.

        Raises:
            ServiceError: there is no such job, or the service is away for `patience` seconds.
        """
        last: Job | None = None
        away: float | None = None
        while last is None or not last.has_ended:
            try:
                for job in self._events(job_id):
                    away = None
                    if job != last:
                        yield job
                    last = job
            except ServiceError as error:
                away = away or time.monotonic()
                if not _may_pass(error, away + patience):
                    raise
            if last is None or not last.has_ended:
                time.sleep(AGAIN_SECONDS)

    def _events(self, job_id: str) -> Iterator[Job]:
        """What one connection tells; a service that is being stopped ends it early."""
        # The service gives a sign of life every few seconds.
        with _reached(), self._http.stream("GET", f"{_path_of(job_id)}/events") as stream:
            if stream.is_error:
                stream.read()
            for line in _checked(stream).iter_lines():
                if line.startswith("data:"):
                    yield _job(json.loads(line.removeprefix("data:")))

    def wait(self, job_id: str, seconds: float = 3600.0, every: float = 0.5) -> Job:
        """The job once it has ended; the service may be restarted meanwhile.

        Raises:
            ServiceError: it failed, was cancelled, or has not ended within `seconds`.
        """
        until = time.monotonic() + seconds
        while (job := self._job_or_none(job_id, until)) is None or not job.has_ended:
            if time.monotonic() > until:
                state = job.state if job else "unknown"
                raise ServiceError(504, f"a job must end within {seconds:g} s", state, job_id)
            time.sleep(every)
        if job.state != "done":
            problem = job.problem or {}
            rule = problem.get("rule", "a job must not be cancelled to have results")
            raise ServiceError(problem.get("status", 409), rule, problem.get("value"), job_id)
        return job

    def _job_or_none(self, job_id: str, until: float) -> Job | None:
        """None while the service is away, or too busy to say."""
        try:
            return self.job(job_id)
        except ServiceError as error:
            if not _may_pass(error, until):
                raise
            return None

    def volumes(self, job_id: str) -> list[dict[str, Any]]:
        """The regions of a finished job: name, volume_ml, soft_volume_ml, sd_ml, ..."""
        return self._regions(f"{_path_of(job_id)}/volumes")

    def atlases(self, job_id: str) -> list[dict[str, Any]]:
        """The atlases that a finished job's scan was divided by: name, sha256, links.

        Raises:
            ServiceError: 404, the service does not measure any.
        """
        atlases: list[dict[str, Any]] = self._get(f"{_path_of(job_id)}/atlases").json()["atlases"]
        return atlases

    def atlas_volumes(self, job_id: str, atlas: str) -> list[dict[str, Any]]:
        """The regions of an atlas in a finished job's scan, as `volumes` has those of the model."""
        return self._regions(_path_in_atlas(job_id, atlas, "volumes"))

    def _regions(self, path: str) -> list[dict[str, Any]]:
        answer = self._get(path, headers={"Accept": "application/json"})
        regions: list[dict[str, Any]] = answer.json()["regions"]
        return regions

    def download(self, job_id: str, result: Result, path: Path) -> Path:
        """Write a file of a finished job to `path`, which appears when it is complete."""
        return self._download(f"{_path_of(job_id)}/{result}", path)

    def download_atlas(self, job_id: str, atlas: str, result: AtlasResult, path: Path) -> Path:
        """Write a file of an atlas's regions in a finished job's scan to `path`."""
        return self._download(_path_in_atlas(job_id, atlas, result), path)

    def _download(self, source: str, path: Path) -> Path:
        """Write what is served at `source`; a table as such."""
        headers = {"Accept": TSV} if source.endswith(TABLES) else {}
        write_whole(path, self._get(source, headers=headers).content)
        return path

    def download_study(self, job_id: str, result: StudyResult, path: Path) -> Path:
        """Write the report of a finished study (HTML), or all its tables (zip), to `path`."""
        return self._download(f"{_path_of(job_id, STUDIES)}/{result}", path)

    def segment(self, scan: Path, out: Path, *, label: str = "") -> dict[str, Path]:
        """Send a scan, wait, and write its files to `out`, named by the label.

        The service may be restarted meanwhile. Labels of an earlier call that somebody has
        corrected since are set aside, and files of it that this one does not write are removed;
        nothing in `out` changes before everything is there.

        Returns:
            What each file is -> where it lies: a `Result`, or `atlases/NAME/` and an `AtlasResult`.

        Raises:
            ServiceError: see `submit` and `wait`.
            ConfigError: a scanner's JSON of that name, or another scan's results lie in `out`.
        """
        # Here, because all else of a client needs only httpx.
        from fibromorph.scans.read import scan_stem
        from fibromorph.serving.outputs.placing import (
            own,
            require_own,
            require_same_input,
            set_in_place,
        )

        stem = label or scan_stem(scan)
        require_own(out, stem)
        once = uuid.uuid4().hex
        sent = _patiently(lambda: self.submit(scan, label=label, idempotency_key=once))
        job = self.wait(sent.id)
        out.mkdir(parents=True, exist_ok=True)
        final = {
            result: out / f"{stem}{ending}"
            for result in job.links or {}
            if (ending := _ending_of(result))
        }
        with TemporaryDirectory(dir=out, prefix=f".{stem[:64]}.") as folder:
            files = {result: Path(folder) / path.name for result, path in final.items()}
            for result, path in files.items():
                _patiently(partial(self._download, f"{_path_of(job.id)}/{result}", path))
            require_same_input(files["provenance"], final["provenance"])
            own(files["provenance"], list(files.values()))
            set_in_place(files, final)
        return final

    def cancel(self, job_id: str) -> None:
        """Cancel a job.

        Raises:
            ServiceError: 409, it has ended; its results are left as they are.
        """
        with _reached():
            _checked(self._http.delete(_path_of(job_id), params={"only": "cancel"}))

    def end(self, job_id: str) -> None:
        """Cancel a job that has not ended; purge one that has."""
        with _reached():
            _checked(self._http.delete(_path_of(job_id)))

    def _get(self, path: str, **options: Any) -> httpx.Response:
        with _reached():
            return _checked(self._http.get(path, **options))


def _require_address(url: str) -> None:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        rule = "must begin with http:// or https:// and name a host"
        raise ConfigError(rule, value=without_credentials(url), subject="url")


def _path_of(job_id: str, kind: str = JOBS) -> str:
    """Where a job is served; what is no id leads to no other resource of the service."""
    return f"{kind}/{quote(job_id, safe='')}"


def _path_in_atlas(job_id: str, atlas: str, result: AtlasResult) -> str:
    return f"{_path_of(job_id)}/atlases/{quote(atlas, safe='')}/{result}"


def _ending_of(result: str) -> str | None:
    """What a result's file is called after the scan's name; None = it is not saved.

    Args:
        result: name of a job's link.
    """
    start, _, rest = result.partition("/")
    if start != "atlases":
        return ENDING.get(result)
    atlas, _, part = rest.partition("/")
    return atlas_ending(atlas, part) if part in ATLAS else None


def _may_pass(error: ServiceError, until: float) -> bool:
    """Whether the service is only away or busy, and there is time left to wait for it."""
    return error.status in (AWAY, *BUSY) and time.monotonic() <= until


def _patiently(call: Callable[[], T]) -> T:
    """What `call` returns, tried again for a while as long as the service is away or busy."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call()
        except ServiceError as error:
            if not _may_pass(error, until):
                raise
        time.sleep(AGAIN_SECONDS)


@contextmanager
def _reached() -> Iterator[None]:
    """A service that cannot be reached is an error like any other of it."""
    try:
        yield
    except httpx.TransportError as error:
        rule = "the service must be reachable"
        raise ServiceError(AWAY, rule, error or type(error).__name__, "service") from error


def _checked(answer: httpx.Response) -> httpx.Response:
    if not answer.is_error:
        return answer
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    rule = problem.get("rule", answer.reason_phrase)
    raise ServiceError(answer.status_code, rule, problem.get("value"), problem.get("subject", ""))


def _job(entry: dict[str, Any]) -> Job:
    known = {field.name for field in fields(Job)}
    return Job(**{name: value for name, value in entry.items() if name in known})
