"""`participants.tsv`: who was scanned, with what each study calls its columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.tables.cells import (
    is_number,
    place,
    read_text_table,
    require_columns,
    to_number,
)
from fibromorph.postprocessing.stats.tables.cohort import KEY, keyed
from fibromorph.postprocessing.stats.tables.scan_ids import PREFIX, ScanIds
from fibromorph.postprocessing.stats.tables.scan_times import (
    ACQ_TIME,
    find_times,
    is_time,
    read_session_times,
    years_since_first,
)
from fibromorph.text import paired_by_number

ID_COLUMNS = ("participant_id", "SubjID", "subject", "subject_id", "ID", "id")
MOSTLY_NUMBERS = 0.8
FEW_LEVELS = 12


@dataclass(frozen=True, eq=False)
class Participants:
    """The table as text, keyed by (participant_id, session_id); session '' = holds for all.

    Attributes:
        cells: text, None where missing.
        path: the file.
        lines: of its rows; 0 for rows that are other files'.
        session_times: of scans, see `read_session_times`.
        own_names: (column, session) -> what the file calls that column, see `wide.by_session`.
        sources: (key, column) -> file and line of cells of other files, see `session_files`.
    """

    cells: pd.DataFrame
    path: Path
    lines: tuple[int, ...]
    session_times: Mapping[tuple[str, str], str] = field(default_factory=dict)
    own_names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    sources: Mapping[tuple[tuple[str, str], str], tuple[Path, int]] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        return list(dict.fromkeys(str(p) for p, _ in self.cells.index))

    def require(self, column: str, asked: str) -> None:
        """Refuse a column that the table lacks; `asked` says where it was asked for."""
        require_columns(self.cells, [column], Path(f"{self.path} ({asked})"))

    def numbers(self, column: str) -> pd.Series:
        """A column as float64.

        Raises:
            TableError: text in a cell.
        """
        cells = self.cells[column]
        places = [self._place(row, column) for row in range(len(cells))]
        found = [to_number(cell, where) for cell, where in zip(cells, places, strict=True)]
        return pd.Series(found, index=cells.index, name=column, dtype=float)

    def is_numeric(self, column: str, categorical: Collection[str] = ()) -> bool:
        """Whether a column holds numbers: at least four in five of its known cells do.

        Raises:
            TableError: it does, but not in all of them; the first such cell is named.
        """
        known = [cell for cell in self.cells[column] if cell is not None]
        if column in categorical or not known:
            return False
        # A decimal comma is meant as a number, and refused as one.
        numeric = sum(is_number(cell.replace(",", ".")) for cell in known)
        if numeric / len(known) < MOSTLY_NUMBERS:
            return False
        self.numbers(column)
        return True

    def times(self) -> tuple[str, pd.Series] | None:
        """When scans were made: (name of the column, years since the person's first scan)."""
        return find_times(self.cells, self.session_times)

    def varying(self, column: str) -> pd.Series:
        """Numbers of a column that varies with time, by (participant, session).

        Dates count as years since the person's first scan; `acq_time` may be that of BIDS.

        Raises:
            TableError: text in a cell, or dates where nobody has two.
        """
        if column not in self.cells and column == ACQ_TIME and self.session_times:
            cells = pd.Series(self.session_times)
        else:
            cells = self.cells[column]
        numeric = cells.dropna().map(is_number).all()
        years = years_since_first(cells) if is_time(column) or not numeric else None
        return self.numbers(column) if years is None else years

    def matched(self, scanned: Collection[str]) -> tuple[Participants, dict[str, str]]:
        """The table with ids that lost their zeros (a spreadsheet's 1 for sub-01) as scans have
        them, and what was meant by which; only where one scanned person alone has the number.

        Args:
            scanned: participants of the scans.
        """
        own, pairs = set(self.ids), paired_by_number(self.ids, scanned, PREFIX)
        meant = {name: scan for name, scan in pairs.items() if scan not in own}
        keys = [(meant.get(str(p), str(p)), str(s)) for p, s in self.cells.index]
        cells = self.cells.set_axis(pd.MultiIndex.from_tuples(keys, names=KEY))
        times = {(meant.get(p, p), s): time for (p, s), time in self.session_times.items()}
        sources = {((meant.get(p, p), s), c): at for ((p, s), c), at in self.sources.items()}
        return replace(self, cells=cells, session_times=times, sources=sources), meant

    def levels(self, column: str) -> list[str]:
        """The different texts in a column, sorted."""
        return sorted({str(cell) for cell in self.cells[column] if cell is not None})

    def at(self, key: tuple[str, str], column: str) -> str:
        """How errors name a cell of the row `key`."""
        return self._place(list(self.cells.index).index(key), column)

    def line(self, row: int, column: str) -> str:
        """How notes name the line of a cell, which may be another file's."""
        path, line = self._source(row, column)
        return f"line {line}" + ("" if path == self.path else f" of {path.name}")

    def _place(self, row: int, column: str) -> str:
        session = str(self.cells.index[row][1])
        return place(*self._source(row, column), self.own_names.get((column, session), column))

    def _source(self, row: int, column: str) -> tuple[Path, int]:
        participant, session = map(str, self.cells.index[row])
        return self.sources.get(((participant, session), column), (self.path, self.lines[row]))


def without_codes(codes: Collection[str]) -> Callable[[str | None], str | None]:
    """What makes None of cells that are codes, also where -999 is written -999.0."""
    texts = {code.strip() for code in codes}
    numbers = {float(text) for text in texts if is_number(text)}

    def known(cell: str | None) -> str | None:
        if cell is None or cell in texts or (is_number(cell) and float(cell) in numbers):
            return None
        return cell

    return known


def read_participants(
    path: Path,
    ids: ScanIds | None = None,
    *,
    id_column: str = "",
    missing_codes: Collection[str] = (),
) -> Participants:
    """Read the table.

    Args:
        path: tab, comma or semicolon separated.
        ids: how participant and session are told apart; by BIDS names if None.
        id_column: '' takes the first of participant_id, SubjID, subject, subject_id, ID.
        missing_codes: further texts that mean "not known", such as -999.

    Raises:
        TableError: no id column, a row without an id, a participant (and session) twice.
    """
    frame = read_text_table(path)
    column = id_column or next((c for c in ID_COLUMNS if c in frame.columns), ID_COLUMNS[0])
    require_columns(frame, [column], path)
    rule = ids or ScanIds()
    sessions = frame[KEY[1]] if KEY[1] in frame else [None] * len(frame)
    keys = []
    places = [place(path, line, column) for line in frame.index]
    for name, session, where in zip(frame[column], sessions, places, strict=True):
        if name is None:
            raise TableError("every row needs a participant", subject=where)
        keys.append(rule.split(name, session, where, person=True))
    frame = frame.drop(columns=[c for c in (column, KEY[1]) if c in frame])
    cells = frame.map(without_codes(missing_codes)).astype(object)
    cells = cells.where(cells.notna(), None)
    return Participants(
        cells.set_axis(keyed(keys, places, "participant")),
        path,
        tuple(frame.index),
        read_session_times(path, rule),
    )
