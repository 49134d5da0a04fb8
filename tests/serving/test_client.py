"""What the client leaves in a folder, of a service that is played."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from fibromorph.client import Client, ServiceError
from fibromorph.errors import ConfigError

JOB = "a" * 32


class Service:
    """Its one job is done at once; each file says what it is and of which scan."""

    def __init__(self) -> None:
        self.results: Iterable[str] = ("segmentation", "volumes", "report", "provenance")
        self.scan, self.gone = "", ""

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.scan = request.read().decode()
            return httpx.Response(202, json={"id": JOB, "state": "queued", "percent": 0})
        place, _, result = request.url.raw_path.decode().partition(JOB)
        result = result.removeprefix("/")
        if place != "/v1/jobs/":
            return httpx.Response(404, json={"rule": "there must be such a job"})
        if not result:
            links = dict.fromkeys(self.results, "")
            job = {"id": JOB, "state": "done", "percent": 100, "links": links}
            return httpx.Response(200, json=job)
        if result == self.gone:
            return httpx.Response(410, json={"rule": "gone"})
        if result == "provenance":
            made = {"generated_by": {"name": "fibromorph"}, "input": {"sha256": self.scan}}
            return httpx.Response(200, json=made)
        return httpx.Response(200, text=f"{result} of {self.scan}")


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(service: Service) -> Client:
    client = Client("http://played")
    client._http = httpx.Client(
        base_url="http://played", transport=httpx.MockTransport(service.answer)
    )
    return client


@pytest.mark.parametrize("key", ["fm_1_secret\n", " fm_1_secret"])
def test_a_key_is_taken_as_a_file_has_it(key: str) -> None:
    with Client("http://played", key) as client:
        assert client._http.headers["Authorization"] == "Bearer fm_1_secret"


@pytest.mark.parametrize("key", ["fm_1\nsecret", "fm_1_s\u00e9cret"])
def test_a_key_that_cannot_be_one_is_refused_and_not_told(key: str) -> None:
    with pytest.raises(ConfigError, match="key: must be as") as refused:
        Client("http://played", key)
    assert "fm_1" not in str(refused.value)


def test_an_address_without_its_scheme_is_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"url: must begin with http.*127\.0\.0\.1:8000"):
        Client("127.0.0.1:8000")
    with pytest.raises(ConfigError, match=r"found: ftp://played") as refused:
        Client("ftp://me:secret@played")
    assert "secret" not in str(refused.value)
    for address in ("http://", "http://played:port", "http://[::1"):
        with pytest.raises(ConfigError, match="name a host"):
            Client(address)
    Client("HTTPS://played").close()


def test_what_is_no_id_leads_nowhere_else(client: Client) -> None:
    with pytest.raises(ServiceError) as refused:
        client.job("../models")
    assert refused.value.status == 404


def scan(folder: Path, content: str, name: str = "T1.nii.gz") -> Path:
    path = folder / content / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return path


def there(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_nothing_of_an_earlier_call_passes_for_this_one(
    client: Client, service: Service, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    service.results = (*service.results, "thickness")
    client.segment(scan(tmp_path, "one"), out)
    assert "T1_thickness.tsv" in there(out)
    service.results = ("segmentation", "volumes", "report", "provenance")
    client.segment(scan(tmp_path, "one"), out)
    assert set(there(out)) == {"T1_dseg.nii.gz", "T1_volumes.tsv", "T1_report.html", "T1.json"}


def test_another_scan_of_the_same_name_is_refused(client: Client, tmp_path: Path) -> None:
    out = tmp_path / "out"
    client.segment(scan(tmp_path, "one"), out)
    before = there(out)
    with pytest.raises(ConfigError, match="results of another scan of this name must stay"):
        client.segment(scan(tmp_path, "two"), out)
    assert there(out) == before


def test_a_call_that_fails_halfway_leaves_what_was_there(
    client: Client, service: Service, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    client.segment(scan(tmp_path, "one"), out)
    before = there(out)
    service.gone = "report"
    with pytest.raises(ServiceError, match="gone"):
        client.segment(scan(tmp_path, "one"), out)
    assert there(out) == before
    assert json.loads(before["T1.json"])["outputs"].keys() == before.keys() - {"T1.json"}


@pytest.mark.parametrize(("name", "stem"), [("a.NII.GZ", "a"), ("sub.01", "sub.01")])
def test_files_are_named_as_the_command_names_them(
    name: str, stem: str, client: Client, tmp_path: Path
) -> None:
    files = client.segment(scan(tmp_path, "one", name), tmp_path / "out")
    assert files["volumes"].name == f"{stem}_volumes.tsv"
