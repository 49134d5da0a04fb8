from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fibromorph.serving.cohort.leases import GRAVE_LIFE, OWNER, Leases, _bury


def age(place: Path, seconds: float) -> None:
    """Make a lease look as if its owner had been silent."""
    then = time.time() - seconds
    os.utime(place / OWNER, (then, then))


def elsewhere(place: Path) -> None:
    """Make a lease look as if another machine held it."""
    owner = json.loads((place / OWNER).read_text())
    (place / OWNER).write_text(json.dumps({**owner, "machine": "another"}))


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    leases = Leases(tmp_path / "leases")
    with leases.hold("scan") as mine:
        assert mine is not None
        assert mine.holds()
        with leases.hold("scan") as second:
            assert second is None
        with leases.hold("other") as other:
            assert other is not None
    assert list((tmp_path / "leases").iterdir()) == []


def test_many_at_once_make_one_holder(tmp_path: Path) -> None:
    leases = Leases(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda _: leases.take("scan"), range(64)))
    assert sum(lease is not None for lease in taken) == 1


def test_a_silent_holder_is_replaced_and_notices(tmp_path: Path) -> None:
    leases = Leases(tmp_path, stale_s=5.0)
    old = leases.take("scan")
    assert old is not None
    elsewhere(tmp_path / "scan")
    age(tmp_path / "scan", 4.0)
    assert leases.take("scan") is None
    age(tmp_path / "scan", 6.0)
    new = leases.take("scan")
    assert new is not None
    assert not old.holds()
    old.release()
    assert new.holds()


def test_many_at_once_replace_a_silent_holder_once(tmp_path: Path) -> None:
    leases = Leases(tmp_path, stale_s=5.0)
    assert leases.take("scan") is not None
    elsewhere(tmp_path / "scan")
    age(tmp_path / "scan", 60.0)
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda _: leases.take("scan"), range(64)))
    assert sum(lease is not None for lease in taken) == 1


def test_a_holder_that_is_alive_keeps_its_lease(tmp_path: Path) -> None:
    leases = Leases(tmp_path, stale_s=0.6)
    with leases.hold("scan") as mine:
        assert mine is not None
        elsewhere(tmp_path / "scan")
        time.sleep(1.5)
        assert leases.take("scan") is None
        assert mine.holds()


def test_a_file_server_that_is_away_for_a_moment_takes_no_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = threading.Event()
    read_text = Path.read_text

    def read(path: Path) -> str:
        if path.name == OWNER and away.is_set():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", read)
    leases = Leases(tmp_path, stale_s=0.6)
    with leases.hold("scan") as mine:
        assert mine is not None
        elsewhere(tmp_path / "scan")
        away.set()
        assert mine.holds()
        assert leases.take("scan") is None
        assert leases.take("other") is None
        time.sleep(0.4)
        away.clear()
        time.sleep(1.2)
        assert leases.take("scan") is None
        assert mine.holds()


def test_what_killed_processes_left_is_cleared_once_it_is_old(tmp_path: Path) -> None:
    leases = Leases(tmp_path, stale_s=5.0)
    young, old, scan = tmp_path / ".a.1.buried", tmp_path / ".b.2.new", tmp_path / "long at it"
    for left in (young, old, scan):
        left.mkdir()
    then = time.time() - GRAVE_LIFE * 5.0 - 60.0
    for left in (old, scan):
        os.utime(left, (then, then))
    assert leases.take("scan") is not None
    elsewhere(tmp_path / "scan")
    age(tmp_path / "scan", 60.0)
    assert leases.take("scan") is not None
    assert not old.exists()
    assert young.exists()
    assert scan.exists()


def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path;"
        "from fibromorph.serving.cohort.leases import Leases;"
        "assert Leases(Path(sys.argv[1])).take('scan'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / "scan").is_dir()
    assert Leases(tmp_path).take("scan") is not None


def test_an_unsigned_lease_holds_nobody_off(tmp_path: Path) -> None:
    (tmp_path / "scan").mkdir()
    assert Leases(tmp_path).take("scan") is not None


def test_what_an_interrupted_process_took_is_given_back(tmp_path: Path) -> None:
    leases = Leases(tmp_path)
    assert leases.take("scan") is not None
    leases.close()
    assert list(tmp_path.iterdir()) == []


def test_a_lease_that_was_replaced_since_it_was_judged_stays(tmp_path: Path) -> None:
    first, second = Leases(tmp_path, stale_s=5.0), Leases(tmp_path, stale_s=5.0)
    assert first.take("scan") is not None
    elsewhere(tmp_path / "scan")
    age(tmp_path / "scan", 60.0)
    judged = second._stale_token(tmp_path / "scan")
    new = first.take("scan")
    assert new is not None
    assert judged
    assert not _bury(tmp_path / "scan", judged)
    assert new.holds()


def test_a_release_that_a_signal_interrupts_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = Leases(tmp_path)
    lease = leases.take("scan")
    assert lease is not None

    def interrupted(*_: object, **__: object) -> None:
        raise SystemExit(143)

    with monkeypatch.context() as context:
        context.setattr("fibromorph.serving.cohort.leases.shutil.rmtree", interrupted)
        with pytest.raises(SystemExit):
            lease.release()
    assert len(list(tmp_path.iterdir())) == 1
    leases.close()
    assert list(tmp_path.iterdir()) == []
