"""What may be asked of a scan beyond labels, volumes and report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Extras:
    """What is measured beyond the volumes of a scan's labels.

    Attributes:
        thickness: of the cortex, see `measure_cortex`.
        vbm: maps of grey and white matter in MNI coordinates, see `MniMaps`.
        tissue: brain mask, the scan without its skull, and shares of tissue, on its own voxels, see
            `draw_brain`.
        atlases: whose regions are measured, too: names or files, see `read_atlas`.
    """

    thickness: bool = False
    vbm: bool = False
    tissue: bool = False
    atlases: tuple[str, ...] = ()

    def everywhere(self) -> Extras:
        """With whole paths of atlases that are files: workers may run in other folders."""
        paths = (Path(source) for source in self.atlases)
        found = (str(path.resolve()) if path.is_file() else str(path) for path in paths)
        return replace(self, atlases=tuple(found))

    def __bool__(self) -> bool:
        return self.thickness or self.tissue or self.registers

    @property
    def registers(self) -> bool:
        """Whether the head must be laid over the average one."""
        return self.vbm or bool(self.atlases)


NOTHING = Extras()
