"""The graph that ships says what the network says."""

from __future__ import annotations

import pytest
import torch
from monai.networks.utils import pixelunshuffle
from torch import Tensor

from fibromorph.labels import FREESURFER
from fibromorph.models.graph import (
    ASIDE,
    LocatorGraph,
    LocatorNet,
    SegmentationGraph,
    moved_shares,
)
from fibromorph.models.network import SegmentationNet


@pytest.fixture(scope="module")
def answer() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits of the network, then labels, soft voxels and confidence of the graph."""
    torch.manual_seed(2)
    net = SegmentationNet(len(FREESURFER.structures) + 1, (4, 6, 8), 8).eval()
    torch.nn.init.normal_(net.head[1].weight, std=2.0)  # type: ignore[arg-type]
    image, brain = torch.randn(32, 64, 32), torch.rand(8, 16, 8)
    with torch.inference_mode():
        graph = SegmentationGraph(net, FREESURFER).eval()
        found = graph(image, brain)
        brain = graph.draw_brain(image, brain)
        logits = net(image[None, None], brain[None, None])[0]
        axes = (-3, -2, -1)
        aside = image.flip(0).roll((ASIDE,) * 3, axes), moved_shares(brain.flip(0), ASIDE)
        mirrored = net(*(part[None, None] for part in aside))[0].roll((-ASIDE,) * 3, axes).flip(1)
        mirrored[-1] *= -1
        logits = (logits + mirrored) / 2
        return logits, *found


def test_a_mirrored_head_gives_the_mirrored_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    net = SegmentationNet(len(FREESURFER.structures) + 1, (4, 6, 8), 16).eval()

    # Coarse voxels that fall otherwise on the mirrored head make an exact answer impossible, so
    # this network has none: structures follow the intensity, the side its slope along i.
    def features(image: Tensor, brain: Tensor) -> Tensor:  # noqa: ARG001
        slope = image.roll(1, 2) - image.roll(-1, 2)
        seen: Tensor = pixelunshuffle(torch.cat([image, slope], dim=1), 3, 2)
        return seen

    monkeypatch.setattr(net, "features", features)
    conv = net.head[1]
    assert isinstance(conv, torch.nn.Conv3d)
    by_class = torch.randn(net.classes + 1, 1, 1)
    of_intensity = by_class * torch.eye(8)
    of_intensity[-1] = 0
    of_slope = torch.zeros_like(of_intensity)
    of_slope[-1] = torch.eye(8)
    weight = torch.cat([of_intensity, of_slope], dim=2)
    conv.weight = torch.nn.Parameter(weight.reshape(conv.weight.shape))
    torch.nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    graph = SegmentationGraph(net, FREESURFER).eval()
    image, brain = torch.zeros(64, 64, 32), torch.rand(16, 16, 8)
    image[8:-8, 8:-8, 8:-8] = torch.randn(48, 48, 16)
    with torch.inference_mode():
        labels, soft, confidence = graph.answer(image, brain)
        mirrored_labels, mirrored_soft, mirrored_confidence = graph.answer(
            image.flip(0), brain.flip(0)
        )
    twins = {i: i for i in (0, *FREESURFER.ids)}
    for structure in FREESURFER.structures:
        twins |= {structure.left_id: structure.right_id, structure.right_id: structure.left_id}
    swap = torch.tensor([twins.get(i, 0) for i in range(256)])
    # Ties between left and right, and rounding, touch a voxel here and there.
    assert (swap[labels.flip(0).long()] == mirrored_labels).float().mean() > 0.999
    assert torch.allclose(confidence.flip(0).float(), mirrored_confidence.float(), atol=1.0)
    order = [FREESURFER.ids.index(twins[i]) for i in FREESURFER.ids]
    assert torch.allclose(soft[order], mirrored_soft, rtol=1e-3)


def test_the_brain_is_drawn_by_the_head_that_outlines_it() -> None:
    torch.manual_seed(5)
    net = SegmentationNet(len(FREESURFER.structures) + 1, (4, 6, 8), 8).eval()
    image, brain = torch.randn(32, 64, 32), torch.rand(8, 16, 8)
    with torch.inference_mode():
        drawn = SegmentationGraph(net, FREESURFER).eval().draw_brain(image, brain)
        logits = net.outline(image[None, None], brain[None, None])
        features, same = net.features_and_outline(image[None, None], brain[None, None])
        assert torch.equal(features, net.features(image[None, None], brain[None, None]))
    assert drawn.shape == brain.shape
    assert torch.equal(drawn, logits[0, 0].sigmoid())
    assert torch.equal(same, logits)


def test_without_such_a_head_a_whole_first_look_draws_the_brain_without_the_fluid() -> None:
    torch.manual_seed(5)
    net = SegmentationNet(len(FREESURFER.structures) + 1, (4, 6, 8), 8, outlines=False).eval()
    torch.nn.init.normal_(net.head[1].weight, std=2.0)  # type: ignore[arg-type]
    image, brain = torch.randn(32, 64, 32), torch.rand(8, 16, 8)
    with torch.inference_mode():
        classes = net(image[None, None], brain[None, None])[0, :-1].argmax(0)
        drawn = SegmentationGraph(net, FREESURFER).eval().draw_brain(image, brain)
    is_brain = (classes > 0) & (classes != FREESURFER.class_of_name("CSF"))
    assert drawn.shape == brain.shape
    # One voxel of eight stands for its block.
    seen = is_brain[::2, ::2, ::2].reshape(8, 2, 16, 2, 8, 2).float().mean((1, 3, 5))
    assert torch.allclose(drawn, seen)


def test_labels_are_the_most_probable_structure_on_its_side(
    answer: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    logits, labels, _, _ = answer
    structures = logits[:-1].argmax(0)
    left = logits[-1] > 0
    pairs = [(0, 0), *((s.left_id, s.right_id) for s in FREESURFER.structures)]
    left_ids, right_ids = (torch.tensor(ids) for ids in zip(*pairs, strict=True))
    expected = torch.where(left, left_ids[structures], right_ids[structures])
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), expected)


def test_confidence_is_the_winning_posterior(
    answer: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    logits, _, _, confidence = answer
    winning = logits[:-1].softmax(0).amax(0)
    assert (confidence.float() / 255 - winning).abs().max() < 0.5 / 255 + 1e-4


def test_soft_volumes_sum_the_posteriors(answer: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    logits, _, soft, _ = answer
    posterior = logits[:-1].softmax(0)[1:]
    by_id = dict(zip(FREESURFER.ids, soft.tolist(), strict=True))
    for structure, expected in zip(FREESURFER.structures, posterior, strict=True):
        found = sum(by_id[label.id] for label in structure.labels)
        # The smallest posteriors are left out on purpose.
        assert 0.8 * float(expected.sum()) - 50 < found <= float(expected.sum()) * 1.001


def test_the_locator_answers_with_shares_of_brain() -> None:
    torch.manual_seed(3)
    locator = LocatorNet((4, 8, 8))
    image = torch.randn(32, 40, 24)
    with torch.inference_mode():
        found = LocatorGraph(locator).eval()(image)
        logits = locator(image[None, None])[0, 0]
    assert found.shape == image.shape
    assert (found.float() / 255 - logits.sigmoid()).abs().max() < 0.51 / 255
