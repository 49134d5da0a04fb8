"""Names of an atlas's regions, as the tables say them that atlases come with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from fibromorph.errors import LabelError, TableError
from fibromorph.text import decode, read_table

SUFFIXES = (".tsv", ".csv", ".txt", ".xml")
"""Of a table of names beside an image, the first that is there counts."""

ID_COLUMNS = ("index", "id", "roiid", "number", "value", "label")
NAME_COLUMNS = ("name", "roiname", "region", "structure", "label")
"""In lower case: BIDS, CAT12, and what people write."""

NO_REGIONS = re.compile(
    r"((ctx-[lr]h-)?unknown|background|(non-|left-|right-)?wm-hypointensities|(left|right)-(vessel|choroid-plexus))",
    re.IGNORECASE,
)
"""What tables of FreeSurfer name beside its structures: spots, vessels, what is in a ventricle."""

SEPARATORS = ("\t", ";", ",")
COLOUR_TABLE_LINE = re.compile(r"\s*(\d+)\s+(\S+)(\s+\d+){3,4}\s*")
"""Of FreeSurfer: id, name, red, green, blue, transparency."""


def read_names(path: Path, *, volumes: bool = False) -> dict[int, str]:
    """Region id -> name, without id 0 and `NO_REGIONS`, which are no regions.

    A table with a column of ids (`index`, `id`, `ROIid`, ...) and one of names (`name`, `ROIname`,
    ...), separated by tabs, semicolons or commas; a colour table of FreeSurfer; or an XML of FSL,
    of whose regions the image that goes with it holds the index plus one.

    Args:
        path: of the table.
        volumes: the image has a volume a region: a table that counts them from 0 does not mean
            that the first is none.

    Raises:
        TableError, LabelError: none of these; an id that is no whole number, or has two names.
    """
    if path.suffix == ".xml":
        pairs = list(_of_fsl(path))
    else:
        pairs = list(_of_colours(path)) or list(_of_table(path))
    if volumes and any(number == 0 for number, _ in pairs):
        pairs = [(number + 1, name) for number, name in pairs]
    names: dict[int, str] = {}
    for number, name in pairs:
        if names.setdefault(number, name) != name:
            raise LabelError("an id may have one name", value=f"{number}: {name}", subject=path)
    names = {n: name for n, name in names.items() if n and not NO_REGIONS.fullmatch(name)}
    if not names:
        raise LabelError("a table of names must name a region", subject=path)
    return names


def _of_fsl(path: Path) -> Iterator[tuple[int, str]]:
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (OSError, ElementTree.ParseError) as error:
        raise LabelError("names must be a readable XML", value=error, subject=path) from None
    for label in root.iter("label"):
        index = label.get("index", "")
        if not index.isdecimal():
            rule = "a label of an atlas of FSL has a whole number as its index"
            raise LabelError(rule, value=index, subject=path)
        yield int(index) + 1, _clean(label.text or "")


def _of_colours(path: Path) -> Iterator[tuple[int, str]]:
    """Nothing where any line is none of a colour table."""
    try:
        lines = decode(path.read_bytes()).splitlines()
    except OSError as error:
        raise TableError("a table must be readable", value=error.strerror, subject=path) from None
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    found = [COLOUR_TABLE_LINE.fullmatch(line) for line in lines]
    for match in found if all(found) else ():
        if match:
            yield int(match[1]), _clean(match[2])


def _of_table(path: Path) -> Iterator[tuple[int, str]]:
    header, rows = read_table(path, SEPARATORS)
    known = [name.casefold() for name in header]
    id_column = next((known.index(name) for name in ID_COLUMNS if name in known), None)
    others = (known.index(name) for name in NAME_COLUMNS if name in known)
    name_column = next((column for column in others if column != id_column), None)
    if id_column is None or name_column is None:
        rule = "a table of names needs a column index and a column name"
        raise TableError(rule, value=", ".join(header), subject=path)
    for line, cells in rows:
        number = cells[id_column].strip()
        if not number.isdecimal():
            rule = "the id of a region is a whole number"
            raise TableError(rule, value=number, subject=f"{path}, line {line}")
        yield int(number), _clean(cells[name_column])


def _clean(name: str) -> str:
    """As the heading of a column: in one piece."""
    return re.sub(r"\s+", "_", name.strip())
