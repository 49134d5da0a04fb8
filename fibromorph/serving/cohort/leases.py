"""Who works on what: leases that hold on network file systems and outlive no one for long.

A lease is a folder that is made aside, signed, and renamed into place: renaming a folder onto one
that is not empty fails everywhere, NFS included, where file locks often do not hold. Its owner
touches it again and again; one that was not touched for `stale_s` seconds, or whose process on this
machine is gone, may be taken over by burying it. Its grave carries its token and stays until its
successor is done, so a lease is buried once, however many saw that it was stale. Ages are read off
the file server's clock, so that the clocks of the nodes need not agree.
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
GRAVE_LIFE = 10
"""Times `stale_s`: how long what a killed process left behind is kept."""


@dataclass
class Lease:
    """One scan, held by this process as long as `holds()` is true.

    Attributes:
        folder: where it lies.
        token: tells it from every other lease of the same scan.
        after: token of the stale lease that it replaced; empty if there was none.
    """

    folder: Path
    token: str
    after: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)
    _leaving: bool = False

    def holds(self) -> bool:
        """True if nobody has taken it over, as far as can be told now."""
        return _token(self.folder) in (self.token, None)

    def release(self) -> None:
        """Give it back; harmless when it was taken over or given back before."""
        self._stop.set()
        interrupted, self._leaving = self._leaving, True
        # A signal may have come between burial and removal: nobody else had a reason to bury it.
        if _bury(self.folder, self.token) or (interrupted and _owner(self.folder) == {}):
            shutil.rmtree(_grave(self.folder, self.token), ignore_errors=True)
        if self.after:
            shutil.rmtree(_grave(self.folder, self.after), ignore_errors=True)

    def beat(self, every_s: float) -> None:
        """Touch the lease until it is released or somebody else's.

        One beat that fails, a file server that is away for a moment, must not be the last.
        """
        while not self._stop.wait(every_s) and _token(self.folder) in (self.token, None, ""):
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
        self._held: dict[str, Lease] = {}

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
            self._give_back(lease)

    def take(self, name: str) -> Lease | None:
        """Take a free or stale lease; None if somebody holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / name
        lease = self._make(place)
        if lease is None and (token := self._stale_token(place)) and _bury(place, token):
            lease = self._make(place, after=token)
            self._clear_graves()
        return lease

    def close(self) -> None:
        """Give everything back: also what a signal interrupted between taking and holding."""
        for lease in list(self._held.values()):
            self._give_back(lease)

    def _give_back(self, lease: Lease) -> None:
        lease.release()
        self._held.pop(lease.token, None)

    def _make(self, place: Path, after: str = "") -> Lease | None:
        if _owner(place) != {}:
            return None
        lease = Lease(place, uuid.uuid4().hex, after)
        self._held[lease.token] = lease
        # A file server may have lost the answer.
        if _put(place, lease.token) or _token(place) == lease.token:
            return lease
        del self._held[lease.token]
        return None

    def _stale_token(self, place: Path) -> str:
        """The token of a lease that may be taken over; empty if it may not."""
        owner = _owner(place) or {}
        token = str(owner.get("token", ""))
        if not token or (_is_here(owner) and not _is_alive(owner)):
            return token
        try:
            age_s = self._server_now() - (place / OWNER).stat().st_mtime
        except OSError:
            return ""
        return token if age_s > self.stale_s else ""

    def _clear_graves(self) -> None:
        """Remove what killed processes left, once nobody can be on the way to it."""
        now = self._server_now()
        for left in self.folder.glob(".*"):
            with suppress(OSError):
                if now - left.stat().st_mtime > GRAVE_LIFE * self.stale_s:
                    shutil.rmtree(left, ignore_errors=True)

    def _server_now(self) -> float:
        probe = self.folder / f".now.{uuid.uuid4().hex}"
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


def _put(place: Path, token: str) -> bool:
    """Sign a lease aside and rename it into place; False if there is one."""
    aside = place.with_name(f".{place.name}.{token}.new")
    aside.mkdir()
    try:
        (aside / OWNER).write_text(json.dumps({"token": token, **_whoami()}))
        return _renamed(aside, place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _grave(place: Path, token: str) -> Path:
    return place.with_name(f".{place.name}.{token}.buried")


def _bury(place: Path, token: str) -> bool:
    """Rename away the lease that has this token; False if it is not there, or was buried before."""
    if _token(place) != token:
        return False
    grave = _grave(place, token)
    if not _renamed(place, grave):
        return False
    if _token(grave) == token:
        with suppress(OSError):
            os.utime(grave)
        return True
    # Between the look and the burial it was replaced: that one goes back.
    _renamed(grave, place)
    return False


def _renamed(source: Path, target: Path) -> bool:
    """Rename a folder; False where another one that is not empty lies."""
    try:
        source.rename(target)
    except OSError:
        return False
    return True


def _token(place: Path) -> str | None:
    """The token that a lease is signed with; empty if there is none, None if that is not known."""
    owner = _owner(place)
    return None if owner is None else str(owner.get("token", ""))


def _owner(place: Path) -> dict[str, object] | None:
    """Who signed a lease; empty if nobody did, None if it cannot be read now."""
    try:
        content = json.loads((place / OWNER).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    except OSError:
        return None
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
