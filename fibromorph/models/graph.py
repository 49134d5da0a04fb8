"""The graphs that a bundle ships: network and everything that belongs to its answer."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from monai.networks.nets import UNet
from monai.networks.utils import pixelshuffle
from torch import Tensor, nn

from fibromorph.labels import LabelTable
from fibromorph.located import BRAIN_BLOCK
from fibromorph.models.network import SUBVOXELS, SegmentationNet

POSTERIOR_FLOOR = 0.02
"""Posteriors below this do not count in soft volumes: over the millions of voxels far from a small
structure, even a ten-thousandth each would add up to more than the structure itself."""

ASIDE = 5
"""Voxels along each axis by which the mirror image lies aside when the network looks at it.

Where the coarse voxels inside the U-Net fall on a head moves its volumes by 1 %; two looks whose
voxels fall otherwise err less together. An odd number, so that the 2x2x2 blocks of stem and head
fall otherwise, too. What leaves the box on one side comes in on the other: less than the margin
around the brain (`preprocess.MARGIN_MM`)."""

SLABS = 2
"""Parts along i that are answered one after the other. Whole, ONNX Runtime is a third slower; with
more of them OpenVINO takes longer to compile the graph."""


Looks = tuple[Tensor, Tensor]
"""See `SegmentationGraph._looks`."""


class SegmentationGraph(nn.Module):
    """Image and brain's shares in; label ids, posterior sums and confidence out.

    A first look draws the brain: the one that comes in is the locator's, coarse, and another one in
    every position of a head, good enough to find the brain's border with. By the statistics of what
    is inside that border the network then looks twice, at the image and at its mirror image, and
    both answers are averaged, so that no asymmetry is the network's own. All of it happens slab by
    slab, at one voxel of each 2x2x2 block after the other: no image with one channel a class ever
    leaves the graph, or is whole inside it.
    """

    ids_of: Tensor

    def __init__(self, net: SegmentationNet, table: LabelTable) -> None:
        super().__init__()
        self.net = net
        self.fluid_class = table.class_of_name("CSF")
        self.lateralised = [s.lateralised for s in table.structures]
        self.labels = len(self.lateralised) + sum(self.lateralised)
        ids = [(0, 0), *((s.right_id, s.left_id) for s in table.structures)]
        self.register_buffer("ids_of", torch.tensor(ids, dtype=torch.uint8).flatten())

    def forward(self, image: Tensor, brain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Segment one image.

        Args:
            image: (i, j, k) float32 normalised, multiples of 32.
            brain: (i/4, j/4, k/4) float32 share of each block of voxels that is brain.

        Returns:
            labels: (i, j, k) uint8 ids.
            soft_voxels: (labels,) float32 sums of posteriors, in the table's order.
            confidence: (i, j, k) uint8, the winning posterior times 255.
        """
        return self.answer(image, self.draw_brain(image, brain))

    def draw_brain(self, image: Tensor, brain: Tensor) -> Tensor:
        """The brain as the network sees it, at one voxel of each 2x2x2 block.

        Args:
            image, brain: see `forward`.

        Returns:
            (i/4, j/4, k/4) float32 share of each block of voxels that is brain, fluid left out.
        """
        if self.net.outlining is not None:
            return torch.sigmoid(self.net.outline(image[None, None], brain[None, None]))[0, 0]
        weight, bias = self._head(0)
        logits = nn.functional.conv3d(self._look(image, brain), weight[:-1], bias[:-1])
        classes = logits[0].argmax(0)
        drawn = (classes > 0) & (classes != self.fluid_class)
        shares: Tensor = nn.functional.avg_pool3d(drawn.float()[None], BRAIN_BLOCK // 2)
        return shares[0]

    def answer(self, image: Tensor, brain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `forward`, by the statistics inside `brain` as it is."""
        looks = self._looks(image, brain)
        answers = torch.stack([self._subvoxel(looks, n) for n in range(SUBVOXELS)])
        i, j, k = (length // 2 for length in image.shape)
        voxels = i // SLABS * j * k
        ids, confidence, soft = torch.split(answers, [voxels, voxels, self.labels], dim=2)
        blocks = (SUBVOXELS, i, j, k)
        return _unfold(ids.reshape(blocks)), soft.sum((0, 1)), _unfold(confidence.reshape(blocks))

    def posteriors(self, image: Tensor, brain: Tensor) -> Iterator[Tensor]:
        """Of every class, as `forward` sums them: (classes, i/2/slabs, j/2, k/2) at each of the
        eight voxels of the 2x2x2 blocks, slab by slab."""
        looks = self._looks(image, self.draw_brain(image, brain))
        for subvoxel in range(SUBVOXELS):
            weight, bias = self._head_of_both(subvoxel)
            for slab in self._slabs(looks, subvoxel):
                logits = nn.functional.conv3d(slab, weight[:-1], bias[:-1])[0]
                yield torch.softmax(logits, dim=0)

    def _looks(self, image: Tensor, brain: Tensor) -> Looks:
        """Hidden features of the image; those of the mirror image, turned back, a block larger."""
        aside = _rolled(image.flip(0), ASIDE), moved_shares(brain.flip(0), ASIDE)
        back = _rolled_and_one(self._look(*aside), ASIDE // 2).flip(2)
        return self._look(image, brain), back

    def _slabs(self, looks: Looks, subvoxel: int) -> Iterator[Tensor]:
        """Both looks at one of the eight voxels of each block, (1, 2 width, i/2/slabs, j/2, k/2).

        Its voxel lies in one block of the image, and in the mirror image, an odd number of voxels
        aside, in this block or in the next one.
        """
        own, mirrored = looks
        _, _, i, j, k = own.shape
        a, b, c = subvoxel >> 2, subvoxel >> 1 & 1, subvoxel & 1
        length = i // SLABS
        # Not range(0, i, length), which export would keep as it is for the shape it looks at.
        for start in (n * length for n in range(SLABS)):
            turned = mirrored[:, :, start + a : start + a + length, b : b + j, c : c + k]
            yield torch.cat([own.narrow(2, start, length), turned], dim=1)

    def _look(self, image: Tensor, brain: Tensor) -> Tensor:
        """Hidden features, (1, width, i/2, j/2, k/2)."""
        hidden: Tensor = self.net.head[0](self.net.features(image[None, None], brain[None, None]))
        return hidden

    def _subvoxel(self, looks: Looks, subvoxel: int) -> Tensor:
        """The answer at one of the eight voxels of each 2x2x2 block.

        Args:
            looks: from `_looks`.
            subvoxel: which of the eight.

        Returns:
            (slabs, 2 voxels + labels), see `_slab`.
        """
        weight, bias = self._head_of_both(subvoxel)
        # Two convolutions: to cut the side off from one answer would copy all the others.
        return torch.stack(
            [
                self._slab(
                    nn.functional.conv3d(slab, weight[:-1], bias[:-1])[0],
                    nn.functional.conv3d(slab, weight[-1:], bias[-1:])[0, 0],
                )
                for slab in self._slabs(looks, subvoxel)
            ]
        )

    def _head(self, subvoxel: int) -> tuple[Tensor, Tensor]:
        """Weight and bias of the head's rows for one of the eight voxels of each block."""
        conv = self.net.head[1]
        assert isinstance(conv, nn.Conv3d)
        assert conv.bias is not None
        return conv.weight[subvoxel::SUBVOXELS], conv.bias[subvoxel::SUBVOXELS]

    def _head_of_both(self, subvoxel: int) -> tuple[Tensor, Tensor]:
        """The same for the mean of both looks, in one of which left is right."""
        # An odd number of voxels aside, the first of two in a block becomes the second, and the
        # second the first; along i the mirror does that, too.
        twin = subvoxel ^ 0b011
        (own, own_bias), (other, other_bias) = self._head(subvoxel), self._head(twin)
        turned = own.new_ones(len(own))
        turned[-1] = -1
        weight = torch.cat([own, other * turned[:, None, None, None, None]], dim=1) / 2
        return weight, (own_bias + other_bias * turned) / 2

    def _slab(self, logits: Tensor, side: Tensor) -> Tensor:
        """Ids, confidence and posterior sums, one after the other in one tensor.

        In three tensors an engine would finish all ids of all slabs first, and keep every posterior
        for the sums.

        Args:
            logits: (classes, i, j, k).
            side: (i, j, k), above 0 on the left.

        Returns:
            (2 i j k + labels,) float32.
        """
        posterior = torch.softmax(logits, dim=0)
        ids = self.ids_of[posterior.argmax(0) * 2 + (side > 0).long()]
        confidence = posterior.amax(0) * 255 + 0.5
        soft = self._soft_voxels(posterior, torch.sigmoid(side))
        return torch.cat([ids.flatten().float(), confidence.flatten(), soft])

    def _soft_voxels(self, posterior: Tensor, left: Tensor) -> Tensor:
        counted = torch.where(posterior > POSTERIOR_FLOOR, posterior, 0.0)
        total = counted.sum((1, 2, 3))[1:]
        on_left = (counted * left).sum((1, 2, 3))[1:]
        lateral = torch.tensor(self.lateralised, device=left.device)
        twins = [i for i, is_lateral in enumerate(self.lateralised) if is_lateral]
        return torch.cat([torch.where(lateral, on_left, total), (total - on_left)[twins]])


class LocatorNet(nn.Module):
    """Where in the field of view the brain is: a small U-Net on 4 mm voxels.

    The U-Net ends in features: its last channels are normalised by image, and logits of its own
    would not know how large a part of the field of view a head is.
    """

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.net = UNet(
            spatial_dims=3,
            in_channels=1,
            out_channels=channels[0],
            channels=channels,
            strides=[2] * (len(channels) - 1),
            num_res_units=1,
            norm="instance",
        )
        self.head = nn.Sequential(nn.LeakyReLU(0.01), nn.Conv3d(channels[0], 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Logits of 'brain'.

        Args:
            image: (batch, 1, i, j, k) normalised, i, j, k multiples of 8.

        Returns:
            (batch, 1, i, j, k).
        """
        logits: Tensor = self.head(self.net(image))
        return logits


class LocatorGraph(nn.Module):
    """Image in; share of brain out."""

    def __init__(self, net: LocatorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """(i, j, k) float32 normalised -> (i, j, k) uint8, share of each voxel times 255."""
        return (torch.sigmoid(self.net(image[None, None])[0, 0]) * 255 + 0.5).to(torch.uint8)


def _rolled(image: Tensor, steps: int) -> Tensor:
    """Moved by `steps` voxels along the last three axes; what leaves comes in on the other side."""
    rolled: Tensor = image.roll((steps, steps, steps), (-3, -2, -1))
    return rolled


def _rolled_and_one(blocks: Tensor, steps: int) -> Tensor:
    """Moved back by `steps` along the last three axes, with what comes next at their ends."""
    for axis in (-3, -2, -1):
        length = blocks.shape[axis]
        parts = blocks.narrow(axis, steps, length - steps), blocks.narrow(axis, 0, steps + 1)
        blocks = torch.cat(parts, dim=axis)
    return blocks


def moved_shares(brain: Tensor, voxels: int) -> Tensor:
    """Shares of blocks of a brain that lies so many voxels further along each axis."""
    blocks, part = divmod(voxels, BRAIN_BLOCK)
    for axis in (-3, -2, -1):
        near, far = brain.roll(blocks, axis), brain.roll(blocks + 1, axis)
        brain = near + (far - near) * (part / BRAIN_BLOCK)
    return brain


def _unfold(blocks: Tensor) -> Tensor:
    """(8, i, j, k) of numbers from 0 to 255 -> (2i, 2j, 2k) uint8."""
    image: Tensor = pixelshuffle(blocks.to(torch.uint8)[None], 3, 2)[0, 0]
    return image
