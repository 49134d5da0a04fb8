"""How far long work is, where no terminal shows it."""

from __future__ import annotations

import pytest

from fibromorph import progress


def test_a_log_gets_whole_lines_without_control_characters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.bar(3, "scans") as bar:
        for failed in range(3):
            bar.set_postfix_str(f"{failed} failed")
            bar.update()
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err
    assert err.endswith("\n")
    assert "2 of 3 scans done, 2 failed, " in err.splitlines()[-1]


def test_a_log_is_not_filled_by_what_takes_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(1000, "draws", "permutations", leave=False) as bar:
        for _ in range(900):
            bar.update()
    assert capsys.readouterr().err == ""


def test_work_that_is_stopped_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(80, "scans") as bar:
        bar.update(12)
    assert "12 of 80 scans done, " in capsys.readouterr().err
