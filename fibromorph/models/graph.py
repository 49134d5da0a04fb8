"""The graphs that a bundle ships: network and everything that belongs to its answer."""

from __future__ import annotations

import torch
from monai.networks.nets import UNet
from monai.networks.utils import pixelshuffle
from torch import Tensor, nn

from fibromorph.labels import LabelTable
from fibromorph.models.network import SUBVOXELS, SegmentationNet

POSTERIOR_FLOOR = 0.02
"""Posteriors below this do not count in soft volumes: over the millions of voxels far from a small
structure, even a ten-thousandth each would add up to more than the structure itself."""


class SegmentationGraph(nn.Module):
    """Image in; label ids, posterior sums and confidence out.

    The network looks twice, at the image and at its mirror image, and both answers are averaged:
    a mirrored head gives exactly the mirrored answer, so that no asymmetry is the network's own.
    All of it happens per 2x2x2 block before unfolding: no image with one channel a class ever
    leaves the graph.
    """

    ids_of: Tensor

    def __init__(self, net: SegmentationNet, table: LabelTable) -> None:
        super().__init__()
        self.net = net
        self.lateralised = [s.lateralised for s in table.structures]
        ids = [(0, 0), *((s.right_id, s.left_id) for s in table.structures)]
        self.register_buffer("ids_of", torch.tensor(ids, dtype=torch.uint8).flatten())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Segment one image.

        Args:
            image: (i, j, k) float32 normalised, multiples of 32.

        Returns:
            labels: (i, j, k) uint8 ids.
            soft_voxels: (labels,) float32 sums of posteriors, in the table's order.
            confidence: (i, j, k) uint8, the winning posterior times 255.
        """
        logits = (self._logits(image) + self._mirrored(self._logits(image.flip(0)))) / 2
        ids, soft, confidence = zip(
            *(self._answer(logits[:, n]) for n in range(SUBVOXELS)), strict=True
        )
        return _unfold(torch.stack(ids)), torch.stack(soft).sum(0), _unfold(torch.stack(confidence))

    def _logits(self, image: Tensor) -> Tensor:
        """(i, j, k) -> (classes + 1, subvoxels, i/2, j/2, k/2)."""
        features = self.net.features(image[None, None])
        logits: Tensor = self.net.head(features)[0]
        return logits.reshape(self.net.classes + 1, SUBVOXELS, *logits.shape[1:])

    def _mirrored(self, logits: Tensor) -> Tensor:
        """Logits of the mirror image as logits of the image: i reversed, left and right swapped."""
        # Along i the first four of the eight voxels of a block come before the last four.
        turned = torch.cat([logits[:, 4:], logits[:, :4]], dim=1).flip(2)
        return torch.cat([turned[:-1], -turned[-1:]])

    def _answer(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, posterior sums and confidence at one of the eight voxels of each block.

        One at a time, so that memory peaks at an eighth of what all together would need.
        """
        posterior = torch.softmax(logits[:-1], dim=0)
        side = logits[-1]
        ids = self.ids_of[posterior.argmax(0) * 2 + (side > 0).long()]
        confidence = (posterior.amax(0) * 255 + 0.5).to(torch.uint8)
        return ids, self._soft_voxels(posterior, torch.sigmoid(side)), confidence

    def _soft_voxels(self, posterior: Tensor, left: Tensor) -> Tensor:
        counted = torch.where(posterior > POSTERIOR_FLOOR, posterior, 0.0)[1:].flatten(1)
        total = counted.sum(1)
        on_left = (counted @ left.flatten()[:, None])[:, 0]
        lateral = torch.tensor(self.lateralised, device=left.device)
        twins = [i for i, is_lateral in enumerate(self.lateralised) if is_lateral]
        return torch.cat([torch.where(lateral, on_left, total), (total - on_left)[twins]])


class LocatorNet(nn.Module):
    """Where in the field of view the brain is: a small U-Net on 4 mm voxels."""

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.net = UNet(
            spatial_dims=3,
            in_channels=1,
            out_channels=1,
            channels=channels,
            strides=[2] * (len(channels) - 1),
            num_res_units=1,
            norm="instance",
        )

    def forward(self, image: Tensor) -> Tensor:
        """(batch, 1, i, j, k) normalised, multiples of 8 -> logits of 'brain', same shape."""
        logits: Tensor = self.net(image)
        return logits


class LocatorGraph(nn.Module):
    """Image in, brain probability out."""

    def __init__(self, net: LocatorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """(i, j, k) float32 normalised -> (i, j, k) uint8, probability of brain times 255."""
        probability = torch.sigmoid(self.net(image[None, None])[0, 0])
        return (probability * 255 + 0.5).to(torch.uint8)


def _unfold(blocks: Tensor) -> Tensor:
    """(8, i, j, k) -> (2i, 2j, 2k)."""
    image: Tensor = pixelshuffle(blocks[None], 3, 2)[0, 0]
    return image
