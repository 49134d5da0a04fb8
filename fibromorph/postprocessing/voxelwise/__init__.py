"""Voxelwise group statistics of maps of tissue; see docs/vbm.md."""

from fibromorph.postprocessing.voxelwise.results import VoxelResults
from fibromorph.postprocessing.voxelwise.run import run_voxelwise

__all__ = ["VoxelResults", "run_voxelwise"]
