"""The ledger's rules, on SQLite and, where its server is installed, on PostgreSQL."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from fibromorph.errors import ConfigError
from fibromorph.manifest import read_manifest
from fibromorph.serving.bundles import DEFAULT_BUNDLE, shipped_folder
from fibromorph.serving.service.catalogue import Model
from fibromorph.serving.service.endings import cancelled
from fibromorph.serving.service.ledger import (
    Audit,
    Database,
    Ending,
    Job,
    Jobs,
    Keys,
    Request,
    new_id,
    state_of,
)
from fibromorph.serving.service.ledger.tables import Base
from fibromorph.serving.service.problems import Refusal
from fibromorph.serving.service.recovery import drop_old_bundles, recover
from fibromorph.serving.service.settings import load_settings
from fibromorph.serving.service.store import DETAIL, Store
from fibromorph.serving.service.work import Order, attempt

QUEUE = 50


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server of the test's own, on loopback."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("needs PostgreSQL's server (Debian package postgresql)")
    folder = tmp_path_factory.mktemp("postgres")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user, run = ("postgres", ["runuser", "-u", "postgres", "--"])
    if os.geteuid() != 0:
        user, run = getpass.getuser(), []
    else:
        for path in (folder, *folder.parents[:3]):
            path.chmod(path.stat().st_mode | 0o055)
        shutil.chown(folder, "postgres")
    data, log = str(folder / "data"), str(folder / "log")
    control = [*run, str(programs / "pg_ctl"), "-D", data, "-w"]
    subprocess.run([*run, str(programs / "initdb"), "-D", data, "-A", "trust"], check=True)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder}"
    subprocess.run([*control, "-l", log, "-o", options, "start"], check=True)
    yield f"postgresql://{user}@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty ledger."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    else:
        url = request.getfixturevalue("postgres")
    database = Database(url)
    with database.write() as session:
        for table in Base.metadata.sorted_tables:
            session.execute(table.delete())
    yield database
    database.close()


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database, QUEUE)


def send(jobs: Jobs, owner: str, content: str, **more: object) -> Job:
    job, _ = jobs.accept(new_id(), Request("scan", owner, content, **more))  # type: ignore[arg-type]
    return job


def served(jobs: Jobs) -> list[str]:
    """Contents in the order in which they are started."""
    order = []
    while (job := jobs.start_next()) is not None:
        order.append(job.content)
        assert jobs.finish(job, Ending("done"))
    return order


def test_the_migrations_make_the_tables_of_the_code(database: Database) -> None:
    with database.read() as session:
        found = inspect(session.connection())
        for table in Base.metadata.sorted_tables:
            columns = {column["name"] for column in found.get_columns(table.name)}
            assert columns == {column.name for column in table.columns}
            indexes = {index["name"] for index in found.get_indexes(table.name)}
            assert {index.name for index in table.indexes} <= indexes


def test_owners_take_turns(jobs: Jobs) -> None:
    for n in range(4):
        send(jobs, "many", f"m{n}")
    send(jobs, "few", "f0")
    send(jobs, "few", "f1")
    assert served(jobs) == ["m0", "f0", "m1", "f1", "m2", "m3"]


def test_a_newcomer_does_not_wait_for_all_that_came_before(jobs: Jobs) -> None:
    for n in range(20):
        send(jobs, "many", f"m{n}")
    for _ in range(10):
        job = jobs.start_next()
        assert job is not None
        jobs.finish(job, Ending("done"))
    late = send(jobs, "few", "f0")
    assert jobs.position(late) is not None
    assert (jobs.position(late) or 0) <= 1


def test_single_scans_go_before_cohorts(jobs: Jobs) -> None:
    send(jobs, "a", "cohort", priority=1)
    send(jobs, "a", "single", priority=0)
    assert served(jobs) == ["single", "cohort"]


def test_equal_content_does_not_run_twice_at_once(jobs: Jobs) -> None:
    first, second = send(jobs, "a", "same"), send(jobs, "b", "same")
    assert first.id != second.id
    running = jobs.start_next()
    assert running is not None
    assert jobs.start_next() is None
    jobs.finish(running, Ending("done"))
    other = jobs.start_next()
    assert other is not None
    twin = jobs.twin(other)
    assert twin is not None
    assert twin.id == running.id


def test_an_old_attempt_cannot_finish_a_job(jobs: Jobs) -> None:
    send(jobs, "a", "x")
    first = jobs.start_next()
    assert first is not None
    jobs.requeue(first, died=True)
    second = jobs.start_next()
    assert second is not None
    assert (second.attempt, second.deaths) == (2, 1)
    assert not jobs.finish(first, Ending("done"))
    assert jobs.finish(second, Ending("failed", "worker_died", {"rule": "r"}))
    found = jobs.get(second.id, "a")
    assert found is not None
    assert (found.state, found.reason) == ("failed", "worker_died")


def test_a_job_that_is_to_be_cancelled_does_not_wait_again(jobs: Jobs) -> None:
    send(jobs, "a", "x")
    first = jobs.start_next()
    assert first is not None
    jobs.request_cancel(first.id, "a")
    assert not jobs.requeue(first)
    assert jobs.finish(first, cancelled())
    assert jobs.start_next() is None


def test_jobs_are_seen_by_their_owner_alone(jobs: Jobs) -> None:
    job = send(jobs, "a", "x")
    assert jobs.get(job.id, "b") is None
    assert jobs.find("b", "scan") == []
    assert [found.id for found in jobs.find(None, "scan")] == [job.id]


def test_the_queue_is_bounded(jobs: Jobs) -> None:
    for n in range(QUEUE):
        send(jobs, "a", str(n))
    with pytest.raises(Refusal, match="at most 50 jobs may wait") as refused:
        send(jobs, "a", "one more")
    assert refused.value.status == 429


def test_a_request_that_is_repeated_finds_its_job_though_the_queue_is_full(jobs: Jobs) -> None:
    first = send(jobs, "a", "0", idempotency_key="order-1")
    for n in range(1, QUEUE):
        send(jobs, "a", str(n))
    jobs.check_room("a", "order-1")
    assert send(jobs, "a", "0", idempotency_key="order-1").id == first.id
    for owner, key in (("a", ""), ("a", "order-2"), ("b", "order-1")):
        with pytest.raises(Refusal, match="jobs may wait"):
            jobs.check_room(owner, key)


def test_what_happens_is_written_down(database: Database, jobs: Jobs) -> None:
    job = send(jobs, "a", "x")
    jobs.request_cancel(job.id, "a")
    jobs.forget(job.id, "a", "asked for")
    lines = [(line.actor, line.action) for line in Audit(database).latest()]
    assert lines == [("a", "purged"), ("a", "cancel"), ("a", "accepted")]
    assert jobs.get(job.id, None) is None


def test_keys_are_hashed_scoped_and_end(database: Database) -> None:
    keys = Keys(database)
    secret = keys.add("lab", ["read"], None)
    found = keys.find(secret)
    assert found is not None
    assert found.scopes == ["read"]
    assert secret.split("_", 2)[2] not in f"{found.hash} {found.salt}"
    assert keys.find(secret + "x") is None
    assert keys.find("fm_00000000_nothing") is None
    assert keys.find("") is None
    keys.revoke(found.id)
    assert keys.find(secret) is None
    assert not keys.any_live()
    short = keys.add("brief", ["read"], 1e-9)
    assert keys.find(short) is None
    assert [state_of(key) for key in keys.all()] == ["revoked", "expired"]
    with pytest.raises(ConfigError, match="scopes must be of read, submit, admin"):
        keys.add("lab", ["write"], None)


def test_a_ledger_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ledger's database must be reachable"):
        Database(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.sqlite'}")


def test_no_part_of_a_password_is_told() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        with pytest.raises(ConfigError, match="percent-encoded") as refused:
            Database(f"{scheme}://fm:p@ss/w:rd@db/fm")
        assert "ss" not in str(refused.value).replace("password", "")


def test_an_at_sign_elsewhere_is_no_password() -> None:
    for rest in ("fm@server:pw@127.0.0.1:9/db", "fm:p%40ss@127.0.0.1:9/db?application_name=fm@x"):
        with pytest.raises(ConfigError, match="must be reachable"):
            Database(f"postgresql://{rest}")


def test_sqlite_writes_ahead(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    Database(url).close()
    with Session(create_engine(url)) as session:
        mode = session.connection().exec_driver_sql("PRAGMA journal_mode").scalar()
    assert mode == "wal"


def _postgres_programs() -> Path | None:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


@pytest.mark.parametrize("keep", [False, True])
def test_scans_of_ended_jobs_outlive_a_restart_where_they_are_kept(
    keep: bool, jobs: Jobs, tmp_path: Path
) -> None:
    store = Store(tmp_path / "made" / "data")
    assert (tmp_path / "made" / "data").stat().st_mode & 0o077 == 0
    send(jobs, "a", "x")
    job = jobs.start_next()
    assert job is not None
    assert jobs.finish(job, Ending("done"))
    for job_id in (job.id, "forgotten"):
        store.input(job_id).mkdir()
    recover(jobs, store, keep_inputs=keep)
    assert store.job_ids("inputs") == ({job.id} if keep else set())
    store.close()


def test_what_a_worker_said_of_a_published_job_outlives_the_service(
    jobs: Jobs, tmp_path: Path
) -> None:
    store = Store(tmp_path / "data")
    send(jobs, "a", "x")
    job = jobs.start_next()
    assert job is not None
    said = {"seconds": {"network": 1.5}, "quality": "good"}
    work = store.work(job.id, job.attempt)
    order = Order("scan", job.id, job.attempt, "", str(work), "cancel", 60, 1 << 40)
    assert attempt(order, lambda _: said).reason is None
    store.publish(job.id, job.attempt)
    recover(jobs, store)
    found = jobs.get(job.id, "a")
    assert found is not None
    assert (found.state, found.detail) == ("done", said)
    store.close()


@pytest.mark.parametrize("damaged", [b"", b'{"quality": "go', b"\xff", b"[]"])
def test_a_damaged_word_of_a_worker_costs_nothing_but_itself(
    damaged: bytes, jobs: Jobs, tmp_path: Path
) -> None:
    store = Store(tmp_path / "data")
    send(jobs, "a", "x")
    job = jobs.start_next()
    assert job is not None
    store.result(job.id).mkdir()
    (store.result(job.id) / DETAIL).write_bytes(damaged)
    recover(jobs, store)
    found = jobs.get(job.id, "a")
    assert found is not None
    assert (found.state, found.detail) == ("done", {})
    store.close()


def test_bundles_that_nothing_needs_go_when_the_service_starts(jobs: Jobs, tmp_path: Path) -> None:
    store, manifest = Store(tmp_path / "data"), read_manifest(shipped_folder() / DEFAULT_BUNDLE)
    folders = {name: store.bundle(name) for name in ("old", "waits", "new", "killed.part")}
    for folder in folders.values():
        folder.mkdir()
    send(jobs, "a", "x", model_folder=str(folders["waits"]))
    send(jobs, "a", "y", model_folder=str(folders["old"]))
    ended = jobs.find("a", "scan")[0]
    jobs.request_cancel(ended.id, "a")
    recover(jobs, store)
    assert not folders["killed.part"].exists()
    stray, link = (store.root / "bundles" / name for name in (".DS_Store", "link"))
    stray.touch()
    link.symlink_to(tmp_path)
    drop_old_bundles(jobs, store, [Model("lab", "new", folders["new"], manifest)])
    left = {path.name for path in (store.root / "bundles").iterdir()}
    assert left == {"waits", "new", stray.name, link.name}
    store.close()


def test_an_old_bundle_that_cannot_be_removed_keeps_nothing_from_starting(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "data")
    store.bundle("busy").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    with monkeypatch.context() as context, capture_logs() as lines:
        context.setattr(os, "rmdir", refuse)
        drop_old_bundles(jobs, store, [])
    assert [line["digest"] for line in lines] == ["busy"]
    store.close()


def test_a_variable_that_is_no_list_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIBROMORPH_SERVE_ALLOWED_HOSTS", "brains.example.org")
    with pytest.raises(ConfigError, match=r"SERVE_ALLOWED_HOSTS: .*must be JSON.*brains.example"):
        load_settings(None)
