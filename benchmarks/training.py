# ruff: noqa: ARG002 (Lightning's signatures)
"""Training steps per second, where their time goes, and how busy the device is.

    python -m benchmarks.training [--maps DIR] [--batch N] [--crop I J K] [--steps N]

Three fits of one module: at full speed; with a wait after each part, so that its seconds are its
own; and, on a GPU, under the profiler, which says when kernels ran. Compare ratios of one run.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from fibromorph.datasets.samples import Sample
from fibromorph.grid import Shape3
from fibromorph.training.data import LabelMapData
from fibromorph.training.module import Crop, Recipe, SegmentationModule
from fibromorph.training.slots import Slot

WARM_UP = 5
"""Steps that are not counted: kernels are chosen and memory is reserved in them."""


class Timed(SegmentationModule):
    """Notes the seconds of making samples."""

    watch: Stopwatch | None = None

    def draw_sample(self, slot: Slot, seed: int, shape: Shape3) -> Sample:
        sample = super().draw_sample(slot, seed, shape)
        if self.watch is not None:
            self.watch.lap("synthesis")
        return sample


class Stopwatch(pl.Callback):
    """Seconds of the steps after the first few.

    Args:
        wait: wait for the device after each part of a step, so that the part's seconds are its own.
    """

    def __init__(self, wait: bool = False) -> None:
        self.wait = wait
        self.seconds: dict[str, float] = defaultdict(float)
        self.steps = 0
        self.total = 0.0
        self.processor = 0.0
        self._last = 0.0
        self._started = (0.0, 0.0)

    def lap(self, part: str) -> None:
        """Count what passed since the last lap to a part."""
        if self.wait:
            synchronise()
            now = time.perf_counter()
            self.seconds[part] += now - self._last
            self._last = now

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        if trainer.global_step == WARM_UP:
            synchronise()
            self.seconds.clear()
            self._last = time.perf_counter()
            self._started = self._last, time.process_time()
        self.lap("loop")

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        self.lap("network and loss")

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.lap("backward")

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        self.lap("optimiser")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        synchronise()
        wall, processor = self._started
        self.total = time.perf_counter() - wall
        self.processor = time.process_time() - processor
        self.steps = trainer.global_step - WARM_UP


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def fit(module: Timed, data: LabelMapData, steps: int, wait: bool = False) -> Stopwatch:
    """Train for some steps after the warm-up."""
    watch = Stopwatch(wait)
    module.watch = watch if wait else None
    trainer = pl.Trainer(
        max_steps=WARM_UP + steps,
        accelerator="auto",
        precision="bf16-mixed",
        benchmark=True,
        gradient_clip_val=5.0,
        callbacks=[watch],
        logger=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    return watch


def busy_seconds(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals, in their unit."""
    total, reached = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, reached))
        reached = max(reached, stop)
    return total


def profile(module: Timed, data: LabelMapData, steps: int, rows: int) -> None:
    """Share of the steps in which a kernel ran, and the kernels that took longest."""
    from torch.profiler import ProfilerActivity

    with torch.profiler.profile(
        activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True
    ) as profiler:
        fit(module, data, steps)
    kernels = [
        (e.time_range.start, e.time_range.end)
        for e in profiler.events() or []
        # Named stretches of Python code count as the device's, too.
        if e.device_type.name == "CUDA" and not e.is_user_annotation
    ]
    starts = sorted(start for start, _ in kernels)
    # The warm-up's share of the kernels, and what lies before, is not looked at.
    begin = starts[len(starts) * WARM_UP // (WARM_UP + steps)]
    counted = [(a, b) for a, b in kernels if a >= begin]
    span = max(b for _, b in counted) - begin
    print(f"kernels ran during {busy_seconds(counted) / span:.0%} of the steps under the profiler")
    if rows:
        averages = profiler.key_averages()
        print(averages.table(sort_by="self_device_time_total", row_limit=rows))


def report(module: Timed, data: LabelMapData, steps: int, kernels: int = 0) -> float:
    """Print everything; returns steps per second."""
    fast = fit(module, data, steps)
    rate = fast.steps / fast.total
    batch = data.batch_size
    print(f"{rate:.2f} steps and {rate * batch:.2f} samples a second, batch {batch}")
    slow = fit(module, data, steps, wait=True)
    for part, seconds in sorted(slow.seconds.items(), key=lambda item: -item[1]):
        print(f"{part:<18} {1e3 * seconds / slow.steps:9.1f} ms a step")
    if torch.cuda.is_available():
        print(f"peak of the GPU's memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")
        print(f"waiting after each part: {slow.steps / slow.total / rate:.0%} of the speed")
        profile(module, data, steps, kernels)
    else:
        threads = torch.get_num_threads()
        print(f"{threads} threads busy during {fast.processor / fast.total / threads:.0%} of it")
    return rate


def made_up_head() -> NDArray[np.int16]:
    """Nested ellipsoids with FreeSurfer ids: scalp, skull, fluid, cortex, white matter."""
    shape = (180, 210, 190)
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    scaled = [(a - n / 2) / (n / 2) for a, n in zip(axes, shape, strict=True)]
    radius = np.sqrt(sum(s**2 for s in scaled))
    ids = np.zeros(shape, np.int16)
    for limit, right, left in (
        (0.95, 511, 511),
        (0.9, 515, 515),
        (0.85, 24, 24),
        (0.8, 42, 3),
        (0.7, 41, 2),
        (0.25, 49, 10),
    ):
        side = np.broadcast_to(np.where(scaled[0] > 0, right, left), shape)
        ids = np.where(radius < limit, side, ids).astype(np.int16)
    return ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=Path, help="folder of label maps; default: a made-up head")
    parser.add_argument("--batch", type=int, default=0, help="default: 4 on a GPU, else 1")
    parser.add_argument("--crop", type=int, nargs=3, default=(128, 128, 128))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--subvoxels", type=int, default=2)
    parser.add_argument("--compiled", action="store_true", help="recipe.compiled")
    parser.add_argument("--kernels", type=int, default=0, help="how many of a GPU's to list")
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    gpu = torch.cuda.is_available()
    print(torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads")
    i, j, k = options.crop
    recipe = Recipe(
        crops=(Crop((i, j, k)),),
        optimiser="muon",
        supervised_subvoxels=options.subvoxels,
        compiled=options.compiled,
    )
    with tempfile.TemporaryDirectory() as folder:
        maps = options.maps
        if maps is None:
            maps = Path(folder)
            nib.save(nib.Nifti1Image(made_up_head(), np.eye(4)), maps / "head.nii.gz")
        batch = options.batch or (4 if gpu else 1)
        data = LabelMapData(maps, held_out=0, batch_size=batch)
        report(Timed(recipe=recipe), data, options.steps, options.kernels)


if __name__ == "__main__":
    main()
