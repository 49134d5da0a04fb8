"""Regions of any atlas in MNI coordinates, carried into a head and measured there."""

from fibromorph.postprocessing.atlases.atlas import Atlas, AtlasRegion, read_atlas
from fibromorph.postprocessing.atlases.parcels import Parcels, measure_parcels, parcellate
from fibromorph.postprocessing.atlases.placing import PlacedAtlas, place

__all__ = [
    "Atlas",
    "AtlasRegion",
    "Parcels",
    "PlacedAtlas",
    "measure_parcels",
    "parcellate",
    "place",
    "read_atlas",
]
