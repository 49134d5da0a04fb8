from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import fibromorph
from fibromorph.cli import build_parser, main
from fibromorph.postprocessing.volumes import read_volumes


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from fibromorph.cli import build_parser; build_parser().format_help();"
        "print([m for m in ('numpy', 'torch', 'onnxruntime', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fibromorph rel", "reliability"),
        ("fibromorph bids STUDY OUT gr", "group"),
        ("fibromorph segment --sp", "--space"),
        ("fibromorph segment --out out ./sc", "./scan.nii.gz"),
    ],
)
def test_shells_complete_a_line(line: str, expected: str, tmp_path: Path) -> None:
    pytest.importorskip("argcomplete")
    (tmp_path / "scan.nii.gz").touch()
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "answer"),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    command = [sys.executable, "-m", "fibromorph.cli"]
    subprocess.run(command, env={**os.environ, **asked}, cwd=tmp_path, check=True)
    assert (tmp_path / "answer").read_text().split() == [expected]


def test_nothing_reports_to_its_makers() -> None:
    code = (
        "import fibromorph, onnxruntime, mlflow.telemetry.utils as mlflow;"
        "import os; print(os.environ['ORT_DISABLE_TELEMETRY'], mlflow.is_telemetry_disabled())"
    )
    clean = {k: v for k, v in os.environ.items() if "TELEMETRY" not in k}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean
    )
    assert done.stdout.split() == ["true", "True"]


def test_every_option_is_explained() -> None:
    pending, options = [build_parser()], []
    while pending:
        for action in pending.pop()._actions:
            if isinstance(action, argparse._SubParsersAction):
                pending += action.choices.values()
            else:
                options.append(action)
    assert len(options) > 100
    assert [action.dest for action in options if not action.help] == []


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [(["serve"], "distributed", "serve"), (["train", "--config", "x"], "torch", "train")],
)
def test_what_is_missing_is_named_with_what_brings_it(
    command: list[str],
    module: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> int:
        raise ModuleNotFoundError(name=module)

    handler = "service._serve" if extra == "serve" else "training._train"
    monkeypatch.setattr(f"fibromorph.cli.{handler}", fail)
    assert main(command) == 2
    assert f'pip install -c constraints.txt ".[{extra}]"' in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.strip() == fibromorph.__version__


def test_a_missing_scan_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["segment", str(tmp_path / "no.nii.gz"), "--out", str(out)]) == 2
    assert "no.nii.gz: a scan must exist" in capsys.readouterr().err
    assert not out.exists()


def test_scans_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t1.nii.gz").touch()
    scans = [str(tmp_path / folder / "t1.nii.gz") for folder in ("a", "b")]
    assert main(["segment", *scans, "--out", str(tmp_path / "out")]) == 2
    assert "different names" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--model", "no-such", "folder of a bundle"),
        ("--device", "toaster", "must be one of"),
        ("--threads", "-1", "0 \\(all\\) or more"),
    ],
)
def test_options_out_of_range(
    option: str, value: str, message: str, template: Path, tmp_path: Path
) -> None:
    done = run("segment", str(template), "--out", str(tmp_path / "out"), option, value)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert np.all([part in done.stderr for part in message.replace("\\", "").split(" .* ")])
    assert not (tmp_path / "out").exists()


def test_one_bad_scan_does_not_stop_the_others(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"this is not a scan")
    out = tmp_path / "out"
    assert main(["segment", str(bad), str(template), "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert "bad.nii.gz" in captured.err
    assert "Total-Brain" in captured.out
    assert sorted(p.name for p in out.iterdir()) == [
        "scans.tsv",
        "template.json",
        "template_dseg.nii.gz",
        "template_report.html",
        "template_volumes.tsv",
    ]
    (scan,) = csv.DictReader((out / "scans.tsv").read_text().splitlines(), delimiter="\t")
    rows = {row.name: row for row in read_volumes(out / "template_volumes.tsv")}
    assert (scan["scan"], scan["verdict"]) == ("template", "good")
    assert float(scan["Left-Putamen_ml"]) == rows["Left-Putamen"].soft_volume_ml
    assert {name.removesuffix("_ml") for name in scan if name.endswith("_ml")} == set(rows)
    before = (out / "template_volumes.tsv").read_bytes()
    other = tmp_path / "other" / "template.nii.gz"
    other.parent.mkdir()
    nib.save(nib.Nifti1Image(nib.load(template).get_fdata()[::-1], np.eye(4)), other)
    assert main(["segment", str(other), "--out", str(out)]) == 2
    assert "results of another scan of this name must stay" in capsys.readouterr().err
    assert (out / "template_volumes.tsv").read_bytes() == before


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert main(["models", "show"]) == 0
    assert main(["models", "verify"]) == 0
    out = capsys.readouterr().out
    assert "t1-open" in out
    assert "## Training" in out
    assert "as they should be" in out


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fibromorph.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_scanners_sidecar_is_not_replaced(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, sidecar = tmp_path / "sub1.nii.gz", tmp_path / "sub1.json"
    shutil.copy(template, scan)
    sidecar.write_text('{"EchoTime": 0.003}')
    assert main(["segment", str(scan), "--out", str(tmp_path)]) == 2
    assert "sub1.json: a JSON that fibromorph did not write must stay" in capsys.readouterr().err
    assert sidecar.read_text() == '{"EchoTime": 0.003}'


def test_regions_to_plan_for_are_named_as_tables_print_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["power", "--d", "0.5", "--regions", "Left thalamus"]) == 0
    assert "Left thalamus" in capsys.readouterr().out
    assert main(["power", "--d", "0.5", "--regions", "Left thalamos"]) == 2
    assert "Left-Thalamus" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["power", "--d", "0.5", "--out", str(tmp_path / "file" / "x.tsv")]) == 2
    assert "need a folder" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "fibromorph", "models", "show", "t1-open"]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_study_of_thickness_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    call = ["power", "--percent", "3", "--measure", "thickness"]
    assert main(call) == 0
    told = capsys.readouterr().out
    assert "Mean thickness" in told
    assert "of the cortex's thickness: bundle t1-open" in told
    assert main([*call, "--model", "t1-research", "--regions", "*-Insula"]) == 0
    assert "Left anterior insula" in capsys.readouterr().out
    assert main([*call, "--regions", "Left-Putamen"]) == 2
    assert "a region must be in the bundle" in capsys.readouterr().err


def test_results_need_a_folder(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["segment", str(template), "--out", str(tmp_path / "file" / "out")]) == 2
    assert "file: results need a folder to go into" in capsys.readouterr().err
    assert main(["power", "--d", "1", "--out", str(tmp_path / "none" / "x.tsv")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("after", [False, True])
def test_the_services_settings_come_before_or_after_what_is_done_with_keys(
    after: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\n")
    where = ["--config", str(config)]
    action = ["add", "--name", "scanner", "--days", "1"]
    assert main(["keys", *(action + where if after else where + action)]) == 0
    assert (tmp_path / "data").is_dir()
    capsys.readouterr()
    assert main(["keys", "list", *where]) == 0
    assert "live" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["fibromorph", "fibromorph.cli"])
def test_python_runs_the_package(module: str) -> None:
    call = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert fibromorph.__version__ in done.stdout
