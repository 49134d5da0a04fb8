"""What a simulated study is: sizes, effects, sessions."""

from __future__ import annotations

from dataclasses import dataclass

from fibromorph.datasets.cohort.effects import DEFAULT_EFFECTS
from fibromorph.errors import ConfigError

SMALLEST_VOXEL_MM, LARGEST_VOXEL_MM = 0.7, 3.0


@dataclass(frozen=True)
class CohortSettings:
    """All that a user may choose; checked when made.

    Attributes:
        patients, controls: how many people.
        effects: `REGION=PERCENT%`, in patients against controls.
        sessions: scans of each person.
        gap_closed: share of the patients' difference that is gone at the last session, linear in
            time; 0 = therapy changes nothing, 1 = back to the controls.
        dropout: share of people who miss the last session; with three or more sessions they leave
            at a random one after the first.
        women: expected share.
        voxel_mm: nominal voxel; each scan's differ from it by up to 5 %.
        noise: standard deviation relative to white matter.
        true_labels: also write the true segmentation of every scan.

    Raises:
        ConfigError: a value out of range.
    """

    patients: int = 23
    controls: int = 21
    effects: tuple[str, ...] = DEFAULT_EFFECTS
    sessions: int = 1
    gap_closed: float = 0.0
    dropout: float = 0.0
    women: float = 0.9
    voxel_mm: float = 1.0
    noise: float = 0.03
    true_labels: bool = False

    def __post_init__(self) -> None:
        _require(self.patients >= 1, "must be 1 or more", self.patients, "--patients")
        _require(self.controls >= 0, "must be 0 or more", self.controls, "--controls")
        _require(1 <= self.sessions <= 99, "must be 1 to 99", self.sessions, "--sessions")
        _require(-1 <= self.gap_closed <= 2, "must be -1 to 2", self.gap_closed, "--gap-closed")
        _require(0 <= self.dropout < 1, "must be 0 to less than 1", self.dropout, "--dropout")
        for share, option in ((self.gap_closed, "--gap-closed"), (self.dropout, "--dropout")):
            _require(self.sessions > 1 or share == 0, "needs --sessions 2 or more", share, option)
        _require(0 <= self.women <= 1, "must be 0 to 1", self.women, "--women")
        _require(0 <= self.noise <= 0.2, "must be 0 to 0.2", self.noise, "--noise")
        _require(
            SMALLEST_VOXEL_MM <= self.voxel_mm <= LARGEST_VOXEL_MM,
            f"must be {SMALLEST_VOXEL_MM} to {LARGEST_VOXEL_MM}",
            self.voxel_mm,
            "--voxel",
        )

    def session_names(self) -> tuple[str, ...]:
        """'' for a study of one session, else ses-01, ses-02 and so on."""
        if self.sessions == 1:
            return ("",)
        return tuple(f"ses-{n:02d}" for n in range(1, self.sessions + 1))


def _require(holds: bool, rule: str, value: object, option: str) -> None:
    if not holds:
        raise ConfigError(rule, value=value, subject=option)
