"""The demo's second part: a small study, from simulated scans to its group report."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pandas as pd

from fibromorph.datasets.cohort.files import TRUTH
from fibromorph.datasets.cohort.settings import CohortSettings
from fibromorph.datasets.cohort.simulate import simulate_cohort
from fibromorph.postprocessing.stats.designs.starter import write_starter
from fibromorph.postprocessing.stats.report.wording import p_text
from fibromorph.serving.cohort.group.run import run_group
from fibromorph.serving.cohort.participant import (
    Cohort,
    local_executor,
    plan_cohort,
    run_participants,
)
from fibromorph.serving.devices import available_cpus
from fibromorph.serving.simulate import template_anatomy

PATIENTS = CONTROLS = 12
EFFECTS = ("Putamen=-16%", "Thalamus=+10%")
"""Twice what `synth cohort` plants: a study this small would find little else."""

SEED = 2
MOST_WORKERS = 4
LINE = "{:<28} {:>9} {:>9} {:>18} {:>26} {:>8}"


def run_demo_study(out: Path, model: str = "t1-open", device: str = "auto") -> Path:
    """Simulate a study with planted changes, segment it, and compare its groups.

    Each step is what a command does, and that command is printed. What an earlier, interrupted
    call has finished is not done again.

    Args:
        out: folder of everything.
        model, device: see `Engine`; each core runs one worker, four at most.

    Returns:
        The group report.
    """
    study, results, design = out / "study", out / "results", out / "design.yaml"
    workers = min(available_cpus(), MOST_WORKERS)
    _simulate(study, model, device, workers)
    _segment(study, results, model, device, workers)
    _say("bids", study, results, "group")
    run_group(study, results)
    if not design.exists():
        _write_design(design, results / "volumes.tsv", study / "participants.tsv")
    _say("bids", study, results, "group", "--design", design)
    run_group(study, results, design)
    print(comparison(study, results / "stats" / "group_comparison.tsv"))
    report = results / "stats" / "report.html"
    print(f"\ngroup report:  {report.resolve()}")
    return report


def comparison(study: Path, table: Path) -> str:
    """What was planted beside what was found, region by region.

    Args:
        study: of `simulate_cohort`.
        table: `group_comparison.tsv` of its analysis.
    """
    effects = json.loads((study / TRUTH / "simulation.json").read_text())["effects"]
    planted = {effect["region"]: 100 * effect["change"] for effect in effects}
    found = pd.read_csv(table, sep="\t").set_index("region")
    heads = ("region", "planted", "found", "95 % interval", "if it alone differs", "p_fwe")
    lines = ["", LINE.format(*heads)]
    for region in sorted(found.index, key=lambda name: (name not in planted, name)):
        row = found.loc[region]
        interval = f"{row['percent_ci_low']:+.1f} to {row['percent_ci_high']:+.1f}"
        change, percent = planted.get(region, 0.0), row["difference_percent"]
        cells = (f"{change:+.0f} %" if change else "0", f"{percent:+.1f} %", interval, _alone(row))
        lines.append(LINE.format(region, *cells, p_text(row["p_fwe"])))
    return "\n".join(lines)


def _alone(row: pd.Series) -> str:
    """The demo changes regions between unchanged neighbours, of which volumes show only a share."""
    if pd.isna(row.get("alone_percent")):
        return "n/a"
    return (
        f"{row['alone_percent']:+.1f} % ({row['alone_ci_low']:+.1f} to {row['alone_ci_high']:+.1f})"
    )


def _simulate(study: Path, model: str, device: str, workers: int) -> None:
    sizes = ("--patients", PATIENTS, "--controls", CONTROLS, "--seed", SEED)
    changes = [word for effect in EFFECTS for word in ("--effect", effect)]
    _say("synth", "cohort", "--out", study, *sizes, *changes, "--workers", workers)
    if not study.exists():
        settings = CohortSettings(patients=PATIENTS, controls=CONTROLS, effects=EFFECTS)
        simulate_cohort(study, [template_anatomy(model, device)], settings, SEED, workers)


def _segment(study: Path, results: Path, model: str, device: str, workers: int) -> None:
    _say("bids", study, results, "participant", "--workers", workers, "--threads", 1)
    plan, settings = plan_cohort(Cohort(study, results, model, device, threads=1))
    run_participants(plan, settings, local_executor(settings, workers))


def _write_design(design: Path, volumes: Path, participants: Path) -> None:
    tables = ("--volumes", volumes, "--participants", participants)
    _say("stats", *tables, "--config", design, "--init")
    write_starter(design, [volumes], participants)


def _say(*words: object) -> None:
    print(f"\n$ {shlex.join(['fibromorph', *map(str, words)])}", flush=True)
