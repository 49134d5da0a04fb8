"""A Dask scheduler and two workers on this machine, over TLS; what is refused; what comes back."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fibromorph.errors import ConfigError, MissingExtraError
from fibromorph.serving.cohort.cluster import Tls, security_of
from tests.serving.cohort.conftest import Finished, Run, contents, lines_of

pytest.importorskip("distributed", reason="needs the 'cluster' extra")


@pytest.mark.parametrize("address", ["tcp://10.0.0.5:8786", "10.0.0.5:8786", "tcp://node1:8786"])
def test_nothing_leaves_this_machine_unencrypted(address: str) -> None:
    with pytest.raises(ConfigError, match="must be reached over tls://"):
        security_of(address, Tls())


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "localhost:8786", "tcp://[::1]:8786"])
def test_on_this_machine_encryption_may_be_left_out(address: str) -> None:
    assert security_of(address, Tls()) is None


@pytest.mark.parametrize("address", ["http://node1:80", "tls://", "ucx://node1:8786"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="tls://HOST:PORT"):
        security_of(address, Tls())


def test_certificates_are_needed_and_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--tls-ca and --tls-cert"):
        security_of("tls://node1:8786", Tls())
    with pytest.raises(ConfigError, match="--tls-ca: must be a PEM file"):
        security_of("tls://node1:8786", Tls(ca=tmp_path / "no.pem"))


def test_the_extra_is_named() -> None:
    assert ".[cluster]" in str(MissingExtraError("cluster", "distributed"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """Address and certificates of a scheduler with two workers."""
    tls = certificates(tmp_path)
    port = free_port()
    address = f"tls://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        quiet = ["--no-dashboard", *(w.replace("--tls-ca", "--tls-ca-file") for w in tls)]
        dask(stack, "scheduler", "--host", address, *quiet)
        for _ in range(2):
            dask(stack, "worker", address, "--nthreads", "2", "--no-nanny", *quiet)
        yield address, tls


def test_a_cluster_makes_the_same_files_nothing_twice(
    finished: Finished, participant: Run, cluster: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, tls = cluster
    some = ("--participant-label", "01", "02", "04")
    run = participant(tmp_path / "out", "--scheduler", address, *tls, *some)
    assert run.status == 1, run.said
    assert "1 failed (failures.tsv):" in run.said
    made, expected = contents(run.out), contents(finished.out)
    del made["failures.tsv"]
    assert len(made) > 6 * 4
    assert made.items() <= expected.items()
    assert sorted(lines_of(run.out, "finished").values()) == [0, 1, 1, 1, 1, 1, 1]


def dask(stack: contextlib.ExitStack, *arguments: str) -> None:
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("dask")), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    stack.callback(end, process)
    time.sleep(0.5)


def end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificates(folder: Path) -> list[str]:
    from distributed import Security

    security = Security.temporary()
    texts = (security.tls_ca_file, security.tls_client_cert, security.tls_client_key)
    options = []
    for name, text in zip(("ca", "cert", "key"), texts, strict=True):
        (folder / f"{name}.pem").write_text(str(text))
        options += [f"--tls-{name}", str(folder / f"{name}.pem")]
    return options
