"""The segmentation network: a MONAI U-Net at half resolution between sub-pixel stem and head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import torch
from monai.networks.nets import DynUNet
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import Tensor, nn

from fibromorph.located import BRAIN_BLOCK

SUBVOXELS = 8
NO_BRAIN = 1e-6
"""Weight of every voxel besides its share of brain, so that a crop without any has statistics."""
EPSILON = 1e-5
BINOMIAL = torch.tensor([0.25, 0.5, 0.25])
MOST_KERNELS = 64
"""After as many, PyTorch would silently go on without compiling."""


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

    Attributes:
        compiled: train with kernels that PyTorch writes for it (`SegmentationNet.compile_norms`).
    """

    def __init__(self, channels: int, where: WhereBrainIs, level: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self._where = where
        self._level = level
        self.compiled = False

    def forward(self, image: Tensor) -> Tensor:
        """(batch, channels, i, j, k) -> the same shape and type."""
        shares = self._where.weights[self._level]
        # Half precision would lose the variance beside a large mean.
        with torch.autocast(image.device.type, enabled=False):
            if self.training:
                scaled = _compiled_scaled() if self.compiled else _scaled
                return scaled(image, shares, self.weight, self.bias)
            # An engine may compute in bfloat16: what is centred first loses least. In training
            # that would be one more image to keep for the way back.
            flat = image.flatten(2).float()
            centred = flat - _sums(flat, shares)
            scale = self.weight[:, None] * (_sums(centred.square(), shares) + EPSILON).rsqrt()
            normal: Tensor = centred * scale + self.bias[:, None]
            return normal.reshape(image.shape).to(image.dtype)


def _scaled(image: Tensor, shares: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Scale and shift each channel to mean `bias` and standard deviation `weight` in the brain."""
    flat = image.flatten(2).float()
    mean = _sums(flat, shares)
    variance = (_sums(flat.square(), shares) - mean.square()).clamp(min=0)
    scale = weight[:, None] * (variance + EPSILON).rsqrt()
    shift = bias[:, None] - mean * scale
    scale, shift = (part[..., None, None].to(image.dtype) for part in (scale, shift))
    return torch.addcmul(shift, image, scale)


@cache
def _compiled_scaled() -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    # One kernel for each level of the network and shape of its crops.
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, MOST_KERNELS)
    compiled: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = torch.compile(
        _scaled, dynamic=False
    )
    return compiled


def _sums(flat: Tensor, shares: Tensor) -> Tensor:
    """(batch, channels, voxels) weighted by (batch, voxels, 1) -> (batch, channels, 1)."""
    # A GPU's matrix products are made for wide outputs; a CPU's stream through a narrow one.
    return (flat * shares.mT).sum(-1, keepdim=True) if flat.is_cuda else flat @ shares


class Smooth(nn.Module):
    """A convolution that halves or doubles the resolution, smoothed by a binomial filter.

    A stride lets details of its input alias into its output, so that an answer depends on where the
    coarser voxels fall on the head; a transposed convolution leaves steps between blocks of voxels.
    Smoothed by (1, 2, 1) / 4 along each axis of the finer grid, neither is left (Zhang 2019, Making
    convolutional networks shift-invariant again). Filters commute: it is the kernel that is
    smoothed, and no image more is computed.

    Args:
        conv: `Conv3d` of kernel 3 or `ConvTranspose3d` of kernel 2, of stride 2 and without bias.

    Attributes:
        blur: (numbers of the kernel, numbers of the smoothed one), which is two longer each way.
            Kept with the weights: by it they tell that they belong to smooth layers.
    """

    blur: Tensor

    def __init__(self, conv: nn.Conv3d | nn.ConvTranspose3d) -> None:
        super().__init__()
        self.weight = conv.weight
        self._length = conv.kernel_size[0] + 2
        self._up = isinstance(conv, nn.ConvTranspose3d)
        along = torch.zeros(conv.kernel_size[0], self._length)
        for start, row in enumerate(along):
            row[start : start + 3] = BINOMIAL
        self.register_buffer("blur", torch.kron(along, torch.kron(along, along)))

    def forward(self, image: Tensor) -> Tensor:
        """(batch, in, i, j, k) -> (batch, out, i, j, k), of half or twice the lengths."""
        out_in, kernel = self.weight.shape[:2], [self._length] * 3
        smooth = (self.weight.flatten(2) @ self.blur).reshape(*out_in, *kernel)
        if self._up:
            return nn.functional.conv_transpose3d(image, smooth, stride=2, padding=1)
        return nn.functional.conv3d(image, smooth, stride=2, padding=self._length // 2)


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
        smooth: halve and double the resolution without aliasing, see `Smooth`.
        outlines: has a second, small head that tells brain from what surrounds it, see `outline`.
    """

    def __init__(
        self,
        classes: int = 19,
        filters: Sequence[int] = (32, 64, 96, 128, 160),
        head_width: int = 64,
        smooth: bool = True,
        outlines: bool = True,
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
        self.outlining = _small_head(filters[1]) if outlines else None
        self._where = WhereBrainIs()
        blocks = [self.trunk.input_block, *self.trunk.downsamples, self.trunk.bottleneck]
        for level, block in enumerate(blocks):
            self._normalise_by_brain(block, level)
        for step, block in enumerate(self.trunk.upsamples):
            self._normalise_by_brain(block, levels - 2 - step)
        if smooth:
            for block in blocks[1:]:
                block.conv1.conv = Smooth(block.conv1.conv)
            for block in self.trunk.upsamples:
                block.transp_conv.conv = Smooth(block.transp_conv.conv)

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
        with self._statistics_inside(brain):
            return self._finished(*self._begun(image))

    def outline(self, image: Tensor, brain: Tensor) -> Tensor:
        """Logits of the share of brain, fluid left out, of each 4x4x4 block of voxels.

        They are told before the U-Net is back at its finest level, for half of an answer's price.

        Args:
            image, brain: see `forward`.

        Returns:
            (batch, 1, i/4, j/4, k/4).
        """
        with self._statistics_inside(brain):
            return self._outlined(self._begun(image)[0])

    def features_and_outline(self, image: Tensor, brain: Tensor) -> tuple[Tensor, Tensor]:
        """Both at once; nothing but the second head itself learns from the outline."""
        with self._statistics_inside(brain):
            coarse, finest = self._begun(image)
            return self._finished(coarse, finest), self._outlined(coarse.detach())

    @contextmanager
    def _statistics_inside(self, brain: Tensor) -> Iterator[None]:
        self._where.weights = self._weights_of(brain)
        yield
        self._where.weights = []

    def _begun(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Of the U-Net all but the last step up: its input, and what it is joined with."""
        images = [self.trunk.input_block(pixelunshuffle(image, 3, 2))]
        for block in self.trunk.downsamples:
            images.append(block(images[-1]))
        coarse = self.trunk.bottleneck(images[-1])
        for block in self.trunk.upsamples[:-1]:
            coarse = block(coarse, images.pop())
        return coarse, images[0]

    def _finished(self, coarse: Tensor, finest: Tensor) -> Tensor:
        features: Tensor = self.trunk.output_block(self.trunk.upsamples[-1](coarse, finest))
        return features

    def _outlined(self, coarse: Tensor) -> Tensor:
        assert self.outlining is not None
        logits: Tensor = self.outlining(coarse)
        return logits

    def _weights_of(self, brain: Tensor) -> list[Tensor]:
        """Weights of the statistics at each level, whose voxels are 2, 4, 8... of the image's."""
        weights = brain.float() + NO_BRAIN
        pyramid = [nn.functional.interpolate(weights, scale_factor=2.0), weights]
        for _ in self.trunk.upsamples[1:]:
            pyramid.append(nn.functional.avg_pool3d(pyramid[-1], 2))
        return [(level / level.sum((2, 3, 4), keepdim=True)).flatten(2).mT for level in pyramid]

    def shift_logits(self, offsets: Tensor) -> None:
        """Add a constant to the logits of every class, (classes,), in place."""
        conv = self.head[1]
        assert isinstance(conv, nn.Conv3d)
        assert conv.bias is not None
        with torch.no_grad():
            conv.bias.view(-1, SUBVOXELS)[:-1] += offsets[:, None]

    def compile_norms(self) -> None:
        """Let PyTorch write kernels for the normalisation in training.

        Half of a GPU's time goes into its dozen passes over each image, which become three. Needs
        a compiler: Triton on a GPU, a C++ compiler on a CPU.
        """
        for module in self.modules():
            if isinstance(module, BrainNorm):
                module.compiled = True

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
        weight = pick(conv.weight.reshape(width, SUBVOXELS, -1, 1, 1, 1), subvoxels).flatten(0, 1)
        bias = pick(conv.bias.reshape(width, SUBVOXELS), subvoxels).flatten()
        logits = nn.functional.conv3d(self.head[0](features), weight, bias)
        return logits.reshape(len(logits), width, len(subvoxels), *logits.shape[2:])


def _small_head(channels: int) -> nn.Sequential:
    width = channels // 2
    return nn.Sequential(nn.Conv3d(channels, width, 1), nn.LeakyReLU(0.01), nn.Conv3d(width, 1, 1))


def brain_shares(brain: Tensor) -> Tensor:
    """(batch, i, j, k) bool, brain without the fluid around it -> what `SegmentationNet` takes."""
    return nn.functional.avg_pool3d(brain.float()[:, None], BRAIN_BLOCK)


def split_subvoxels(image: Tensor) -> Tensor:
    """(batch, 2i, 2j, 2k) -> (batch, 8, i, j, k), in the order of the network's head."""
    blocks: Tensor = pixelunshuffle(image[:, None], 3, 2)
    return blocks


def pick(blocks: Tensor, subvoxels: Sequence[int]) -> Tensor:
    """Some of the eight voxels of each block, which lie along the second dimension."""
    # Indexing by a list copies it to the device first, and the host waits for that.
    return torch.stack([blocks[:, n] for n in subvoxels], dim=1)
