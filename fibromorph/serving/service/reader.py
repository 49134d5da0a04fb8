"""What runs in the process that reads one upload and nothing else: the only parser of uploads."""

from __future__ import annotations

import os
import resource
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fibromorph.errors import FibromorphError, ScanError
from fibromorph.scans import read_scan
from fibromorph.scans.scan import ReadLimits
from fibromorph.serving.service.clean import write_clean

SUBJECT = "upload"
# Real scans shrink to a tenth at most, label-like ones to a fiftieth.
LARGEST_EXPANSION = 200
SMALLEST_ALLOWANCE = 64 << 20

Answer = dict[str, Any]


def read_upload(
    answer: Connection, upload: str, folder: str, limits: ReadLimits, memory: int, seconds: float
) -> None:
    """Read an upload, write the clean scan to `folder`, send None; or send what was wrong.

    Args:
        answer: gets None, or `rule`, `value` and `subject` of the error.
        upload: the file received.
        folder: does not exist yet.
        limits: sizes beyond which a scan is refused.
        memory: bytes of address space that this process may use from here on.
        seconds: of processor time, likewise.
    """
    _confine(memory, seconds)
    path = Path(upload)
    try:
        scan = read_scan(path, limits=_tightened(limits, path.stat().st_size))
        write_clean(scan, Path(folder))
    except FibromorphError as error:
        answer.send(_told(error))
    except MemoryError:
        answer.send(_told(ScanError(f"a scan must be readable in {memory >> 20} MiB of memory")))
    except OSError as error:
        answer.send({"errno": error.errno})
    except Exception as error:  # a parser's own failure on hostile bytes
        rule = "a scan must be intact: it could not be read"
        answer.send(_told(ScanError(rule, value=type(error).__name__)))
    else:
        answer.send(None)


def _confine(memory: int, seconds: float) -> None:
    os.nice(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    whole = int(seconds) + 1
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # The first limit ends it with a signal of its own, by which its end is told from others.
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _tightened(limits: ReadLimits, n_bytes: int) -> ReadLimits:
    """A small file may not become a very large scan."""
    allowed = max(SMALLEST_ALLOWANCE, LARGEST_EXPANSION * n_bytes)
    return ReadLimits(limits.max_voxels, min(limits.max_bytes, allowed))


def _told(error: FibromorphError) -> Answer:
    """An error without paths of this machine."""
    value = None if error.value is None else str(error.value)[:200]
    return {"rule": error.rule, "value": value, "subject": SUBJECT}
