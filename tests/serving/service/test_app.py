"""What the service answers where no worker is needed: one that was put together, not started."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine
from sqlalchemy.exc import InternalError
from structlog.testing import capture_logs

from fibromorph.serving.service import supervisor
from fibromorph.serving.service.app import create_app
from fibromorph.serving.service.cluster import Cluster
from fibromorph.serving.service.core import Service
from fibromorph.serving.service.ledger import Ending, Job, Request, new_id
from fibromorph.serving.service.problems import plain_problem
from fibromorph.serving.service.settings import load_settings
from fibromorph.serving.service.store import Store
from fibromorph.serving.service.work import Outcome

URL = "http://127.0.0.1:8000"
FULL_DISK_MB = 10**9


@pytest.fixture
def service(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    """Settings are the fixture's parameter."""
    given = {"keep_free_mb": 0, **getattr(request, "param", {})}
    service = Service(load_settings(None, data_dir=tmp_path / "data", **given))
    service.status = "ok"
    yield service
    service.database.close()
    service.store.close()


@pytest.fixture
def http(service: Service) -> TestClient:
    return TestClient(create_app(service), base_url=URL)


def send(service: Service, content: str, label: str = "") -> Job:
    return service.jobs.accept(new_id(), Request("scan", "local", content, label))[0]


@pytest.mark.parametrize("service", [{"keep_free_mb": FULL_DISK_MB}], indirect=True)
def test_a_service_whose_disk_is_full_is_alive_and_not_ready(http: TestClient) -> None:
    assert http.get("/health/live").status_code == 200
    answer = http.get("/health/ready")
    assert answer.status_code == 503
    assert "disk must have room" in answer.json()["rule"]
    assert "MiB free" in answer.json()["value"]
    assert int(answer.headers["retry-after"]) > 0


def test_a_service_with_room_is_ready(http: TestClient) -> None:
    assert http.get("/health/ready").status_code == 200
    assert "fibromorph_disk_free_bytes" in http.get("/metrics").text


def read_only(*_: object, **__: object) -> None:
    """A replica that has not been told to take changes yet."""
    raise InternalError("UPDATE jobs", None, Exception("cannot execute UPDATE: read-only"))


def test_a_database_that_is_away_is_no_failure_of_the_service(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "connect", read_only)
    for path in ("/health/ready", "/v1/jobs"):
        answer = http.get(path)
        assert answer.status_code == 503
        assert answer.json()["rule"] == "the service's database must answer: try again"
        assert int(answer.headers["retry-after"]) > 0
    assert http.get("/health/live").status_code == 200


def test_a_job_outlives_a_ledger_that_is_away_for_a_moment(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = send(service, "head")
    asked: list[str] = []

    def away_at_first(name: str, times: int) -> None:
        call = getattr(service.jobs, name)

        def attempt(*arguments: object) -> object:
            asked.append(name)
            if asked.count(name) <= times:
                read_only()
            return call(*arguments)

        monkeypatch.setattr(service.jobs, name, attempt)

    async def worker(*_: object, **__: object) -> Outcome:
        return Outcome(reason="unreadable", problem=plain_problem(415, "a scan must be readable"))

    async def until_it_ends() -> Job:
        running = asyncio.create_task(service.supervisor.run())
        while (now := service.jobs.get(job.id, None)) is None or not now.has_ended:
            await asyncio.sleep(0.02)
        running.cancel()
        return now

    away_at_first("twin", 1)
    away_at_first("finish", 2)
    monkeypatch.setattr(supervisor, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(Cluster, "places", 1)
    monkeypatch.setattr(service.cluster, "submit", worker)
    ended = asyncio.run(asyncio.wait_for(until_it_ends(), 60))
    assert (ended.state, ended.reason) == ("failed", "unreadable")
    assert asked == ["twin", "twin", "finish", "finish", "finish"]


def test_refusals_leave_a_trace_without_names_of_files(http: TestClient) -> None:
    with capture_logs() as lines:
        http.get("/v1/jobs/DOE_JANE")
        http.get("/DOE_JANE.nii.gz")
        http.get("/v1/jobs", headers={"Host": "evil.example"})
    refused = [(line["event"], line["status"], line["route"]) for line in lines]
    assert refused == [
        ("refused", 422, "/v1/jobs/{job_id}"),
        ("refused", 404, ""),
        ("refused", 421, ""),
    ]
    assert lines[0]["owner"] == "local"
    assert "DOE_JANE" not in str(lines)
    metrics = http.get("/metrics").text
    for status in (404, 421, 422):
        assert f'fibromorph_refusals_total{{status="{status}"}} 1.0' in metrics


def test_wrong_keys_leave_a_trace(http: TestClient) -> None:
    with capture_logs() as lines:
        answer = http.get("/v1/jobs", headers={"Authorization": "Bearer fm_00000000_wrong"})
    assert answer.status_code == 401
    (line,) = lines
    assert (line["status"], line["owner"], line["address"]) == (401, None, "testclient")
    assert "wrong" not in str(line)


def test_a_wrong_key_is_refused_before_a_body_is_looked_at(http: TestClient) -> None:
    headers = {"Authorization": "Bearer fm_00000000_wrong", "Content-Type": "application/json"}
    for path in ("/v1/studies", "/v1/scans"):
        assert http.post(path, content=b"{", headers=headers).status_code == 401


def test_a_stream_ends_with_the_key(
    service: Service, http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fibromorph.serving.service.routes.jobs.LOOK_AGAIN_SECONDS", 0.01)
    job = send(service, "a")
    asked = iter([True, False])
    monkeypatch.setattr(service.access, "lets_in", lambda _: next(asked))
    answer = http.get(f"/v1/jobs/{job.id}/events")
    assert answer.text.count("event: job") == 1
    assert next(asked, None) is None


def test_a_cancel_that_comes_too_late_purges_nothing(service: Service, http: TestClient) -> None:
    send(service, "a")
    job = service.jobs.start_next()
    assert job is not None
    service.jobs.finish(job, Ending("done"))
    answer = http.delete(f"/v1/jobs/{job.id}", params={"only": "cancel"})
    assert answer.status_code == 409
    assert answer.json()["value"] == "done"
    assert http.get(f"/v1/jobs/{job.id}").json()["state"] == "done"
    assert http.delete(f"/v1/jobs/{job.id}").status_code == 204
    waiting = send(service, "b")
    answer = http.delete(f"/v1/jobs/{waiting.id}", params={"only": "cancel"})
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")


def test_jobs_are_found_by_their_label(service: Service, http: TestClient) -> None:
    send(service, "a", "sub-01")
    wanted = send(service, "b", "sub-02")
    found = http.get("/v1/jobs", params={"label": "sub-02", "state": "queued"}).json()["jobs"]
    assert [job["id"] for job in found] == [wanted.id]
    assert len(http.get("/v1/jobs").json()["jobs"]) == 2
    for path in ("/v1/jobs?lable=sub-02", "/v1/studies?label=sub-02"):
        assert http.get(path).status_code == 422


def test_files_of_a_viewer_that_was_not_built_are_not_there(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fibromorph.serving.service.routes.page.BUILT", tmp_path / "none")
    http = TestClient(create_app(service), base_url=URL)
    assert http.get("/static/niivue.js").status_code == 404


class Slow:
    """A local cluster that does not end in time."""

    async def close(self, timeout: float) -> None:
        raise TimeoutError(timeout)


def test_workers_that_do_not_end_in_time_keep_nothing_else_from_closing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.cluster, "_local", Slow())
    with capture_logs() as lines:
        asyncio.run(service.stop())
    assert [line["event"] for line in lines] == ["Dask did not end in time"]
    Store(service.store.root).close()  # another service could have the folder
