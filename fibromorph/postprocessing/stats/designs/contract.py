"""What studies of chronic pain measure: names, units and ranges, and how users call them.

A design maps a study's own columns to these names; values outside a range are refused, because a
FIQ of 140 is a typing error or another scale.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One measure of the contract.

    Attributes:
        name: as designs and tables name it.
        title: as reports name it.
        unit: of its values.
        low: the smallest value that exists.
        high: the largest; None if there is no upper end.
        aliases: regular expression that meets what users call the column, any case.
        patients_only: healthy controls have none by definition.
        better: which way is an improvement, 'lower' or 'higher'; '' = it is no symptom.
        source: where the scale was published.
    """

    name: str
    title: str
    unit: str
    low: float
    high: float | None
    aliases: str
    patients_only: bool = False
    source: str = ""
    better: str = "lower"


CHRONIC_PAIN: tuple[Measure, ...] = (
    Measure(
        "pain_intensity", "Pain intensity (NRS)", "points, 0-10", 0, 10,
        r"pi|pain(_?(intensity|nrs|severity|now|average))?|nrs|vas(_?pain)?|bpi_severity",
        source="Jensen et al. 1986, Pain 27:117-126",
    ),
    Measure(
        "pain_interference", "Pain interference (BPI)", "points, 0-10", 0, 10,
        r"(pain_?)?interference|bpi_interference|pain_disability",
        source="Cleeland & Ryan 1994, Ann Acad Med Singapore 23:129-138",
    ),
    Measure(
        "fiq", "Fibromyalgia Impact Questionnaire", "points, 0-100", 0, 100,
        r"fiq(_?(total|score))?", True, "Burckhardt et al. 1991, J Rheumatol 18:728-733",
    ),
    Measure(
        "fiqr", "Revised Fibromyalgia Impact Questionnaire", "points, 0-100", 0, 100,
        r"fiq-?_?r(_?(total|score))?", True,
        "Bennett et al. 2009, Arthritis Res Ther 11:R120",
    ),
    Measure(
        "depression_bdi", "Depression (BDI)", "points, 0-63", 0, 63, r"bdi(-?_?(ii|2))?(_?total)?",
        source="Beck et al. 1996, J Pers Assess 67:588-597",
    ),
    Measure(
        "depression_cesd", "Depression (CES-D)", "points, 0-60", 0, 60, r"ces-?_?d(_?total)?",
        source="Radloff 1977, Appl Psychol Meas 1:385-401",
    ),
    Measure(
        "catastrophising", "Pain Catastrophizing Scale", "points, 0-52", 0, 52,
        r"pcs(_?total)?|catastrophi[sz]ing",
        source="Sullivan et al. 1995, Psychol Assess 7:524-532",
    ),
    Measure(
        "activity", "General activity (MPI)", "points, 0-6", 0, 6,
        r"(general_?)?activity|mpi_activity|gal",
        source="Kerns et al. 1985, Pain 23:345-356", better="higher",
    ),
    Measure(
        "medication", "Medication (quantification scale)", "points", 0, None,
        r"med(s|ication)?(_?(load|score|quant\w*))?|mqs",
        source="Harden et al. 2005, J Pain 6:364-371",
    ),
    Measure(
        "duration", "Duration of illness", "years", 0, 80,
        r"duration|fm_?years|(pain|illness|disease)_?(duration|years)|durill|years_?(of_?)?pain",
        True, better="",
    ),
    Measure(
        "pressure_threshold", "Pressure-pain threshold", "kPa", 0, 2000,
        r"ppt|pressure_?(pain_?)?threshold|threshold",
        source="Fischer 1987, Pain 30:115-126", better="higher",
    ),
)  # fmt: skip
BY_NAME = {measure.name: measure for measure in CHRONIC_PAIN}


def score_title(name: str) -> str:
    """What a report calls a score: the contract's title, or the design's name in plain words."""
    return BY_NAME[name].title if name in BY_NAME else name.replace("_", " ")


def score_in_prose(name: str) -> str:
    """`score_title` within a sentence: `pain intensity (NRS)`, but `Pain Catastrophizing Scale`."""
    title = score_title(name)
    words = title.partition("(")[0].split()
    own_name = len(words) > 1 and all(word[0].isupper() for word in words)
    return title if own_name or name not in BY_NAME else title[0].lower() + title[1:]


def measure_called(column: str) -> Measure | None:
    """The measure that a study's column looks like, or None."""
    name = column.strip()
    for measure in CHRONIC_PAIN:
        if re.fullmatch(f"{measure.name}|{measure.aliases}", name, re.IGNORECASE):
            return measure
    return None
