"""The segmentation network: a MONAI U-Net at half resolution between sub-pixel stem and head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import DynUNet
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import Tensor, nn

from fibromorph.preprocess import BRAIN_BLOCK

SUBVOXELS = 8
NO_BRAIN = 1e-6
"""Weight of every voxel besides its share of brain, so that a crop without any has statistics."""
EPSILON = 1e-5


class WhereBrainIs:
    """Shared by a network and its layers, and filled before each pass.

    Attributes:
        weights: for each level of the U-Net (batch, voxels, 1) float32, of sum 1.
    """

    # Not a list in the modules themselves: exporting to ONNX would take it for a part of the state.
    def __init__(self) -> None:
        self.weights: list[Tensor] = []


class BrainNorm(nn.Module):
    """Instance normalisation by the statistics of the brain alone.

    Where they are those of the whole box (Ulyanov et al. 2016), every answer depends on how much
    air, neck and skull the box holds beside the brain: 32 mm more of it changed volumes by up to a
    tenth. Under a mask they are the brain's own, whatever surrounds it.

    Args:
        channels: of the input; each has its own scale and shift.
        where: weights of the statistics.
        level: which of them are the input's.
    """

    def __init__(self, channels: int, where: WhereBrainIs, level: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self._where = where
        self._level = level

    def forward(self, image: Tensor) -> Tensor:
        """(batch, channels, i, j, k) -> the same shape and type."""
        # Half precision would lose the variance beside a large mean.
        with torch.autocast(image.device.type, enabled=False):
            flat = image.flatten(2).float()
            shares = self._where.weights[self._level]
            mean = flat @ shares
            if not self.training:
                # An engine may compute in bfloat16: what is centred first loses least. In training
                # that would be one more image to keep for the way back.
                centred = flat - mean
                scale = self.weight[:, None] * (centred.square() @ shares + EPSILON).rsqrt()
                normal: Tensor = centred * scale + self.bias[:, None]
                return normal.reshape(image.shape).to(image.dtype)
            variance = (flat.square() @ shares - mean.square()).clamp(min=0)
            scale = self.weight[:, None] * (variance + EPSILON).rsqrt()
            shift = self.bias[:, None] - mean * scale
        scale, shift = (part[..., None, None].to(image.dtype) for part in (scale, shift))
        return torch.addcmul(shift, image, scale)


class SegmentationNet(nn.Module):
    """A 3-D U-Net that reads and writes full resolution but computes at half of it.

    The stem folds each 2x2x2 block of voxels into channels and the head unfolds its answer again
    (Shi et al. 2016, sub-pixel convolution), so that no convolution runs at full resolution: on a
    CPU that is what a 1 mm answer costs. Structures and the side (left or right) are predicted
    apart: twins share one class, and one more channel tells the hemisphere. All normalisation is by
    the statistics of the brain, which has to be located first.

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
        self._where = WhereBrainIs()
        blocks = [self.trunk.input_block, *self.trunk.downsamples, self.trunk.bottleneck]
        for level, block in enumerate(blocks):
            self._normalise_by_brain(block, level)
        for step, block in enumerate(self.trunk.upsamples):
            self._normalise_by_brain(block, levels - 2 - step)

    def _normalise_by_brain(self, block: nn.Module, level: int) -> None:
        for parent in list(block.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.InstanceNorm3d):
                    setattr(parent, name, BrainNorm(child.num_features, self._where, level))

    def forward(self, image: Tensor, brain: Tensor) -> Tensor:
        """Logits of every class, and of 'left' in the last channel.

        Args:
            image: (batch, 1, i, j, k) normalised; i, j, k multiples of 32.
            brain: (batch, 1, i/4, j/4, k/4) share of each block of voxels that is brain, 0 to 1;
                fluid around it left out.

        Returns:
            (batch, classes + 1, i, j, k).
        """
        logits: Tensor = pixelshuffle(self.head(self.features(image, brain)), 3, 2)
        return logits

    def features(self, image: Tensor, brain: Tensor) -> Tensor:
        """As `forward`, but (batch, head_width, i/2, j/2, k/2) before the head."""
        self._where.weights = self._weights_of(brain)
        features: Tensor = self.trunk(pixelunshuffle(image, 3, 2))
        self._where.weights = []
        return features

    def _weights_of(self, brain: Tensor) -> list[Tensor]:
        """Weights of the statistics at each level, whose voxels are 2, 4, 8... of the image's."""
        weights = brain.float() + NO_BRAIN
        pyramid = [nn.functional.interpolate(weights, scale_factor=2.0), weights]
        for _ in self.trunk.upsamples[1:]:
            pyramid.append(nn.functional.avg_pool3d(pyramid[-1], 2))
        return [(level / level.sum((2, 3, 4), keepdim=True)).flatten(2).mT for level in pyramid]

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


def brain_shares(brain: Tensor) -> Tensor:
    """(batch, i, j, k) bool, brain without the fluid around it -> what `SegmentationNet` takes."""
    return nn.functional.avg_pool3d(brain.float()[:, None], BRAIN_BLOCK)


def split_subvoxels(image: Tensor) -> Tensor:
    """(batch, 2i, 2j, 2k) -> (batch, 8, i, j, k), in the order of the network's head."""
    blocks: Tensor = pixelunshuffle(image[:, None], 3, 2)
    return blocks
