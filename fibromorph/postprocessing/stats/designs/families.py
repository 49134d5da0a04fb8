"""Families of regions: what is corrected together."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from fibromorph.errors import ConfigError
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.tables.region_names import is_total


def resolve_families(design: Design, regions: Sequence[str]) -> dict[str, list[str]]:
    """Family -> regions of the table, in the table's order; patterns take no sums over regions.

    Raises:
        ConfigError: a name or pattern that no region meets, a region in two families, or a combined
            one in none.
    """
    sums = {r for r in regions if is_total(r) or r in design.combined}
    owner: dict[str, str] = {}
    families: dict[str, list[str]] = {}
    for family, patterns in design.families.items():
        where = design.at(f"families.{family}")
        chosen = {r for pattern in patterns for r in _matching(pattern, regions, sums, where)}
        for region in chosen:
            if region in owner:
                raise ConfigError(
                    f"a region may be in one family only, this one is in {owner[region]} too",
                    value=region,
                    subject=where,
                )
            owner[region] = family
        families[family] = [r for r in regions if r in chosen]
    for name in design.combined:
        if name not in owner:
            rule = "a combined region must be named in a family; patterns take none"
            raise ConfigError(rule, value=name, subject=design.at("families"))
    return families


def _matching(pattern: str, regions: Sequence[str], sums: set[str], where: str) -> list[str]:
    if pattern in regions:
        return [pattern]
    found = [r for r in regions if fnmatchcase(r, pattern) and r not in sums]
    if not found:
        some = ", ".join(regions[:8])
        meant = get_close_matches(pattern, regions, 1)
        raise ConfigError(
            f"a region must be in the table ({f'is it {meant[0]}? ' if meant else ''}it has {some},"
            " ...)",
            value=pattern,
            subject=where,
        )
    return found
