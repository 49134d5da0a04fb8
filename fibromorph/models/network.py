"""The segmentation network: a MONAI U-Net at half resolution between sub-pixel stem and head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import DynUNet
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import Tensor, nn

SUBVOXELS = 8


class SegmentationNet(nn.Module):
    """A 3-D U-Net that reads and writes full resolution but computes at half of it.

    The stem folds each 2x2x2 block of voxels into channels and the head unfolds its answer again
    (Shi et al. 2016, sub-pixel convolution), so that no convolution runs at full resolution: on a
    CPU that is what a 1 mm answer costs. Structures and the side (left or right) are predicted
    apart: twins share one class, and one more channel tells the hemisphere.

    Args:
        classes: structures plus background.
        filters: channels of each level of the U-Net, finest first.
        head_width: channels of the head's hidden layer.
    """

    def __init__(
        self,
        classes: int = 19,
        filters: Sequence[int] = (32, 64, 96, 128, 160),
        head_width: int = 64,
    ) -> None:
        super().__init__()
        self.classes = classes
        levels = len(filters)
        self.trunk = DynUNet(
            spatial_dims=3,
            in_channels=SUBVOXELS,
            out_channels=head_width,
            kernel_size=[3] * levels,
            strides=[1, *[2] * (levels - 1)],
            upsample_kernel_size=[2] * (levels - 1),
            filters=list(filters),
            norm_name=("instance", {"affine": True}),
        )
        self.head = nn.Sequential(
            nn.LeakyReLU(0.01), nn.Conv3d(head_width, (classes + 1) * SUBVOXELS, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every class, and of 'left' in the last channel.

        Args:
            image: (batch, 1, i, j, k) normalised; i, j, k multiples of 32.

        Returns:
            (batch, classes + 1, i, j, k).
        """
        logits: Tensor = pixelshuffle(self.head(self.features(image)), 3, 2)
        return logits

    def features(self, image: Tensor) -> Tensor:
        """(batch, 1, i, j, k) -> (batch, head_width, i/2, j/2, k/2)."""
        features: Tensor = self.trunk(pixelunshuffle(image, 3, 2))
        return features

    def subvoxel_logits(self, features: Tensor, subvoxels: Sequence[int]) -> Tensor:
        """Logits at some of the eight voxels of each 2x2x2 block, without computing the others.

        Args:
            features: (batch, head_width, i, j, k) from `features`.
            subvoxels: which of the eight, as numbered by `split_subvoxels`.

        Returns:
            (batch, classes + 1, len(subvoxels), i, j, k).
        """
        conv = self.head[1]
        assert isinstance(conv, nn.Conv3d)
        assert conv.bias is not None
        width = self.classes + 1
        chosen = torch.as_tensor(list(subvoxels), device=features.device)
        weight = conv.weight.reshape(width, SUBVOXELS, -1, 1, 1, 1)[:, chosen].flatten(0, 1)
        bias = conv.bias.reshape(width, SUBVOXELS)[:, chosen].flatten()
        logits = nn.functional.conv3d(self.head[0](features), weight, bias)
        return logits.reshape(len(logits), width, len(subvoxels), *logits.shape[2:])


def split_subvoxels(image: Tensor) -> Tensor:
    """(batch, 2i, 2j, 2k) -> (batch, 8, i, j, k), in the order of the network's head."""
    blocks: Tensor = pixelunshuffle(image[:, None], 3, 2)
    return blocks
