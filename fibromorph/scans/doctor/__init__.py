"""The header doctor: each rule mends and says so, or refuses and says why."""

from fibromorph.scans.doctor.affine import Claim, check_grid, choose_affine
from fibromorph.scans.doctor.layout import check_dtype, check_shape
from fibromorph.scans.doctor.voxels import check_field_of_view, check_voxels

__all__ = [
    "Claim",
    "check_dtype",
    "check_field_of_view",
    "check_grid",
    "check_shape",
    "check_voxels",
    "choose_affine",
]
