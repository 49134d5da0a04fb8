"""Shapes of the network, and the short way to some of its answers."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor, nn

from fibromorph.models.network import (
    SUBVOXELS,
    BrainNorm,
    SegmentationNet,
    Smooth,
    WhereBrainIs,
    brain_shares,
    split_subvoxels,
)


@pytest.fixture(scope="module")
def net() -> SegmentationNet:
    torch.manual_seed(0)
    return SegmentationNet(19, (4, 6, 8), 8).eval()


def test_logits_come_at_full_resolution_with_one_channel_for_the_side(
    net: SegmentationNet,
) -> None:
    with torch.inference_mode():
        found = net(torch.randn(2, 1, 32, 32, 64), torch.rand(2, 1, 8, 8, 16))
    assert found.shape == (2, 20, 32, 32, 64)


def test_what_surrounds_the_brain_does_not_change_its_normalisation() -> None:
    where = WhereBrainIs()
    norm = BrainNorm(2, where, 0)
    image, brain = torch.randn(1, 2, 4, 4, 4) + 3, torch.zeros(1, 64, 1)
    brain[0, 20:40] = 1 / 20
    where.weights = [brain]
    elsewhere = torch.where(brain.reshape(1, 1, 4, 4, 4) > 0, image, 100.0)
    with torch.inference_mode():
        found, other = norm(image), norm(elsewhere)
    inside = (brain.reshape(4, 4, 4) > 0).nonzero(as_tuple=True)
    assert torch.equal(found[0][:, *inside], other[0][:, *inside])
    assert found[0][:, *inside].mean(1).abs().max() < 1e-5
    assert (found[0][:, *inside].var(1, correction=0) - 1).abs().max() < 1e-4


@pytest.mark.skipif(shutil.which("c++") is None, reason="compiling needs a C++ compiler")
def test_a_compiled_normalisation_says_the_same_and_learns_the_same() -> None:
    where, shares = WhereBrainIs(), torch.rand(2, 64, 1)
    where.weights = [shares / shares.sum(1, keepdim=True)]
    image, found = torch.randn(2, 3, 4, 4, 4), []
    for compiled in (False, True):
        norm, seen = BrainNorm(3, where, 0), image.clone().requires_grad_()
        norm.compiled = compiled
        answer = norm(seen)
        gradients = torch.autograd.grad(answer.cos().sum(), [seen, norm.weight, norm.bias])
        found.append([answer, *gradients])
    for plain, fast in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain)


@pytest.mark.parametrize("training", [True, False])
def test_where_all_is_brain_it_is_instance_normalisation(training: bool) -> None:
    where = WhereBrainIs()
    norm, usual = BrainNorm(3, where, 0).train(training), nn.InstanceNorm3d(3, affine=True)
    where.weights = [torch.full((2, 64, 1), 1 / 64)]
    image = torch.randn(2, 3, 4, 4, 4) * 5 + 2
    assert torch.allclose(norm(image), usual(image), atol=1e-5)


def test_details_too_fine_for_coarser_voxels_do_not_alias_into_them() -> None:
    checkers = (torch.arange(16).reshape(-1, 1, 1) % 2 * 2.0 - 1).expand(1, 2, 16, 16, 16)
    conv = nn.Conv3d(2, 3, 3, stride=2, padding=1, bias=False)
    smooth = Smooth(conv)
    with torch.inference_mode():
        assert conv(checkers)[..., 2:-2, 2:-2, 2:-2].abs().max() > 0.01
        assert smooth(checkers).shape == (1, 3, 8, 8, 8)
        assert smooth(checkers)[..., 2:-2, 2:-2, 2:-2].abs().max() < 1e-6
        # Of what does not change nothing is lost.
        even = torch.ones(1, 2, 16, 16, 16)
        inside = (..., slice(2, -2), slice(2, -2), slice(2, -2))
        torch.testing.assert_close(smooth(even)[inside], conv(even)[inside])


def test_finer_voxels_have_no_steps_between_blocks() -> None:
    conv = nn.ConvTranspose3d(2, 3, 2, stride=2, bias=False)
    smooth = Smooth(conv)
    ramp = torch.arange(8.0).reshape(-1, 1, 1).expand(1, 2, 8, 8, 8)
    with torch.no_grad():
        conv.weight[:] = conv.weight[:, :, :1, :1, :1]
        found = smooth(ramp)[..., 2:-2, 4, 4]
    assert smooth(ramp).shape == (1, 3, 16, 16, 16)
    # A slope stays one: half a step from each fine voxel to the next.
    steps = found.diff(dim=-1)
    torch.testing.assert_close(steps, steps[..., :1].expand_as(steps))


def test_a_crop_without_brain_has_an_answer(net: SegmentationNet) -> None:
    with torch.inference_mode():
        assert net(torch.randn(1, 1, 32, 32, 32), torch.zeros(1, 1, 8, 8, 8)).isfinite().all()


def test_shares_of_brain_are_those_of_its_blocks() -> None:
    brain: Tensor = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
    brain[0, :4, :4, :2] = True
    shares = brain_shares(brain)
    assert shares.shape == (1, 1, 2, 2, 2)
    assert shares[0, 0, 0, 0, 0] == 0.5
    assert shares.sum() == 0.5


def test_some_subvoxels_are_a_part_of_the_whole_answer(net: SegmentationNet) -> None:
    image, brain = torch.randn(1, 1, 32, 32, 32), torch.rand(1, 1, 8, 8, 8)
    chosen = [1, 4, 7]
    with torch.inference_mode():
        whole = net(image, brain)
        some = net.subvoxel_logits(net.features(image, brain), chosen)
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
    assert sum(p.numel() for p in SegmentationNet().parameters()) == 5_467_297
