"""Families of regions: p values are corrected within one, and totals are never tested unasked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fibromorph.errors import ConfigError

DEEP_GREY = ("Thalamus", "Caudate", "Putamen", "Pallidum", "Hippocampus", "Amygdala", "Accumbens")
CSF_SPACES = ("Vent", "CSF")
WHOLE = ("Cerebral", "Cerebellum", "Brain-Stem", "VentralDC", "CC_")


def families_by_name(regions: Sequence[str]) -> dict[str, list[str]]:
    """Deep grey matter, tissue, CSF spaces and the rest, by the names of the regions."""
    families: dict[str, list[str]] = {}
    for region in regions:
        if not region.startswith("Total-"):
            families.setdefault(_family(region), []).append(region)
    return families


def _family(region: str) -> str:
    if region == "VentralDC" or "VentralDC" in region:
        return "tissue"
    if any(name in region for name in DEEP_GREY):
        return "deep grey matter"
    if any(name in region for name in CSF_SPACES):
        return "csf spaces"
    return "tissue" if any(name in region for name in WHOLE) else "other"


def chosen_families(
    asked: Mapping[str, Sequence[str]], regions: Sequence[str]
) -> dict[str, list[str]]:
    """The families of a design, or those by name if it has none.

    Raises:
        ConfigError: a region that the table does not have, or one in two families.
    """
    if not asked:
        return families_by_name(regions)
    listed = [r for family in asked.values() for r in family]
    unknown = [r for r in listed if r not in set(regions)]
    if unknown:
        rule = f"families.regions must name regions of the volumes table: {', '.join(regions)}"
        raise ConfigError(rule, value=", ".join(unknown))
    twice = sorted({r for r in listed if listed.count(r) > 1})
    if twice:
        raise ConfigError("a region belongs to one family", value=", ".join(twice))
    return {name: list(members) for name, members in asked.items() if members}
