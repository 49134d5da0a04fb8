"""Label tables, and the mapping between the protocols that label images come in.

Ids are FreeSurfer's wherever FreeSurfer has the structure. A lateralised structure is one
`Structure` with a left and a right id: networks predict structures and the side apart, tables and
images carry ids.
"""

from fibromorph.labels.freesurfer import (
    CORTEX,
    FREESURFER,
    FREESURFER_MERGED,
    FREESURFER_MIDLINE,
    STRUCTURES_27,
)
from fibromorph.labels.neuromorphometrics import (
    CORTICAL_REGIONS,
    NEUROMORPHOMETRICS,
    NEUROMORPHOMETRICS_TO_FREESURFER,
)
from fibromorph.labels.protocols import (
    NOT_COMPARABLE,
    TABLES,
    coarsened,
    midline_to_hemispheres,
    parcels_to_wholes,
    remap,
    require_cerebrum,
    table_of,
    to_freesurfer,
    to_table,
    unknown_ids,
    vermis_to_hemispheres,
)
from fibromorph.labels.table import (
    Colour,
    Hemisphere,
    Label,
    LabelImage,
    LabelTable,
    Structure,
    Tissue,
    lookup_of,
)

__all__ = [
    "CORTEX",
    "CORTICAL_REGIONS",
    "FREESURFER",
    "FREESURFER_MERGED",
    "FREESURFER_MIDLINE",
    "NEUROMORPHOMETRICS",
    "NEUROMORPHOMETRICS_TO_FREESURFER",
    "NOT_COMPARABLE",
    "STRUCTURES_27",
    "TABLES",
    "Colour",
    "Hemisphere",
    "Label",
    "LabelImage",
    "LabelTable",
    "Structure",
    "Tissue",
    "coarsened",
    "lookup_of",
    "midline_to_hemispheres",
    "parcels_to_wholes",
    "remap",
    "require_cerebrum",
    "table_of",
    "to_freesurfer",
    "to_table",
    "unknown_ids",
    "vermis_to_hemispheres",
]
