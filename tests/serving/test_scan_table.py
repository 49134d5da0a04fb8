"""One table of all scans: what fibromorph wrote, and nothing else."""

from __future__ import annotations

from pathlib import Path

from fibromorph.serving.scan_table import write_scan_table


def test_what_another_program_left_in_the_folder_is_no_scan(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"EchoTime": 0.003}')
    (tmp_path / "other_volumes.tsv").write_text("region\tvolume\n")
    (tmp_path / "no_json_at_all.json").write_text("{")
    (tmp_path / "no_json_at_all_volumes.tsv").write_text("")
    table = write_scan_table(tmp_path).read_text()
    assert table == "scan\tmodel\tquality\tverdict\n"
