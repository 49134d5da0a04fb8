"""Phantom heads, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fibromorph.datasets.labelled import LabelledFolder, LabelledScan, load_labelled_scans
from fibromorph.datasets.labelmaps import LabelMap, load_label_map
from tests.datasets.phantoms import write_label_maps, write_labelled_scans


@pytest.fixture(scope="session")
def label_maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_label_maps(tmp_path_factory.mktemp("maps"))


@pytest.fixture(scope="session")
def head_map(label_maps: Path) -> LabelMap:
    return load_label_map(label_maps / "head_1.nii.gz")


@pytest.fixture(scope="session")
def head_index(head_map: LabelMap) -> torch.Tensor:
    return torch.from_numpy(head_map.index)


@pytest.fixture(scope="session")
def scan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled_scans(tmp_path_factory.mktemp("real"), ("s1", "s2"))


@pytest.fixture(scope="session")
def labelled_scan(scan_folder: Path) -> LabelledScan:
    return load_labelled_scans(LabelledFolder(scan_folder, only=("s1",)))[0]
