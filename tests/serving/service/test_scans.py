"""From an upload to its results, as a user of the REST interface meets it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest
from fastapi import Request as HttpRequest

from fibromorph.client import Client, ServiceError
from fibromorph.errors import ConfigError
from fibromorph.manifest import open_bundle, read_manifest
from fibromorph.postprocessing.volumes import read_volumes
from fibromorph.scans import read_scan
from fibromorph.serving.engine import Engine
from fibromorph.serving.pipeline import segment_scan
from fibromorph.serving.service.intake import Intake
from fibromorph.serving.service.problems import Refusal
from fibromorph.serving.service.settings import load_settings
from fibromorph.serving.service.uploads import WRITE_AT, read_whole, receive
from tests.serving.service.conftest import UPLOAD_MB
from tests.serving.service.server import Server
from tests.serving.service.tiny import write_head

RAW = {"Content-Type": "application/octet-stream"}


def test_an_upload_becomes_the_results_of_the_command_line(
    client: Client, head: Path, tiny: Path, tmp_path: Path
) -> None:
    files = client.segment(head, tmp_path, label="sub-01")
    direct = segment_scan(read_scan(head), Engine(open_bundle(tiny), "cpu", 1))
    labels = nib.load(files["segmentation"])
    assert np.array_equal(np.asarray(labels.dataobj), direct.labels_on_scan_grid)
    assert np.allclose(labels.affine, nib.load(head).affine)
    rows = {row.name: row.soft_volume_ml for row in read_volumes(files["volumes"])}
    for row in direct.rows:
        assert rows[row.name] == pytest.approx(row.soft_volume_ml, abs=1e-3)
    assert files["report"].read_text().startswith("<!doctype html>")
    assert files["preview"].read_bytes().startswith(b"\x89PNG")
    provenance = json.loads(files["provenance"].read_text())
    assert provenance["input"]["sha256"] == direct.scan.sha256
    assert provenance["model"]["sha256"] == read_manifest(tiny).network.sha256


def test_a_report_is_headed_as_each_sender_calls_the_scan(
    server: Server, client: Client, head: Path, tmp_path: Path
) -> None:
    """Results are shared by content; names are not."""
    pages, tags = [], []
    for label in ("sub-headed", "sub-other", ""):
        job = client.wait(client.submit(head, label=label).id)
        pages.append(client.download(job.id, "report", tmp_path / "report.html").read_text())
        url = f"{server.url}/v1/jobs/{job.id}/report"
        tags.append(httpx.get(url).headers["etag"])
        assert httpx.get(url, headers={"If-None-Match": tags[-1]}).status_code == 304
    assert "<h1>sub-headed</h1>" in pages[0]
    assert "<h1>sub-other</h1>" in pages[1]
    assert "<h1>scan-" in pages[2]
    assert "scan-" not in pages[0] + pages[1]
    assert "sub-headed" not in pages[1]
    assert len({*tags}) == 3


def test_labels_corrected_by_hand_are_set_aside(client: Client, head: Path, tmp_path: Path) -> None:
    first = client.segment(head, tmp_path, label="sub-01")["segmentation"]
    assert first.name in json.loads((tmp_path / "sub-01.json").read_text())["outputs"]
    first.write_bytes(b"corrected")
    client.segment(head, tmp_path, label="sub-01")
    assert (tmp_path / "sub-01_dseg.edited.nii.gz").read_bytes() == b"corrected"
    assert first.read_bytes() != b"corrected"


def test_every_stage_is_told(client: Client, tmp_path: Path) -> None:
    job = client.submit(write_head(tmp_path / "a.nii.gz", 11))
    seen = list(client.watch(job.id))
    assert seen[-1].state == "done"
    assert seen[-1].percent == 100
    percents = [now.percent for now in seen]
    assert percents == sorted(percents)
    assert {"conform", "network", "volumes"} <= set(seen[-1].seconds or {})


def test_volumes_come_as_json_or_as_a_table(client: Client, server: Server, head: Path) -> None:
    job = client.wait(client.submit(head).id)
    url = f"{server.url}/v1/jobs/{job.id}/volumes"
    table = httpx.get(url, headers={"Accept": "text/tab-separated-values"})
    assert table.text.startswith("region_id\tname\themisphere")
    content = httpx.get(url, headers={"Accept": "application/json"}).json()
    assert content["model"] == job.model
    white = next(r for r in content["regions"] if r["region_id"] == 2)
    assert white["volume_ml"] > 100
    assert len(white["centre_mm"]) == 3
    refused = httpx.get(url, headers={"Accept": "application/xml"})
    assert refused.status_code == 406
    assert job.model is not None
    assert job.model["sha256"] in table.headers["fibromorph-model"]


RESULTS = ("segmentation", "report", "volumes", "provenance", "preview", "brain")


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_asked_about_and_loaded_once(
    client: Client, server: Server, head: Path, name: str
) -> None:
    job = client.wait(client.submit(head).id)
    url = f"{server.url}/v1/jobs/{job.id}/{name}"
    table = {"Accept": "text/tab-separated-values"}
    whole, asked = httpx.get(url, headers=table), httpx.head(url, headers=table)
    assert asked.status_code == 200
    assert not asked.content
    for header in ("content-type", "content-length", "etag", "cache-control"):
        assert asked.headers[header] == whole.headers[header]
    known = {**table, "If-None-Match": whole.headers["etag"]}
    for again in (httpx.get(url, headers=known), httpx.head(url, headers=known)):
        assert again.status_code == 304
        assert not again.content
        assert again.headers["etag"] == whole.headers["etag"]
    other = httpx.get(url, headers={**table, "If-None-Match": '"of another file"'})
    assert other.content == whole.content
    missing = f"{server.url}/v1/jobs/{'0' * 32}/{name}"
    assert httpx.head(missing, headers=known).status_code == 404


def test_the_same_bytes_are_computed_once(client: Client, head: Path, server: Server) -> None:
    first = client.wait(client.submit(head, label="sub-07").id)
    assert client.submit(head, label="sub-07").id == first.id
    other = client.wait(client.submit(head, label="sub-08").id)
    assert other.id != first.id
    assert other.seconds == {}
    volumes = [client.volumes(job.id) for job in (first, other)]
    assert volumes[0] == volumes[1]
    assert server.log.count(f'"job": "{other.id}"') == 2


def test_an_idempotency_key_makes_one_job(client: Client, tmp_path: Path) -> None:
    one, two = (write_head(tmp_path / f"{n}.nii.gz", n) for n in (21, 22))
    first = client.submit(one, idempotency_key="order-1")
    assert client.submit(one, idempotency_key="order-1").id == first.id
    with pytest.raises(ServiceError, match="Idempotency-Key must not be used again") as refused:
        client.submit(two, idempotency_key="order-1")
    assert refused.value.status == 422
    with pytest.raises(ServiceError, match="Idempotency-Key must not be used again"):
        client.submit(one, label="sub-02", idempotency_key="order-1")


def test_a_scanner_s_json_is_not_replaced(client: Client, head: Path, tmp_path: Path) -> None:
    sidecar = tmp_path / "sub-01.json"
    sidecar.write_text('{"MagneticFieldStrength": 3}')
    with pytest.raises(ConfigError, match="did not write must stay"):
        client.segment(head, tmp_path, label="sub-01")
    assert "MagneticFieldStrength" in sidecar.read_text()


def test_jobs_come_in_pages(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [client.submit(write_head(tmp_path / f"{n}.nii.gz", 70 + n)).id for n in range(5)]
    monkeypatch.setattr("fibromorph.client.PAGE", 2)
    assert [job.id for job in client.jobs(limit=5)] == sent[::-1]
    assert len(client.jobs(limit=3)) == 3


def test_cancelling_a_job_that_has_ended_leaves_its_results(
    client: Client, head: Path, tmp_path: Path
) -> None:
    job = client.wait(client.submit(head).id)
    with pytest.raises(ServiceError, match="must not have ended to be cancelled") as refused:
        client.cancel(job.id)
    assert refused.value.status == 409
    assert client.download(job.id, "report", tmp_path / "report.html").stat().st_size > 0


def test_a_client_outlasts_a_proxy_whose_service_is_away(
    server: Server, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other request is answered 502, as a proxy does while the service is restarted."""
    asked = []

    class Proxy(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request.url.path)
            return httpx.Response(502) if len(asked) % 2 else super().handle_request(request)

    monkeypatch.setattr("fibromorph.client.AGAIN_SECONDS", 0.01)
    with server.client() as client:
        monkeypatch.setattr(client._http, "_transport", Proxy())
        files = client.segment(head, tmp_path, label="sub-proxy")
        job = asked[3].rpartition("/")[2]
        assert files["report"].is_file()
        asked.clear()
        assert [now.state for now in client.watch(job)] == ["done"]
    assert len(asked) == 2


def test_a_service_that_is_away_is_named(unused_port: int) -> None:
    with (
        Client(f"http://127.0.0.1:{unused_port}") as away,
        pytest.raises(ServiceError, match="must be reachable") as refused,
    ):
        away.jobs()
    assert refused.value.status == 0


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_form_is_read_like_the_bare_scan(server: Server, client: Client, head: Path) -> None:
    bare = client.submit(head, label="form")
    files = {"scan": ("DOE_JANE.nii.gz", head.read_bytes())}
    answer = httpx.post(f"{server.url}/v1/scans?label=form", files=files)
    assert answer.status_code == 202
    assert answer.json()["id"] == bare.id


def test_a_form_with_more_than_the_scan_is_refused(server: Server, head: Path) -> None:
    scan = ("head.nii.gz", head.read_bytes())
    for form in (
        {"files": {"scan": scan}, "data": {"label": "sub-02"}},
        {"files": {"scan": scan}, "data": {"filename": "x"}},
        {"files": {"scan": scan, "other": scan}},
    ):
        answer = httpx.post(f"{server.url}/v1/scans", **form)
        assert answer.status_code == 422
        assert answer.json()["subject"] == "body"
    answer = httpx.post(f"{server.url}/v1/scans?lable=sub-02", content=head.read_bytes())
    assert answer.status_code == 422


def test_what_curl_sends_by_default_is_a_scan(server: Server, client: Client, head: Path) -> None:
    bare = client.submit(head, label="curl")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    url = f"{server.url}/v1/scans?label=curl"
    assert httpx.post(url, content=head.read_bytes(), headers=headers).json()["id"] == bare.id


def test_nothing_of_the_person_is_kept(server: Server, client: Client, tmp_path: Path) -> None:
    scan = write_head(tmp_path / "DOE_JANE.nii.gz", 31)
    assert b"DOE^JANE" in gzip.decompress(scan.read_bytes())
    job = client.wait(client.submit(scan).id)
    files = [path for path in server.data.rglob("*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        plain = gzip.decompress(content) if path.suffix == ".gz" else content
        # With its mark: four letters alone occur in the base64 of a picture by chance.
        assert not any(name in plain for name in (b"DOE^JANE", b"DOE_JANE")), path
    assert "JANE" not in server.log
    assert not (server.data / "inputs" / job.id).exists()
    assert not list((server.data / "incoming").iterdir())


def test_deleting_purges(server: Server, client: Client, tmp_path: Path) -> None:
    job = client.wait(client.submit(write_head(tmp_path / "a.nii.gz", 41)).id)
    assert (server.data / "results" / job.id).is_dir()
    client.end(job.id)
    assert not (server.data / "results" / job.id).exists()
    with pytest.raises(ServiceError, match="there must be such a job"):
        client.job(job.id)


def test_results_of_a_job_that_has_none(server: Server) -> None:
    missing = f"{server.url}/v1/jobs/{'0' * 32}/report"
    assert httpx.get(missing).status_code == 404
    assert httpx.get(f"{server.url}/v1/jobs/../../etc/passwd").status_code == 404


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"hello, world: this is no scan", RAW, 415),
        (b"", RAW, 422),
        (b"{}", {"Content-Type": "application/json"}, 415),
    ],
)
def test_refusals_are_problems(
    server: Server, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = httpx.post(f"{server.url}/v1/scans", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["rule"]


def test_an_upload_that_grows_too_long_is_refused(server: Server) -> None:
    """Without a length announced, what arrives is counted."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = "POST /v1/scans HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        with contextlib.suppress(ConnectionError):
            for _ in range(UPLOAD_MB + 1):
                connection.sendall(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
        assert b" 413 " in connection.recv(1 << 16)
    assert not list((server.data / "incoming").iterdir())


def test_a_length_that_is_too_long_is_refused_unread(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"POST /v1/scans HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {5 << 30}\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(1 << 16)


def test_an_unknown_model_is_named(client: Client, head: Path) -> None:
    with pytest.raises(ServiceError, match=r"model must be one of tiny \(found: other\)"):
        client.submit(head, model="other")


def test_health_and_metrics(server: Server, client: Client, head: Path) -> None:
    client.wait(client.submit(head).id)
    assert httpx.get(f"{server.url}/health/live").json() == {"status": "ok"}
    text = httpx.get(f"{server.url}/metrics").text
    assert 'fibromorph_jobs{kind="scan",reason="",state="done"}' in text
    assert 'fibromorph_stage_seconds_count{stage="network"}' in text
    assert "fibromorph_queue_length 0.0" in text
    assert 'fibromorph_model{name="tiny"' in text
    assert "fibromorph_disk_free_bytes" in text


def test_downloads_are_written_down(client: Client, server: Server, head: Path) -> None:
    job = client.wait(client.submit(head).id)
    httpx.get(f"{server.url}/v1/jobs/{job.id}/segmentation")
    with sqlite3.connect(server.data / "ledger.sqlite") as ledger:
        query = "SELECT actor, detail FROM audit WHERE action = 'download' AND subject = ?"
        assert ("local", "segmentation") in ledger.execute(query, (job.id,)).fetchall()


def test_what_is_refused_is_no_download(client: Client, server: Server, head: Path) -> None:
    job = client.wait(client.submit(head).id)

    def noted() -> int:
        with sqlite3.connect(server.data / "ledger.sqlite") as ledger:
            query = "SELECT count(*) FROM audit WHERE action = 'download' AND subject = ?"
            return int(ledger.execute(query, (job.id,)).fetchone()[0])

    before, results = noted(), f"{server.url}/v1/jobs/{job.id}"
    asked = ("thickness", "tissue/xyz", "atlases/%1b%5b2J/labels")
    answers = [httpx.get(f"{results}/{path}").status_code for path in asked]
    answers.append(httpx.get(f"{results}/volumes", headers={"Accept": "image/png"}).status_code)
    assert answers == [404, 422, 404, 406]
    assert noted() == before
    httpx.get(f"{results}/volumes")
    assert noted() == before + 1


def test_an_upload_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("fibromorph.serving.service.uploads.STALLED_SECONDS", 0.05)

    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    with pytest.raises(Refusal, match="must not stop") as refused:
        asyncio.run(receive(body(), tmp_path / "upload", 100, lambda: None))
    assert refused.value.status == 408


def test_a_body_of_unknown_length_leaves_the_disk_its_room(tmp_path: Path) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"x" * WRITE_AT

    def check_space() -> None:
        if (tmp_path / "upload").stat().st_size >= 3 * WRITE_AT:
            raise Refusal(507, "there must be room")

    with pytest.raises(Refusal, match="room"):
        asyncio.run(receive(body(), tmp_path / "upload", 100 * WRITE_AT, check_space))
    assert (tmp_path / "upload").stat().st_size <= 4 * WRITE_AT


def test_a_body_may_be_no_longer_than_it_says_or_is_allowed() -> None:
    async def more() -> dict[str, object]:
        return {"type": "http.request", "body": b"x" * 60, "more_body": True}

    request = HttpRequest({"type": "http", "headers": [(b"content-length", b"10")]}, more)
    with pytest.raises(Refusal) as refused:
        asyncio.run(read_whole(request, 100))
    assert refused.value.status == 413


def test_a_busy_machine_is_not_the_scan_s_fault(
    monkeypatch: pytest.MonkeyPatch, head: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr("fibromorph.serving.service.intake.PATIENCE", 0)
    with pytest.raises(Refusal, match="too busy") as refused:
        asyncio.run(Intake(load_settings(None)).read(head, tmp_path / "parsed"))
    assert (refused.value.status, refused.value.retry_after) == (503, 30)


def test_other_sites_are_kept_out(server: Server) -> None:
    url = f"{server.url}/v1/jobs"
    assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 421
    for origin in ("https://evil.example", "http://["):
        assert httpx.get(url, headers={"Origin": origin}).status_code == 403
    answer = httpx.get(url)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = httpx.get(server.url)
    assert "default-src 'none'" in page.headers["content-security-policy"]
