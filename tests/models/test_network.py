"""Shapes of the network, and the short way to some of its answers."""

from __future__ import annotations

import pytest
import torch

from fibromorph.models.network import SUBVOXELS, SegmentationNet, split_subvoxels


@pytest.fixture(scope="module")
def net() -> SegmentationNet:
    torch.manual_seed(0)
    return SegmentationNet(19, (4, 6, 8), 8).eval()


def test_logits_come_at_full_resolution_with_one_channel_for_the_side(
    net: SegmentationNet,
) -> None:
    with torch.inference_mode():
        assert net(torch.randn(2, 1, 32, 32, 64)).shape == (2, 20, 32, 32, 64)


def test_some_subvoxels_are_a_part_of_the_whole_answer(net: SegmentationNet) -> None:
    image = torch.randn(1, 1, 32, 32, 32)
    chosen = [1, 4, 7]
    with torch.inference_mode():
        whole = net(image)
        some = net.subvoxel_logits(net.features(image), chosen)
    expected = torch.stack([split_subvoxels(whole[:, c])[:, chosen] for c in range(20)], dim=1)
    assert some.shape == (1, 20, 3, 16, 16, 16)
    assert torch.allclose(some, expected, atol=1e-5)


def test_subvoxels_split_an_image_without_losing_a_voxel() -> None:
    image = torch.arange(4 * 4 * 6).reshape(1, 4, 4, 6)
    blocks = split_subvoxels(image)
    assert blocks.shape == (1, SUBVOXELS, 2, 2, 3)
    assert sorted(blocks.flatten().tolist()) == image.flatten().tolist()
    assert set(blocks[0, :, 0, 0, 0].tolist()) == set(image[0, :2, :2, :2].flatten().tolist())


def test_the_default_network_keeps_its_size() -> None:
    # Weights that ship have to fit.
    assert sum(p.numel() for p in SegmentationNet().parameters()) == 5_465_184
