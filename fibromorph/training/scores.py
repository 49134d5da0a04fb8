"""Scores of a validation, summed over the devices it runs on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Reduce = Callable[[Tensor], Tensor]


class DiceScores:
    """Collects the class-wise Dice of samples.

    Args:
        name: of the metric; `name` is the mean, `name/STRUCTURE` each structure's.
        structures: their names, in the order of the classes.
    """

    def __init__(self, name: str, structures: Sequence[str]) -> None:
        self.name = name
        self.structures = structures
        self._scores: list[Tensor] = []

    def add(self, dice: Tensor) -> None:
        """One sample: (classes,), background first, NaN where it has no such structure."""
        self._scores.append(dice[1:].double())

    def take(self, reduce: Reduce, device: torch.device) -> dict[str, Tensor]:
        """Means over all samples so far, which are then forgotten; empty if there are none.

        Args:
            reduce: sums a tensor over devices; called once on each of them.
            device: where that tensor has to lie.
        """
        scores = self._scores or [torch.full((len(self.structures),), torch.nan)]
        dice = torch.stack([s.to(device) for s in scores])
        self._scores = []
        # float32: not every accelerator has doubles.
        sums = torch.stack([dice.nansum(0), (~dice.isnan()).sum(0)]).float()
        total, count = reduce(sums)
        known = count > 0
        if not known.any():
            return {}
        mean = total / count
        found = zip(self.structures, mean, known, strict=True)
        each = {f"{self.name}/{n}": value for n, value, is_known in found if is_known}
        return {**each, self.name: mean[known].mean()}


class MeanScore:
    """Collects one number of each sample.

    Args:
        name: of the metric.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._scores: list[Tensor] = []

    def add(self, score: Tensor) -> None:
        """One sample's: a scalar, NaN where it has none."""
        self._scores.append(score.float())

    def take(self, reduce: Reduce, device: torch.device) -> dict[str, Tensor]:
        """The mean over all samples so far, as `DiceScores.take`."""
        own = torch.stack([s.to(device) for s in self._scores] or [torch.tensor(torch.nan)])
        self._scores = []
        known = ~own.isnan()
        total, count = reduce(torch.stack([own.nansum(), known.sum()]).to(device))
        return {self.name: total / count} if count > 0 else {}
