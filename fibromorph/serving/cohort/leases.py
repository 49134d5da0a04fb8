"""Who works on what: leases that hold on network file systems and outlive no one for long.

A lease is a folder, because making one is atomic everywhere, NFS included, where file locks often
are not. Its owner touches it again and again; one that was not touched for `stale_s` seconds, or
whose process on this machine is gone, may be taken over by renaming it away, which only one can do.
Ages are read off the file server's clock, so that the clocks of the nodes need not agree.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

OWNER = "owner.json"
STALE_S = 180.0
BEATS_PER_LIFE = 6


@dataclass
class Lease:
    """One scan, held by this process as long as `holds()` is true."""

    folder: Path
    token: str
    _stop: threading.Event = field(default_factory=threading.Event)

    def holds(self) -> bool:
        """True if nobody has taken it over."""
        return _owner(self.folder).get("token") == self.token

    def release(self) -> None:
        """Give it back; harmless when it was taken over."""
        self._stop.set()
        if self.holds():
            shutil.rmtree(self.folder, ignore_errors=True)

    def beat(self, every_s: float) -> None:
        """Touch the lease until it is released or lost."""
        while not self._stop.wait(every_s) and self.holds():
            with suppress(OSError):
                os.utime(self.folder / OWNER)


class Leases:
    """The leases of one OUT_DIR.

    Args:
        folder: where they lie; made when it does not exist.
        stale_s: seconds without a sign of life after which a lease may be taken over.
    """

    def __init__(self, folder: Path, stale_s: float = STALE_S) -> None:
        self.folder = folder
        self.stale_s = stale_s

    @contextmanager
    def hold(self, name: str) -> Iterator[Lease | None]:
        """Hold the lease called `name`, or None if somebody else does."""
        lease = self.take(name)
        if lease is None:
            yield None
            return
        every_s = self.stale_s / BEATS_PER_LIFE
        threading.Thread(target=lease.beat, args=(every_s,), daemon=True).start()
        try:
            yield lease
        finally:
            lease.release()

    def take(self, name: str) -> Lease | None:
        """Take a free or stale lease; None if somebody holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / name
        lease = self._make(place)
        if lease is None and self._is_stale(place) and self._clear(place):
            lease = self._make(place)
        return lease

    def _make(self, place: Path) -> Lease | None:
        try:
            place.mkdir()
        except FileExistsError:
            return None
        token = uuid.uuid4().hex
        temporary = place / f".{token}"
        try:
            temporary.write_text(json.dumps({"token": token, **_whoami()}))
            temporary.rename(place / OWNER)
        except FileNotFoundError:  # taken for stale in the instant before it had an owner
            return None
        return Lease(place, token)

    def _is_stale(self, place: Path) -> bool:
        owner = _owner(place)
        if owner and _is_here(owner) and not _is_alive(owner):
            return True
        seen = place / OWNER if owner else place
        try:
            return self._server_now() - seen.stat().st_mtime > self.stale_s
        except OSError:
            return False

    def _clear(self, place: Path) -> bool:
        """Rename a stale lease away; put it back if it was a fresh one by then."""
        judged = _owner(place).get("token")
        grave = self.folder / f".{place.name}.{uuid.uuid4().hex}"
        try:
            place.rename(grave)
        except OSError:
            return False
        fresh = _owner(grave).get("token") != judged
        if fresh:
            with suppress(OSError):
                grave.rename(place)
        shutil.rmtree(grave, ignore_errors=True)
        return not fresh

    def _server_now(self) -> float:
        probe = self.folder / f".now.{uuid.uuid4().hex}"
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


def _owner(place: Path) -> dict[str, object]:
    try:
        content = json.loads((place / OWNER).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _whoami() -> dict[str, object]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "machine": _machine(), "pid": pid, "born": _born(pid)}


def _machine() -> str:
    """This boot of this machine, and this namespace of process ids; empty if it cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process began, in clock ticks since boot; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _is_here(owner: dict[str, object]) -> bool:
    return bool(owner.get("machine")) and owner.get("machine") == _machine()


def _is_alive(owner: dict[str, object]) -> bool:
    return _born(int(str(owner.get("pid", 0)))) == owner.get("born")
