"""The body of a request: never longer than allowed, and that of an upload never in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from fibromorph.serving.service.problems import Refusal

RAW_TYPES = (
    "application/octet-stream",
    "application/gzip",
    "application/x-gzip",
    "application/zip",
    "application/x-zip-compressed",
    "application/dicom",
    "application/x-nifti",
)
FORM_TYPE = "multipart/form-data"
# What `curl --data-binary` says of anything, unless told otherwise.
CURL_TYPE = "application/x-www-form-urlencoded"
WRITE_AT = 1 << 20
STALLED_SECONDS = 60.0


def body_of(request: Request) -> AsyncIterator[bytes]:
    """The bytes of the scan that a request carries.

    Raises:
        Refusal: 415, the body is of another type.
    """
    header = request.headers.get("content-type", RAW_TYPES[0])
    kind, options = parse_options_header(header)
    media_type = kind.decode("latin-1")
    if media_type in (*RAW_TYPES, CURL_TYPE):
        return request.stream()
    if media_type == FORM_TYPE and options.get(b"boundary"):
        return _OneFile(options[b"boundary"]).of(request.stream())
    rule = f"the body must be the scan itself ({RAW_TYPES[0]}), or {FORM_TYPE} with one file"
    raise Refusal(415, rule, value=media_type[:100], subject="Content-Type")


def check_length(request: Request, limit: int) -> int:
    """The length that a request announces, 0 if it does not.

    Raises:
        Refusal: 413, it is more than `limit` bytes.
    """
    length = request.headers.get("content-length", "0")
    announced = int(length) if length.isdecimal() else 0
    if announced > limit:
        raise _too_large(limit)
    return announced


async def read_whole(request: Request, limit: int) -> bytes:
    """A body that is small enough to be held in memory.

    Raises:
        Refusal: 408, nothing more comes; 413, longer than `limit` bytes, whatever it announces.
    """
    check_length(request, limit)
    held = bytearray()
    async for chunk in _steadily(request.stream()):
        if len(held) + len(chunk) > limit:
            raise _too_large(limit)
        held += chunk
    return bytes(held)


async def receive(
    body: AsyncIterator[bytes], path: Path, limit: int, check_space: Callable[[], None]
) -> str:
    """Write a body to a file.

    Args:
        body: from `body_of`.
        path: of the file.
        limit: in bytes.
        check_space: raises where the disk is too full; asked as the body grows, since a body need
            not announce its length.

    Returns:
        Hexadecimal SHA-256 of its bytes.

    Raises:
        Refusal: 408, nothing more comes; 413, longer than `limit` bytes; 422, empty.
        OSError: the disk is full.
    """
    digest, size, held = hashlib.sha256(), 0, bytearray()
    with path.open("wb") as file:
        async for chunk in _steadily(body):
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            digest.update(chunk)
            held += chunk
            if len(held) >= WRITE_AT:
                check_space()
                await asyncio.to_thread(file.write, bytes(held))
                held.clear()
        file.write(held)
    if size == 0:
        raise Refusal(422, "the body must hold a scan", value="0 bytes", subject="body")
    return digest.hexdigest()


async def _steadily(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A body whose sender may pause, but not for ever: what has come of it takes up room."""
    while True:
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                chunk = await anext(body)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            rule = f"an upload must not stop for {STALLED_SECONDS:g} s: send it again"
            raise Refusal(408, rule, subject="body") from error
        yield chunk


class _OneFile:
    """The content of the file in a multipart form, as it arrives; there may be nothing else.

    Raises:
        Refusal: 422, the form is damaged, or holds another field or file: what it says would be
            lost without a word.
    """

    def __init__(self, boundary: bytes) -> None:
        self._pieces: list[bytes] = []
        self._field = self._value = b""
        self._names: dict[bytes, bytes] = {}
        self._found = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
            },
        )

    async def of(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The file's bytes out of a form's."""
        try:
            async for chunk in stream:
                self._parser.write(chunk)
                for piece in self._pieces:
                    yield piece
                self._pieces.clear()
            self._parser.finalize()
        except MultipartParseError as error:
            raise Refusal(422, "the form must be intact", subject="body") from error

    def _begin(self) -> None:
        self._names = {}

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._names = parse_options_header(self._value)[1]
        self._field = self._value = b""

    def _on_headers(self) -> None:
        name = self._names.get(b"name", b"").decode("utf-8", "replace")
        if not {b"filename", b"filename*"} & self._names.keys():
            rule = "a form may hold the scan alone; label, model and priority belong in the query"
            raise Refusal(422, rule, value=name[:64], subject="body")
        if self._found:
            raise Refusal(422, "a form may hold one file", value=name[:64], subject="body")
        self._found = True

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"an upload may have at most {limit} bytes", subject="body")
