"""Group statistics over finished scans."""

from __future__ import annotations

import zipfile
from pathlib import Path

import httpx
import pytest

from fibromorph.client import Client
from fibromorph.serving.service.ledger import Job
from fibromorph.serving.service.problems import Refusal
from fibromorph.serving.service.study import those_listed
from tests.serving.service.server import Server
from tests.serving.service.tiny import write_head

PEOPLE = 12
DESIGN = """
groups: {column: group, patients: FM, controls: HC}
covariates: [age]
families: {structures: [Left-Cerebral-Cortex, Left-Cerebral-White-Matter]}
inference: {permutations: 200}
exclusions: {quality_below: 0}
"""


@pytest.fixture(scope="module")
def scans(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Finished scans of participants."""
    folder = tmp_path_factory.mktemp("people")
    with server.client() as client:
        jobs = [
            client.submit(write_head(folder / f"{n}.nii.gz", 600 + n), label=f"sub-s{n:02d}").id
            for n in range(PEOPLE)
        ]
        return [client.wait(job).id for job in jobs]


def participants() -> str:
    lines = ["participant_id\tgroup\tage"]
    lines += [f"sub-s{n:02d}\t{'FM' if n % 2 else 'HC'}\t{40 + 3 * (n % 5)}" for n in range(PEOPLE)]
    return "\n".join(lines) + "\n"


def test_a_study_gives_a_report_and_tables(
    server: Server, client: Client, scans: list[str], tmp_path: Path
) -> None:
    study = client.submit_study(participants(), DESIGN, jobs=scans, label="fm")
    done = client.wait(study.id)
    report = client.download_study(done.id, "report", tmp_path / "group.html")
    assert "<html" in report.read_text()
    archive = zipfile.ZipFile(client.download_study(done.id, "tables", tmp_path / "tables.zip"))
    table = archive.read("group_comparison.tsv").decode()
    assert "Left-Cerebral-Cortex" in table
    for name in ("report", "tables"):
        url = f"{server.url}/v1/studies/{done.id}/{name}"
        headers = httpx.head(url).headers
        # Of people: no cache on the way may keep it, and one's own asks before it is used.
        assert headers["cache-control"] == "private, no-cache"
        assert "Authorization" in headers["vary"]
        known = {"If-None-Match": headers["etag"]}
        assert httpx.get(url, headers=known).status_code == 304
    listed = httpx.get(f"{server.url}/v1/studies").json()["jobs"]
    assert [job["id"] for job in listed] == [done.id]
    assert client.submit_study(participants(), DESIGN, jobs=scans, label="fm").id == done.id


@pytest.mark.usefixtures("scans")
def test_a_study_takes_the_scans_of_the_people_in_its_table(client: Client, tmp_path: Path) -> None:
    """Others of the same sender, which other tests have sent, too, are left out."""
    extra = client.submit(write_head(tmp_path / "other.nii.gz", 699), label="sub-elsewhere")
    client.wait(extra.id)
    study = client.wait(client.submit_study(participants(), DESIGN, label="listed").id)
    archive = zipfile.ZipFile(client.download_study(study.id, "tables", tmp_path / "tables.zip"))
    assert "Left-Cerebral-Cortex" in archive.read("group_comparison.tsv").decode()


@pytest.mark.parametrize(
    ("table", "listed"),
    [
        ("participant_id\tage\nsub-01\t40\n02\t8\n", ["sub-01", "sub-02_ses-1"]),
        ("participant_id,age\n1,40\n2,8\n", ["sub-01", "sub-02_ses-1"]),
        (f"participant_id,age\n1,40\n{'2' * 5000},8\n", ["sub-01"]),
        ("code;age\npat_a;40\n", ["pat_a.v2"]),
    ],
)
def test_labels_are_found_in_the_table(table: str, listed: list[str]) -> None:
    labels = ("sub-01", "sub-02_ses-1", "sub-8", "pat_a.v2")
    found = those_listed([Job(label=label) for label in labels], table)
    assert [scan.label for scan in found] == listed


def test_what_is_no_table_is_named_before_scans_are_looked_for() -> None:
    with pytest.raises(Refusal, match=r"participants.tsv") as refused:
        those_listed([], "")
    assert refused.value.status == 422


def test_a_wrong_table_is_named(server: Server, client: Client, scans: list[str]) -> None:
    study = client.submit_study("participant_id\tgroup\n", DESIGN, jobs=scans, label="bad")
    job = next(now for now in client.watch(study.id) if now.has_ended)
    assert job.state == "failed"
    assert job.problem is not None
    assert job.problem["status"] == 422
    assert set(job.links or {}) == {"self", "events"}
    assert str(server.data) not in str(job.problem)


def test_what_is_no_study_is_refused(server: Server, scans: list[str]) -> None:
    few = httpx.post(
        f"{server.url}/v1/studies", json={"participants": participants(), "jobs": scans[:2]}
    )
    assert few.status_code == 422
    assert "at least 4 finished scans" in few.json()["rule"]
    mistyped = httpx.post(
        f"{server.url}/v1/studies", json={"participants": participants(), "desing": DESIGN}
    )
    assert mistyped.status_code == 422
    assert "desing" in mistyped.text
    halves = httpx.post(
        f"{server.url}/v1/studies",
        content=b'{"participants": "\\ud800"}',
        headers={"Content-Type": "application/json"},
    )
    assert halves.status_code == 422
    huge = httpx.post(f"{server.url}/v1/studies", content=b'{"participants": "' + b"x" * 7_000_000)
    assert huge.status_code == 413
    form = httpx.post(f"{server.url}/v1/studies", data={"participants": participants()})
    assert form.status_code == 415
    no_json = httpx.post(
        f"{server.url}/v1/studies", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert (no_json.status_code, no_json.json()["subject"]) == (422, "body")
    assert huge.headers["content-type"] == "application/problem+json"
