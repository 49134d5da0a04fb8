"""`look.html`: one report after the other, and a decision on each; it writes the exclusions."""

from __future__ import annotations

from pathlib import Path

from fibromorph.files import write_whole
from fibromorph.postprocessing.pages import page_environment, page_script
from fibromorph.serving.cohort.group.exclusions import COLUMNS, Exclusions
from fibromorph.serving.cohort.group.gather import Cohort

PACKAGE = "fibromorph.serving.cohort"
MOST_SCANS = 5000
"""Nobody looks at more; a browser would take its time to list them."""


def write_look(path: Path, cohort: Cohort, exclusions: Exclusions) -> None:
    """Write the page, moved into place when complete.

    It knows nobody's group: whoever looks shall not.

    Args:
        path: beside the reports' folders.
        cohort: one scan a session.
        exclusions: what the table says now; the page starts from it.
    """
    worst = sorted(zip(cohort.tasks, cohort.quality, strict=True), key=lambda scan: scan[1].overall)
    data = {
        "columns": COLUMNS,
        "rows": exclusions.rows,
        "scans": [
            {
                "key": task.ids[:2],
                "name": task.stem.replace("_", " "),
                "link": task.files["report"].as_posix(),
                "verdict": quality.verdict,
                "quality": round(quality.overall, 4),
                "flags": quality.flags,
                "left_out": task.ids[:2] in exclusions.scans,
            }
            for task, quality in worst[:MOST_SCANS]
        ],
        "more": max(len(worst) - MOST_SCANS, 0),
    }
    page = page_environment(PACKAGE).get_template("look.html")
    write_whole(path, page.render(data=data, script=page_script("look.js", PACKAGE)))
