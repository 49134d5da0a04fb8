"""The page: one self-contained HTML file that opens offline and prints."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

import fibromorph
from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.stats.contract import score_title
from fibromorph.postprocessing.stats.report.brain import PaintedBrain
from fibromorph.postprocessing.stats.report.content import (
    downloads,
    draw_figures,
    primary_associations,
)
from fibromorph.postprocessing.stats.report.limits import limits
from fibromorph.postprocessing.stats.report.methods import methods_text
from fibromorph.postprocessing.stats.report.wording import p_text
from fibromorph.postprocessing.stats.results import Results

ASSOCIATIONS_SHOWN = 40


def render(results: Results, brain: PaintedBrain) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("fibromorph.postprocessing"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        plain=plain_name,
        num=_number,
        signed=_signed,
        score=score_title,
        p=p_text,
        is_p=_is_p,
        bf=_bayes,
    )
    environment.tests.update(
        match_no_change=lambda text: str(text).startswith("no change"),
        match_slope=lambda text: str(text).startswith("p_slope_"),
    )
    groups = results.groups.reset_index().sort_values("p")
    associations = primary_associations(results)
    methods, citations = methods_text(results)
    return environment.get_template("stats.html").render(
        r=results,
        version=fibromorph.__version__,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        groups=groups.to_dict("records"),
        otherwise={n: t.reset_index().to_dict("records") for n, t in results.otherwise.items()},
        associations=associations.head(ASSOCIATIONS_SHOWN).to_dict("records"),
        more_associations=max(0, len(associations) - ASSOCIATIONS_SHOWN),
        change=[] if results.change is None else results.change.to_dict("records"),
        assumptions=results.assumptions.reset_index().to_dict("records"),
        individuals=_individuals(results),
        figures=draw_figures(results, brain),
        downloads=downloads(results),
        limits=limits(results),
        methods=methods,
        citations=citations,
    )


def _individuals(results: Results) -> list[dict[str, object]]:
    """How many people changed by more than their scans' error, by region and session."""
    table = results.individuals
    if table is None or table["mdc_ml"].isna().all():
        return []
    rows: list[dict[str, object]] = []
    for (region, session), part in table.groupby(["region", "session"], sort=False):
        treated, others = part[part["treated"]], part[~part["treated"]]
        rows.append(
            {
                "region": region,
                "session": session,
                "mdc_ml": float(part["mdc_ml"].median()),
                "treated": _verdicts(treated["verdict"].tolist()),
                "others": _verdicts(others["verdict"].tolist()),
            }
        )
    return rows


def _verdicts(verdicts: list[str]) -> str:
    if not verdicts:
        return ""
    up, down = verdicts.count("increase"), verdicts.count("decrease")
    return f"{up} up, {down} down of {len(verdicts)}"


def _number(value: object, digits: int = 2) -> str:
    """A number with a true minus; n/a for what is not known."""
    if not isinstance(value, int | float) or math.isnan(value):
        return "n/a"
    # Adding 0 turns what rounds to minus nought into nought.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _signed(value: object, digits: int = 2) -> str:
    text = _number(value, digits)
    return text if text == "n/a" or text.startswith("\N{MINUS SIGN}") else f"+{text}"


def _is_p(value: object) -> str:
    """In a sentence: p = 0.012, p < 0.001."""
    text = p_text(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _bayes(value: object) -> str:
    if not isinstance(value, int | float) or math.isnan(value):
        return "n/a"
    return f"{value:.2g}" if value < 100 else f"{value:.0f}" if value < 1e4 else "> 10 000"
