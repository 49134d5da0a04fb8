"""Settings of a run: their limits, and how they are recorded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fibromorph.errors import ConfigError
from fibromorph.labels import FREESURFER
from fibromorph.models.network import SegmentationNet
from fibromorph.training.checkpoints import SliceCheckpoint
from fibromorph.training.locator import LocatorModule
from fibromorph.training.optimiser import Optimiser, make_optimiser
from fibromorph.training.recipe import Crop, NetworkSettings, Recipe, plain
from fibromorph.training.record import combined_hash
from fibromorph.training.schedule import adopt_older_schedules, with_schedule
from fibromorph.training.scores import DiceScores, MeanScore
from fibromorph.training.store import require_store, shown, tracking_uri
from fibromorph.training.tracking import flatten


def test_settings_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="multiples of 32"):
        Recipe(crops=(Crop((100, 128, 128)),))
    with pytest.raises(ConfigError, match="supervised_subvoxels"):
        Recipe(supervised_subvoxels=9)
    with pytest.raises(ConfigError, match="real_share"):
        Recipe(real_share=1.2)
    for filters in ((32, 32, 64), (32, 64), (8, 16, 24, 32, 40, 48)):
        with pytest.raises(ConfigError, match=r"network\.filters"):
            NetworkSettings(filters=filters)
    for crops in ((), (Crop((64, 64, 64), 0.0),)):
        with pytest.raises(ConfigError, match=r"recipe\.crops"):
            Recipe(crops=crops)
    with pytest.raises(ConfigError, match="random_contrast_end"):
        Recipe(random_contrast_end=2.0)
    for rate in (-1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="learning_rate"):
            Recipe(learning_rate=rate)
        with pytest.raises(ConfigError, match="learning_rate"):
            LocatorModule(learning_rate=rate)
    for rarity in (-3.0, 50.0):
        with pytest.raises(ConfigError, match="rarity_start"):
            Recipe(rarity_start=rarity)
    with pytest.raises(ConfigError, match="warmup_steps"):
        Recipe(warmup_steps=-5)


def test_the_largest_crop_holds_all() -> None:
    recipe = Recipe(crops=(Crop((128, 160, 96)), Crop((160, 64, 128))))
    assert recipe.largest_crop == (160, 160, 128)


def test_settings_become_plain_data() -> None:
    found = plain({"recipe": Recipe(), "path": Path("a") / "b"})
    assert found["recipe"]["crops"] == [{"shape": [128, 128, 128], "weight": 1.0}]
    assert flatten(found)["recipe/warmup_steps"] == "50"
    assert flatten({"_instantiator": 1, "a": {"b": None}}) == {"a/b": "None"}


def test_the_learning_rate_rises_and_then_falls_to_zero() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    config: Any = with_schedule(optimiser, total=100, warmup=10)
    schedule = config["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(100):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 10
    assert rates[55] == pytest.approx(0.5, abs=0.01)
    assert rates[-1] < 1e-3


def test_a_run_with_a_later_end_goes_on_along_that_ones_curve() -> None:
    rates = {}
    for ends in ((24,), (12, 24)):
        optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        state: dict[str, Any] | None = None
        for end in ends:
            config: Any = with_schedule(optimiser, total=end)
            schedule = config["lr_scheduler"]["scheduler"]
            if state is not None:
                schedule.load_state_dict(state)
            while schedule.last_epoch < end:
                optimiser.step()
                schedule.step()
                rates[ends, schedule.last_epoch] = optimiser.param_groups[0]["lr"]
            state = schedule.state_dict()
    for step in range(13, 25):
        assert rates[(12, 24), step] == pytest.approx(rates[(24,), step])


def test_a_run_goes_on_from_a_checkpoint_with_the_schedule_of_before() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    parts: list[Any] = [torch.optim.lr_scheduler.ConstantLR(optimiser, 1.0) for _ in range(2)]
    before = torch.optim.lr_scheduler.SequentialLR(optimiser, parts, [10])
    for _ in range(30):
        optimiser.step()
        before.step()
    checkpoint = {"lr_schedulers": [before.state_dict()]}
    adopt_older_schedules(checkpoint)
    config: Any = with_schedule(optimiser, total=60)
    schedule = config["lr_scheduler"]["scheduler"]
    schedule.load_state_dict(checkpoint["lr_schedulers"][0])
    optimiser.step()
    schedule.step()
    assert schedule.last_epoch == 31
    assert optimiser.param_groups[0]["lr"] == pytest.approx((1 + math.cos(math.pi * 31 / 60)) / 2)


def test_muon_turns_filters_and_leaves_norms_and_heads_to_adamw() -> None:
    net = SegmentationNet(4, (4, 6, 8), 8)
    optimiser = make_optimiser(net, "muon", 1e-3, 1e-4)
    before = {name: weight.clone() for name, weight in net.named_parameters()}
    image, brain = torch.rand(1, 1, 32, 32, 32), torch.ones(1, 1, 8, 8, 8)
    features, outline = net.features_and_outline(image, brain)
    logits = net.subvoxel_logits(features, [0, 3])
    torch.autograd.backward([logits.square().mean() + outline.square().mean()])
    optimiser.step()
    by_muon = {id(weight) for weight in optimiser.param_groups[0]["params"]}
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(before)
    for name, weight in net.named_parameters():
        assert (id(weight) in by_muon) == (
            weight.ndim == 5
            and not name.startswith(("head.", "outlining.", "trunk.input_block.conv1"))
        )
        if id(weight) in by_muon:
            # All directions move about equally far: an orthogonal matrix, scaled.
            spread = torch.linalg.svdvals((weight - before[name]).detach().flatten(1))
            assert spread.min() > 0.3 * spread.max() > 0


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_head_that_outlines_the_brain_learns_faster(name: Optimiser) -> None:
    net = SegmentationNet(4, (4, 6, 8), 8)
    optimiser = make_optimiser(net, name, 1e-3, 1e-4)
    rates = {id(w): group["lr"] for group in optimiser.param_groups for w in group["params"]}
    for path, weight in net.named_parameters():
        outlines = path.startswith("outlining.")
        assert rates[id(weight)] == pytest.approx(1e-2 if outlines else 1e-3)


def test_dice_is_averaged_over_samples_and_devices() -> None:
    count = len(FREESURFER.structures) + 1
    scores = DiceScores("dice", FREESURFER.names)
    for value in (0.4, 0.8):
        dice = torch.full((count,), math.nan)
        dice[:3] = torch.tensor([1.0, value, 0.5])
        scores.add(dice)
    found = scores.take(lambda sums: 2 * sums, torch.device("cpu"))
    assert float(found["dice/Cerebral-White-Matter"]) == pytest.approx(0.6)
    assert float(found["dice"]) == pytest.approx(0.55)
    assert set(found) == {"dice", "dice/Cerebral-White-Matter", "dice/Cerebral-Cortex"}
    assert scores.take(lambda sums: sums, torch.device("cpu")) == {}


def test_a_score_is_averaged_over_samples_and_devices_that_have_it() -> None:
    score = MeanScore("side_accuracy")
    for value in (0.5, 1.0, math.nan):
        score.add(torch.tensor(value))
    found = score.take(lambda sums: 2 * sums, torch.device("cpu"))
    assert {name: float(value) for name, value in found.items()} == {"side_accuracy": 0.75}
    assert score.take(lambda sums: sums, torch.device("cpu")) == {}


def test_the_tracking_store_is_embedded_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert tracking_uri() == "http://tracking:5000"


@pytest.mark.parametrize("uri", ["http://me:secret@127.0.0.1:9", "nosuch://me:secret@host/db"])
def test_a_store_out_of_reach_is_named_without_its_password(uri: str) -> None:
    with pytest.raises(ConfigError, match="store") as caught:
        require_store(uri)
    assert uri.partition("@")[2] in str(caught.value)
    assert "secret" not in str(caught.value)
    assert shown("sqlite:////home/a@b/mlflow.db") == "sqlite:////home/a@b/mlflow.db"


def test_the_combined_hash_does_not_depend_on_order() -> None:
    one = {"label_maps": {"a": "1", "b": "2"}, "labelled_scans": {}}
    other = {"labelled_scans": {}, "label_maps": {"b": "2", "a": "1"}}
    assert combined_hash(one) == combined_hash(other)
    assert combined_hash(one) != combined_hash({"label_maps": {"a": "1", "b": "3"}})


def test_a_time_limit_counts_from_the_start_of_each_slice(tmp_path: Path) -> None:
    callback = SliceCheckpoint(dirpath=tmp_path)
    checkpoint = {"callbacks": {"Timer": {"time_elapsed": {"train": 3600.0}}, "Other": {}}}
    callback.on_load_checkpoint(None, None, checkpoint)  # type: ignore[arg-type]
    assert checkpoint["callbacks"] == {"Other": {}}
