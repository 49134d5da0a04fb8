"""Text of tables that people edit."""

from __future__ import annotations


def decode(content: bytes) -> str:
    """UTF-8, with or without a mark, or what spreadsheets on Windows write (cp1252)."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
