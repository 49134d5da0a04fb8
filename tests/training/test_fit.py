"""`fibromorph train` from end to end on phantom heads: fitted, recorded, resumed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from mlflow import MlflowClient
from mlflow.entities import Run

from fibromorph.errors import BundleError, ConfigError, LabelError
from fibromorph.labels import NEUROMORPHOMETRICS
from fibromorph.manifest import file_sha256
from fibromorph.models.weights import (
    learnt_from,
    network_of,
    read_weights,
    table_of_weights,
)
from fibromorph.training.checkpoints import LOCK
from fibromorph.training.fit import train
from tests.datasets.phantoms import write_label_maps, write_labelled_scans

STEPS = 4
CONFIG = """
seed_everything: 1
model:
  network: {{filters: [4, 6, 8], head_width: 8}}
  recipe:
    crops: [{{shape: [32, 32, 32]}}]
    validation_shape: [64, 64, 64]
    supervised_subvoxels: 2
    real_share: 0.5
data:
  label_maps: {folder}/maps
  held_out: 1
  batch_size: 2
  steps_per_epoch: 3
  labelled_scans: {{folder: {folder}/real, skip: [s2]}}
  validation_scans: {{folder: {folder}/real, only: [s2]}}
trainer:
  accelerator: cpu
  max_steps: {steps}
  log_every_n_steps: 1
  num_sanity_val_steps: 0
  logger:
    class_path: fibromorph.training.tracking.RunLogger
    init_args: {{experiment_name: phantom}}
  callbacks:
    - class_path: tests.training.test_fit.StopAfter
      init_args: {{steps: 2}}
    - class_path: pytorch_lightning.callbacks.EMAWeightAveraging
      init_args: {{decay: 0.5, use_buffers: false}}
    - class_path: fibromorph.training.checkpoints.SliceCheckpoint
      init_args: {{dirpath: runs, save_last: true, every_n_train_steps: 50}}
"""


class StopAfter(pl.Callback):
    """Ends a slice in the middle of an epoch, as a time limit does."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.steps


class LoseStore(pl.Callback):
    """MLflow's store breaks after the first step."""

    def on_train_batch_end(self, *_: object) -> None:
        Path("mlflow.db").write_text("no database" * 100)


@dataclass(frozen=True)
class Fitted:
    """What two slices of one run left."""

    folder: Path
    first: dict[str, object]
    last: dict[str, object]
    run: Run
    runs: int
    artifacts: Path


def _checkpoint(folder: Path) -> dict[str, object]:
    # Plain data: an untrusted checkpoint must be readable without running code.
    loaded: dict[str, object] = torch.load(folder / "runs" / "last.ckpt", weights_only=True)
    return loaded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit")
    write_label_maps(folder / "maps", 2)
    write_labelled_scans(folder / "real", ("s1", "s2"))
    (folder / "config.yaml").write_text(CONFIG.format(folder=folder, steps=STEPS))
    return folder


@pytest.fixture(scope="module")
def fitted(folder: Path) -> Fitted:
    """A first slice of two steps, and a second one to the end."""
    before = Path.cwd()
    first: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        os.chdir(folder)
        try:
            for _ in range(2):
                train(["--config", "config.yaml", "--ckpt_path", "last"])
                first = first or _checkpoint(folder)
        finally:
            os.chdir(before)
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("phantom")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    artifacts = folder / "mlruns" / experiment.experiment_id / runs[0].info.run_id / "artifacts"
    return Fitted(folder, first, _checkpoint(folder), runs[0], len(runs), artifacts)


def _rate(checkpoint: dict[str, object]) -> float:
    return float(checkpoint["optimizer_states"][0]["param_groups"][0]["lr"])  # type: ignore[index]


def test_a_slice_ends_where_it_was_stopped_and_the_next_goes_on(fitted: Fitted) -> None:
    assert fitted.first["global_step"] == 2
    assert fitted.last["global_step"] == STEPS
    assert _rate(fitted.first) > _rate(fitted.last)
    assert _rate(fitted.last) < 1e-5  # the cosine ends at the last step of the whole run
    assert (fitted.folder / "runs" / "last.ckpt").is_file()
    assert {path.name for path in (fitted.folder / "runs").iterdir()} == {"last.ckpt", LOCK}


def test_both_slices_are_one_run_in_mlflow(fitted: Fitted) -> None:
    assert fitted.runs == 1
    assert fitted.run.info.status == "FINISHED"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d runs", fitted.run.info.run_name)
    client = MlflowClient(f"sqlite:///{fitted.folder}/mlflow.db")
    history = client.get_metric_history(fitted.run.info.run_id, "loss")
    assert sorted(m.step for m in history) == [0, 1, 2, 3]


def test_a_job_goes_on_in_the_folder_of_its_configuration(tmp_path: Path) -> None:
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nexec "$@"\n')
    srun.chmod(0o755)
    settings = {
        "CONFIG": "configs/finetune.yaml",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_NTASKS_PER_NODE": "4",
    }
    said = subprocess.run(
        ["bash", "configs/slurm-train.sh", "maps", "--trainer.max_steps", "9"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "FIBROMORPH": "echo", **settings},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.startswith("train --config configs/finetune.yaml --ckpt_path last")
    assert said.endswith("--trainer.max_steps 9\n")


def test_parameters_of_all_parts_are_recorded(fitted: Fitted) -> None:
    params = fitted.run.data.params
    assert params["recipe/learning_rate"] == "0.001"
    assert params["synthesis/flip"] == "0.5"
    assert params["batch_size"] == "2"
    assert params["trainer/max_steps"] == str(STEPS)


def test_losses_and_dice_of_structures_are_recorded(fitted: Fitted) -> None:
    metrics = fitted.run.data.metrics
    assert {"loss", "loss_structure", "loss_side", "dice", "real_dice"} <= set(metrics)
    assert 0 <= metrics["side_accuracy"] <= 1
    assert 0 <= metrics["dice/Hippocampus"] <= 1
    assert 0 <= metrics["real_dice/Thalamus"] <= 1
    assert "real_dice/CSF" not in metrics  # the reference does not draw it


def test_the_learning_rate_and_the_pace_are_recorded(fitted: Fitted) -> None:
    client = MlflowClient(f"sqlite:///{fitted.folder}/mlflow.db")
    rates, paces = (
        {m.step: m.value for m in client.get_metric_history(fitted.run.info.run_id, name)}
        for name in ("learning_rate", "seconds_per_step")
    )
    assert rates[0] == pytest.approx(5e-5)
    assert rates[1] == pytest.approx(1e-3)
    assert rates[1] > rates[2] > rates[3] > 0
    assert set(paces) == set(rates) == {0, 1, 2, 3}
    assert min(paces.values()) > 0


def test_hashes_pictures_configuration_and_checkpoint_are_kept(fitted: Fitted) -> None:
    hashes = json.loads((fitted.artifacts / "data_hashes" / "step-000000.json").read_text())
    assert list(hashes["label_maps"]) == ["head_1.nii.gz"]
    assert len(fitted.run.data.tags["data_sha256"]) == 64
    assert "ckpt_path: null" in (fitted.artifacts / "config.yaml").read_text()
    later = (fitted.artifacts / "config" / "step-000002.yaml").read_text()
    assert "ckpt_path: runs/last.ckpt" in later
    for part in ("samples", "validation"):
        pictures = list((fitted.artifacts / part).glob("*.png"))
        assert pictures
        assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)
    kept = torch.load(fitted.artifacts / "checkpoint" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == STEPS


def test_the_checkpoint_becomes_a_network_again(fitted: Fitted) -> None:
    net = network_of(read_weights(fitted.folder / "runs" / "last.ckpt"))
    with torch.inference_mode():
        found = net(torch.zeros(1, 1, 32, 32, 32), torch.ones(1, 1, 8, 8, 8))
    assert found.shape == (1, 20, 32, 32, 32)


def test_a_checkpoint_knows_what_it_has_learnt_from(fitted: Fitted) -> None:
    found = learnt_from(fitted.folder / "runs" / "last.ckpt")
    assert set(found) == {"head_1.nii.gz", "s1", "s1 labels"}
    assert found["s1"] == file_sha256(fitted.folder / "real" / "s1_SS.nii.gz")


def test_the_locator_is_trained_by_the_same_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    train(
        [
            *("locator", "--data.label_maps", "maps", "--data.held_out", "0"),
            *("--data.steps_per_epoch", "1", "--trainer.max_steps", "1"),
            *("--trainer.accelerator", "cpu", "--trainer.logger", "false"),
            *("--trainer.default_root_dir", "locator"),
        ]
    )
    (checkpoint,) = (folder / "locator").rglob("*.ckpt")
    assert any(name.startswith("net.") for name in read_weights(checkpoint))


@pytest.mark.parametrize(
    ("arguments", "error", "say"),
    [
        (["--model.recipe.no_such", "1"], ConfigError, "no_such"),
        (["--model.recipe.real_share", "2"], ConfigError, "real_share"),
        (["--model.synthesis.flip", "2"], ConfigError, "flip"),
        (["--data.label_maps", "nowhere"], LabelError, "nowhere"),
        (["--ckpt_path", "nowhere.ckpt"], ConfigError, "nowhere.ckpt"),
        ([], ConfigError, "checkpoints of one run"),
        (["--ckpt_path", "elsewhere/last.ckpt"], ConfigError, "folder of its checkpoints"),
        (["--ckpt_path", "last", "--trainer.callbacks", "null"], ConfigError, "dirpath"),
        (
            ["--ckpt_path", "runs/last.ckpt", "--model.recipe.warmup_steps", "7"],
            ConfigError,
            "model.recipe.warmup_steps",
        ),
        (
            ["--data.validation_scans.only", "[s1]", "--ckpt_path", "runs/last.ckpt"],
            ConfigError,
            "s1",
        ),
        (["--model.initial_weights", "nowhere.ckpt"], BundleError, "nowhere.ckpt"),
        (["--trainer.max_steps", "-1", "--trainer.max_epochs", "-1"], ConfigError, "max_steps"),
        (["--model.recipe.learning_rat", "1"], ConfigError, "learning_rat "),
        (["--trainer.max_time", "3 hours"], ConfigError, "3 hours"),
        (["--trainer.accelerator", "gpu", "--trainer.devices", "99"], ConfigError, "gpu"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    fitted: Fitted,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    error: type[Exception],
    say: str,
) -> None:
    monkeypatch.chdir(fitted.folder)
    Path("elsewhere").mkdir(exist_ok=True)
    shutil.copy("runs/last.ckpt", "elsewhere")
    with pytest.raises(error, match=say) as caught:
        train(["--config", "config.yaml", "--trainer.logger", "false", *arguments])
    assert "\n" not in str(caught.value)


HOLDING = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


def test_a_folder_is_one_jobs_until_that_has_ended_or_was_killed(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fitted.folder)
    again = ["--config", "config.yaml", "--trainer.logger", "false", "--ckpt_path", "last"]
    other = [sys.executable, "-c", HOLDING, f"runs/{LOCK}"]
    with subprocess.Popen(other, stdout=subprocess.PIPE) as job:
        try:
            assert job.stdout is not None
            assert job.stdout.readline() == b"held\n"
            with pytest.raises(ConfigError, match="runs: another job is training in this folder"):
                train(again)
        finally:
            job.kill()
    train(again)


def test_what_is_refused_leaves_mlflow_as_it_was(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{fitted.folder}/mlflow.db")
    monkeypatch.chdir(fitted.folder)
    client = MlflowClient(f"sqlite:///{fitted.folder}/mlflow.db")
    before = client.search_runs([fitted.run.info.experiment_id])
    scan_in_both = ["--data.validation_scans.only", "[s1]"]
    for wrong in (
        [],
        ["--ckpt_path", "last", *scan_in_both],
        ["--ckpt_path", "last", "--trainer.max_steps", "-1", "--trainer.max_epochs", "-1"],
        ["--trainer.logger.init_args.experiment_name", "another", *scan_in_both],
    ):
        with pytest.raises(ConfigError):
            train(["--config", "config.yaml", *wrong])
    after = client.search_runs([fitted.run.info.experiment_id])
    assert [run.info.run_id for run in after] == [run.info.run_id for run in before]
    assert after[0].info.status == "FINISHED"
    assert after[0].info.end_time == before[0].info.end_time
    assert client.get_experiment_by_name("another") is None


def test_an_edited_configuration_does_not_go_on_as_if_it_were_not(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fitted.folder)
    text = (fitted.folder / "config.yaml").read_text()
    for line, edited, say in (
        ("real_share: 0.5", "real_share: 0.25", r"real_share.*checkpoint, 0\.5 \(found: 0\.25\)"),
        ("shape: [32, 32, 32]", "shape: [64, 32, 32]", r"model\.recipe\.crops"),
    ):
        Path("edited.yaml").write_text(text.replace(line, edited))
        with pytest.raises(ConfigError, match=say):
            train(["--config", "edited.yaml", "--trainer.logger", "false", "--ckpt_path", "last"])


def test_regions_are_learnt_from_scans_warped_where_training_runs(
    fitted: Fitted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From weights that know the cortex as a whole to a network that knows its regions."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    start, config = fitted.folder / "runs" / "last.ckpt", fitted.folder / "config.yaml"
    changed = {
        "model.protocol": "neuromorphometrics",
        "model.initial_weights": str(start),
        "model.recipe.real_share": "0",
        "model.recipe.warped_share": "0.5",
        "model.recipe.dressed_share": "0.5",
    }
    train(["--config", str(config), *(f"--{key}={value}" for key, value in changed.items())])
    pace = r"learning rate \d\.\d\de-\d\d, \d+\.\d\d s a step, 0:\d\d:\d\d left"
    assert re.search(rf"^step 2/4, loss \d\.\d+, {pace}$", capsys.readouterr().out, re.MULTILINE)
    state = read_weights(tmp_path / "runs" / "last.ckpt")
    assert table_of_weights(state) is NEUROMORPHOMETRICS
    assert network_of(state).classes == len(NEUROMORPHOMETRICS.structures) + 1

    # It goes on where its folder has moved to, without what it began with.
    (tmp_path / "runs").rename(tmp_path / "moved")
    moved = tmp_path / "moved.yaml"
    moved.write_text(config.read_text().replace("dirpath: runs", "dirpath: moved"))
    del changed["model.initial_weights"]
    options = [f"--{key}={value}" for key, value in changed.items()]
    train(["--config", str(moved), *options, "--ckpt_path", "moved/last.ckpt"])
    # Validated in between.
    assert re.search(r"^step 4/4, .* 0:00:00 left, dice 0\.\d+", capsys.readouterr().out, re.M)
    (last,) = (tmp_path / "moved").glob("*.ckpt")
    checkpoint = torch.load(last, weights_only=True)
    assert checkpoint["global_step"] == STEPS
    assert checkpoint["hyper_parameters"]["initial_weights"] == str(start)
    (later,) = tmp_path.glob("mlruns/*/*/artifacts/config/step-000002.yaml")
    assert f"initial_weights: {start}" in later.read_text()
    (run,) = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["1"])
    assert not [tag for tag in run.data.tags if tag.startswith("changed/")]


def test_a_store_that_is_none_is_refused_at_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.db").write_text("no database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"mlflow\.db: MLflow must be able to use its store"):
        train(["--config", str(folder / "config.yaml")])


def test_a_store_that_is_lost_later_ends_no_training(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    lose = ["--trainer.callbacks+", "tests.training.test_fit.LoseStore"]
    with pytest.warns(UserWarning, match="MLflow") as warned:
        train(["--config", str(folder / "config.yaml"), *lose])
    assert _checkpoint(tmp_path)["global_step"] == 2
    said = [str(w.message) for w in warned if "mlflow.db" in str(w.message)]
    assert len(said) == 2
    assert "training goes on" in said[0]
    assert re.search(r"could not be used for \d+ of \d+ entries", said[1])
