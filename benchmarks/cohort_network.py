"""Two Dask workers in network namespaces of their own, over TLS, with what networks do to them.

While they run, the first worker's link is cut for some seconds and the second worker is killed
and never comes back. In the end every good scan must be finished, none of them twice, and the
files must be those of a quiet run on one machine. Needs root and iproute2.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.serving.cohort.conftest import contents, lines_of, participant_command
from tests.serving.cohort.study import write_study
from tests.serving.stand_in import write_stand_in

BRIDGE, NETWORK, PORT = "fibro0", "10.77.0", 8786
CUT_S = 30
DASK = str(Path(sys.executable).with_name("dask"))
LOOP = Path(__file__).resolve().parents[1] / "configs" / "dask-worker.sh"
ENVIRONMENT = {
    # What configs/ recommends, only more impatient.
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "15s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "12s",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=40)
    options = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return 0
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        try:
            return prove(Path(folder), options.subjects, stack)
        except (TimeoutError, subprocess.SubprocessError):
            say("given up", Path(folder))
            for log in sorted(Path(folder).glob("*.log")):
                print(f"-- {log.name}", *log.read_text().splitlines()[-30:], sep="\n")
            raise


def why_not() -> str:
    """Why namespaces cannot be made here; empty if they can."""
    if shutil.which("ip") is None:
        return "no iproute2"
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        ip("netns", "add", "fibrotest")
        ip("netns", "del", "fibrotest")
    except subprocess.CalledProcessError as error:
        return str(error.stderr.decode().strip())
    return ""


def prove(folder: Path, subjects: int, stack: ExitStack) -> int:
    study = write_study(folder / "bids", subjects)
    bundle = write_stand_in(folder / "stand-in")
    command = participant_command(study.root, folder / "quiet", bundle, "--workers", "2")
    subprocess.run(command, check=False, capture_output=True)
    tls = write_certificates(folder)
    stack.enter_context(network())
    address = f"tls://{NETWORK}.1:{PORT}"
    quiet = ("--host", address, "--no-dashboard")
    start(stack, folder, "scheduler", [DASK, "scheduler", *quiet, *tls])
    time.sleep(3)
    workers = [
        start(
            stack, folder, f"worker-{n}", [str(LOOP), *worker_options(n, address, tls)], f"fibro{n}"
        )
        for n in (1, 2)
    ]
    command = participant_command(study.root, folder / "out", bundle, "--scheduler", address, *tls)
    command += ["--stale-after", "30"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(folder / "out", 8)
    say("the link of worker 1 is cut", folder)
    link("fibro1", "down")
    time.sleep(CUT_S / 2)
    say("worker 2 is killed", folder)
    os.killpg(workers[1].pid, signal.SIGKILL)
    time.sleep(CUT_S / 2)
    say("the link of worker 1 is back", folder)
    link("fibro1", "up")
    said, _ = run.communicate(timeout=500)
    print("\n".join(said.splitlines()[-8:]))
    return report(folder, len(study.good))


def report(folder: Path, expected: int) -> int:
    finished = lines_of(folder / "out", "finished")
    done, twice = sum(finished.values()), sum(count > 1 for count in finished.values())
    same = contents(folder / "out") == contents(folder / "quiet")
    print(f"{done} of {expected} good scans finished, {twice} of them twice")
    print(f"files byte-identical to those of a quiet run on one machine: {same}")
    return 0 if done == expected and not twice and same else 1


def worker_options(number: int, address: str, tls: list[str]) -> list[str]:
    return [address, "--name", f"worker-{number}", *tls]


def write_certificates(folder: Path) -> list[str]:
    """Certificates that live as long as the run, as options."""
    from distributed import Security

    security = Security.temporary()
    texts = {"ca": security.tls_ca_file, "cert": security.tls_client_cert}
    options = []
    for name, text in {**texts, "key": security.tls_client_key}.items():
        (folder / f"{name}.pem").write_text(text)
        # Dask's command lines and ours name them alike but for one word.
        options += [f"--tls-{name}", str(folder / f"{name}.pem")]
    return options


@contextmanager
def network() -> Iterator[None]:
    """A bridge with two namespaces on it."""
    ip("link", "add", BRIDGE, "type", "bridge")
    try:
        ip("addr", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for number in (1, 2):
            add_namespace(f"fibro{number}", f"{NETWORK}.{number + 1}/24")
        yield
    finally:
        for number in (1, 2):
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", f"fibro{number}")
        ip("link", "del", BRIDGE)


def add_namespace(name: str, address: str) -> None:
    ip("netns", "add", name)
    ip("link", "add", f"{name}h", "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("link", "set", f"{name}h", "master", BRIDGE, "up")
    ip("-n", name, "addr", "add", address, "dev", "eth0")
    ip("-n", name, "link", "set", "eth0", "up")
    ip("-n", name, "link", "set", "lo", "up")


def link(name: str, state: str) -> None:
    ip("link", "set", f"{name}h", state)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def start(
    stack: ExitStack, folder: Path, name: str, call: list[str], namespace: str = ""
) -> subprocess.Popen[bytes]:
    """Start a part of Dask, in a namespace if one is named; it is ended with the stack."""
    prefix = ["ip", "netns", "exec", namespace] if namespace else []
    call = [word.replace("--tls-ca", "--tls-ca-file") for word in call]
    command = [*prefix, *call]
    log = stack.enter_context((folder / f"{name}.log").open("wb"))
    environment = {**os.environ, **ENVIRONMENT, "DASK": DASK, "PAUSE": "2"}
    process = subprocess.Popen(
        command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True
    )
    stack.callback(end, process)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(out: Path, records: int) -> None:
    until = time.monotonic() + 120
    while len(list(out.glob(".fibromorph/done/*/*.json"))) < records:
        if time.monotonic() > until:
            raise TimeoutError("no scan was finished in time")
        time.sleep(0.1)


def say(what: str, folder: Path) -> None:
    done = len(list((folder / "out").glob(".fibromorph/done/*/*.json")))
    print(f"after {done} scans: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
