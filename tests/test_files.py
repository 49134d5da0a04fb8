from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fibromorph.files import drop_parts, replacing, write_whole


def test_writers_in_containers_whose_processes_are_counted_alike_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "participants.tsv"
    texts = [f"{n}\n" * 5000 for n in range(4)]
    with ThreadPoolExecutor(len(texts)) as pool:
        list(pool.map(lambda n: write_whole(path, texts[n % len(texts)]), range(200)))
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x" * 255, "\N{BRAIN}" * 63])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    write_whole(tmp_path / name, b"whole")
    assert (tmp_path / name).read_bytes() == b"whole"


def test_what_cannot_be_written_leaves_what_there_was(tmp_path: Path) -> None:
    path = tmp_path / "scores.png"
    write_whole(path, "before")

    def write_half() -> None:
        with replacing(path) as part:
            part.write_text("half")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        write_half()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "another"),
    [("sub-[01].json", "sub-0.json"), (f"{'x' * 48}1.json", f"{'x' * 48}2.json")],
)
def test_what_killed_writers_left_is_cleared_for_one_file_alone(
    tmp_path: Path, name: str, another: str
) -> None:
    path, other = tmp_path / name, tmp_path / another
    with replacing(path) as part, replacing(other) as others:
        part.touch()
        others.touch()
        drop_parts(path)
        assert (part.exists(), others.exists()) == (False, True)
        part.touch()
