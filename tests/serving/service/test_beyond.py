"""A service that is set to measure all there is beyond volumes, and one that measures nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from fibromorph.cli import main
from fibromorph.client import Client, Job, ServiceError
from fibromorph.errors import ConfigError
from fibromorph.file_names import MAP_OF, TISSUE, atlas_endings
from fibromorph.postprocessing.atlases import read_atlas
from fibromorph.postprocessing.normalisation import average_head
from fibromorph.postprocessing.volumes import read_volumes
from fibromorph.serving import beyond
from fibromorph.serving.extras import Extras
from fibromorph.serving.service.ledger import Job as Entry
from fibromorph.serving.service.orders import WANTED, make_order
from fibromorph.serving.service.settings import load_settings
from fibromorph.serving.service.store import Store
from fibromorph.serving.service.wanted import Wanted, wanted_from, wanted_of
from fibromorph.serving.service.work import Order, attempt, beyond_by
from tests.serving.service.server import Server
from tests.two_halves import write_atlas

pytest.importorskip("SimpleITK")
ATLAS = "TwoHalves"
TSV = "text/tab-separated-values"
JOBS = "/v1/jobs"


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_atlas(tmp_path_factory.mktemp("atlas"))


@pytest.fixture(scope="module")
def full(
    atlas: Path, tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, object]
) -> Iterator[Server]:
    """A service that measures everything."""
    wanted = {"thickness": True, "tissue": True, "vbm": True, "atlases": [str(atlas)]}
    server = Server(tmp_path_factory.mktemp("full"), **tiny_settings, **wanted).start()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def files(full: Server, head: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What its client writes of a scan."""
    with full.client() as client:
        return client.segment(head, tmp_path_factory.mktemp("files"), label="sub-01")


@pytest.fixture
def job(full: Server, files: dict[str, Path]) -> Job:
    """The scan's job."""
    assert files
    with full.client() as client:
        (job,) = client.jobs(label="sub-01")
    return job


def test_the_client_writes_what_the_command_line_writes(
    files: dict[str, Path], head: Path, tiny: Path, atlas: Path, tmp_path: Path
) -> None:
    ends = [*TISSUE.values(), *MAP_OF.values()]
    ends += atlas_endings(ATLAS, thickness=True).values()
    call = ["segment", str(head), "--out", str(tmp_path), "--model", str(tiny), "--device", "cpu"]
    options = ["--thickness", "--tissue", "--vbm", "--atlas", str(atlas)]
    assert main([*call, *options, "--threads", "1"]) == 0
    written = {path.name.removeprefix("sub-01"): path for path in files.values()}
    assert set(ends) <= set(written)
    for end in ends:
        here, there = written[end], tmp_path / f"head{end}"
        if end.endswith(".tsv"):
            assert here.read_text() == there.read_text()
        else:
            one, other = nib.load(here), nib.load(there)
            # Where a head comes to lie differs in the last digits from run to run.
            assert np.allclose(np.asarray(one.dataobj), np.asarray(other.dataobj), atol=1e-3)
            assert np.array_equal(one.affine, other.affine)
    outputs = json.loads(files["provenance"].read_text())["outputs"]
    assert {f"sub-01{end}" for end in ends} <= set(outputs)


def test_links_name_it_all_and_lead_there(full: Server, job: Job, atlas: Path) -> None:
    links = job.links or {}
    parts = ("labels", "names", "volumes", "thickness")
    expected = {f"tissue/{what}" for what in TISSUE} | {"maps/grey", "maps/white"}
    expected |= {"thickness", "atlases", *(f"atlases/{ATLAS}/{part}" for part in parts)}
    assert expected <= set(links)
    for name in expected:
        assert links[name] == f"{JOBS}/{job.id}/{name}"
        answer = httpx.head(f"{full.url}{links[name]}")
        assert answer.status_code == 200
    told = httpx.get(f"{full.url}{links['atlases']}").json()
    assert told["structures"] == "tiny 1"
    (one,) = told["atlases"]
    assert (one["name"], one["sha256"]) == (ATLAS, read_atlas(str(atlas)).sha256)
    assert one["links"] == {part: links[f"atlases/{ATLAS}/{part}"] for part in parts}


def test_what_comes_is_what_it_is_called(full: Server, job: Job, tmp_path: Path) -> None:
    with full.client() as client:
        mask = client.download(job.id, "tissue/brain_mask", tmp_path / "mask.nii.gz")
        grey = client.download(job.id, "maps/grey", tmp_path / "grey.nii.gz")
        labels = client.download_atlas(job.id, ATLAS, "labels", tmp_path / "labels.nii.gz")
        assert client.atlases(job.id)[0]["name"] == ATLAS
    assert set(np.unique(nib.load(mask).dataobj)) == {0, 1}
    assert nib.load(grey).shape == average_head().grid.shape
    ids = np.asarray(nib.load(labels).dataobj)
    assert ids.shape == nib.load(mask).shape
    assert {7, 8} <= set(np.unique(ids))
    answer = httpx.get(f"{full.url}{JOBS}/{job.id}/tissue/grey")
    assert "sub-01_label-GM_probseg.nii.gz" in answer.headers["content-disposition"]


def test_regions_come_as_json_or_as_a_table(full: Server, job: Job, tmp_path: Path) -> None:
    with full.client() as client:
        regions = {region["name"]: region for region in client.atlas_volumes(job.id, ATLAS)}
        table = client.download_atlas(job.id, ATLAS, "volumes", tmp_path / "regions.tsv")
    assert {"front_L", "back_L"} <= set(regions)
    for row in read_volumes(table):
        assert regions[row.name]["volume_ml"] == pytest.approx(row.volume_ml, abs=1e-4)
    where = f"{full.url}{JOBS}/{job.id}/atlases/{ATLAS}/thickness"
    told = httpx.get(where).json()
    assert (told["atlas"], told["ribbon"]) == (ATLAS, "tiny 1")
    assert [row["name"] for row in told["regions"]][-1] == "Mean-Thickness"
    assert httpx.get(where, headers={"Accept": TSV}).text.startswith("region_id\tname")
    assert httpx.get(where, headers={"Accept": "image/png"}).status_code == 406


def test_an_atlas_of_another_name_is_not_there(full: Server, job: Job) -> None:
    answer = httpx.get(f"{full.url}{JOBS}/{job.id}/atlases/Aal/volumes")
    assert answer.status_code == 404
    assert answer.json()["rule"] == f"an atlas must be one of those measured: {ATLAS}"


def test_where_it_is_not_measured_that_is_said(
    server: Server, client: Client, head: Path, tmp_path: Path
) -> None:
    plain = client.segment(head, tmp_path)
    assert not [name for name in plain if "/" in name]
    root = f"{server.url}{JOBS}/{client.jobs()[0].id}"
    rules = {
        "tissue/brain": "the service must be set to measure tissue",
        "maps/grey": "the service must be set to make maps (vbm)",
        "atlases": "the service must be set to measure atlases",
        f"atlases/{ATLAS}/volumes": "the service must be set to measure atlases",
    }
    for name, rule in rules.items():
        answer = httpx.get(f"{root}/{name}")
        assert (answer.status_code, answer.json()["rule"]) == (404, rule)


def test_a_result_is_taken_over_and_deleted_with_all_its_files(
    full: Server, job: Job, head: Path
) -> None:
    with full.client() as client:
        other = client.wait(client.submit(head, label="sub-02").id)
        assert not other.seconds  # nothing was computed
        assert set(other.links or {}) == set(job.links or {})
        folders = [full.data / "results" / one.id for one in (job, other)]
        names = {path.name for path in folders[0].iterdir()}
        assert {"tissue-brain.nii.gz", "map-white.nii.gz", f"atlas-{ATLAS}_names.tsv"} <= names
        assert {path.name for path in folders[1].iterdir()} == names
        client.end(other.id)
        assert not folders[1].exists()
        with pytest.raises(ServiceError, match="there must be such a job"):
            client.atlases(other.id)
        assert client.atlases(job.id)


def test_downloads_are_written_down_with_what_they_are_of(
    full: Server, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("maps/white", f"atlases/{ATLAS}/names"):
        assert httpx.get(f"{full.url}{JOBS}/{job.id}/{name}").status_code == 200
    assert main(["audit", "--data-dir", str(full.data), "--last", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["maps/white", f"atlases/{ATLAS}/names"]


def test_the_page_offers_it(full: Server, job: Job, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{full.url}/#{job.id}")
    for text, name in (
        ("Brain mask (NIfTI)", "sub-01_desc-brain_mask.nii.gz"),
        (f"{ATLAS}: volumes (TSV)", f"sub-01_seg-{ATLAS}_volumes.tsv"),
    ):
        with page.expect_download() as downloading:
            page.click(f"#downloads button >> text={text}")
        assert downloading.value.suggested_filename == name
    assert Path(downloading.value.path()).read_text().startswith("region_id\tname")
    expect(page.locator("#downloads button")).to_have_count(17)
    page.close()


def test_equal_jobs_are_measured_equally(atlas: Path) -> None:
    sha256 = read_atlas(str(atlas)).sha256
    marks = {
        wanted_of(load_settings(None, **{name: value})).mark
        for name, value in (
            ("workers", 1),
            ("thickness", True),
            ("tissue", True),
            ("vbm", True),
            ("atlases", [str(atlas)]),
        )
    }
    assert marks == {"", " thickness", " tissue", " vbm", f" {ATLAS}:{sha256}"}
    both = Wanted(atlases=(("A", "1"), ("B", "2")))
    assert both.mark == Wanted(atlases=(("B", "2"), ("A", "1"))).mark


def test_a_job_keeps_what_it_was_accepted_for(atlas: Path) -> None:
    wanted = wanted_of(load_settings(None, vbm=True, atlases=[str(atlas)]))
    assert wanted.extras == Extras(vbm=True, atlases=(str(atlas),))
    assert wanted_from(json.loads(json.dumps(wanted.as_json))) == wanted


def test_what_cannot_be_measured_keeps_the_service_from_starting(
    atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\natlases: [no_such_atlas]\n")
    with pytest.raises(ConfigError, match=r"atlases: an atlas must be a file.*no_such_atlas"):
        wanted_of(load_settings(config))
    assert main(["serve", "--config", str(config)]) == 2
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"broken\.nii\.gz"):
        wanted_of(load_settings(None, atlases=[str(broken)]))
    with pytest.raises(ConfigError, match="two atlases must not have one name"):
        wanted_of(load_settings(None, atlases=[str(atlas), str(atlas)]))
    monkeypatch.setattr(beyond, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"vbm: .*no module SimpleITK"):
        wanted_of(load_settings(None, vbm=True))
    assert wanted_of(load_settings(None, tissue=True)).extras.tissue


def test_atlases_can_be_set_by_a_variable(atlas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIBROMORPH_SERVE_ATLASES", json.dumps([str(atlas)]))
    monkeypatch.setenv("FIBROMORPH_SERVE_TISSUE", "true")
    settings = load_settings(None)
    assert settings.extras == Extras(tissue=True, atlases=(str(atlas),))


def test_a_job_that_waits_over_a_restart_is_measured_as_it_was_promised(
    atlas: Path, tmp_path: Path
) -> None:
    wanted = wanted_of(load_settings(None, tissue=True, atlases=[str(atlas)]))
    store, now = Store(tmp_path), load_settings(None, thickness=True)
    facts = {"id": "0" * 32, "attempt": 1, "content": "1" * 64, "model_folder": "tiny"}
    waiting = Entry(kind="scan", detail={WANTED: wanted.as_json}, **facts)
    assert make_order(waiting, store, now).wanted == wanted
    # Accepted before there was anything but thickness.
    older = Entry(kind="scan", detail={}, **facts)
    assert make_order(older, store, now).wanted == Wanted(Extras(thickness=True))
    store.close()


def test_an_atlas_that_is_another_one_or_gone_fails_a_job_and_its_folder_stays_unknown(
    tiny: Path, tmp_path: Path
) -> None:
    atlas = write_atlas(tmp_path)
    changed = Wanted(Extras(atlases=(str(atlas),)), ((ATLAS, "0" * 64),))
    gone = Wanted(Extras(atlases=(str(tmp_path / "gone.nii.gz"),)), (("Gone", "0" * 64),))
    for wanted, found in ((changed, ATLAS), (gone, "gone.nii.gz")):
        order = Order(
            kind="scan",
            job_id="0" * 32,
            attempt=1,
            input="",
            work=str(tmp_path / "work"),
            cancel_flag="cancel",
            seconds=600,
            memory=1 << 40,
            wanted=wanted,
        )
        outcome = attempt(order, lambda order: {"": beyond_by(str(tiny), "cpu", 1, order.wanted)})
        assert outcome.problem is not None
        assert (outcome.reason, outcome.problem.value) == ("ConfigError", found)
        assert str(tmp_path) not in outcome.problem.model_dump_json()
