"""Regions of any atlas in MNI coordinates, carried into a head and measured there."""

from fibromorph.postprocessing.atlases.atlas import Atlas, AtlasRegion, read_atlas, read_atlases
from fibromorph.postprocessing.atlases.parcels import (
    ParcelError,
    Parcels,
    measure_parcels,
    parcel_thickness,
    parcellate,
)
from fibromorph.postprocessing.atlases.placing import PlacedAtlas, place

__all__ = [
    "Atlas",
    "AtlasRegion",
    "ParcelError",
    "Parcels",
    "PlacedAtlas",
    "measure_parcels",
    "parcel_thickness",
    "parcellate",
    "place",
    "read_atlas",
    "read_atlases",
]
