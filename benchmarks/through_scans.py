"""Planted changes, through the scans: simulate, segment, analyse, and hold against the truth.

A cohort is rendered from the template that nilearn carries, segmented by the bundle that ships and
analysed as `fibromorph stats` does. The planted regions must come out with the right sign and the
planted percentage inside their interval; no other region may pass as different. The same analysis
of the true volumes stands beside it: what the statistics lose, and what the segmentation loses.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.datasets.cohort.files import TRUTH
from fibromorph.datasets.cohort.settings import CohortSettings
from fibromorph.datasets.cohort.simulate import simulate_cohort
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.designs.starter import guess_design
from fibromorph.postprocessing.stats.results import Results
from fibromorph.postprocessing.stats.run import analyse, read_people
from fibromorph.postprocessing.stats.tables import CohortVolumes, read_cohort, read_participants
from fibromorph.serving.batch import segment_files
from fibromorph.serving.outputs.placing import paths_of
from fibromorph.serving.simulate import template_anatomy

LINE = "{:<28} {:>8} {:>8} {:>16} {:>22} {:>8} {:>7} {:>22} {:>8}"
ALPHA = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/through-scans"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patients", type=int, default=23)
    parser.add_argument("--controls", type=int, default=21)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--model", default="t1-open")
    options = parser.parse_args()
    study, segmented = options.out / "study", options.out / "segmented"
    render(study, options)
    segment(study, segmented, options)
    people = study / "participants.tsv"
    cohort = read_cohort([segmented])
    design = guess_design(cohort, read_participants(people))
    measured = results(design, cohort, people)
    true = results(design, read_cohort([study / TRUTH / "volumes.tsv"]), people)
    report(measured, true, planted(study))
    errors(cohort, read_cohort([study / TRUTH / "volumes.tsv"]))


def render(study: Path, options: argparse.Namespace) -> None:
    """Write the cohort, unless it is there from an earlier call."""
    if study.exists():
        return
    started = time.perf_counter()
    anatomy = template_anatomy(options.model, threads=options.threads)
    settings = CohortSettings(patients=options.patients, controls=options.controls)
    done = simulate_cohort(study, [anatomy], settings, options.seed, options.workers)
    seconds = time.perf_counter() - started
    print(f"{len(done.scans)} scans rendered in {seconds:.0f} s")


def segment(study: Path, out: Path, options: argparse.Namespace) -> None:
    """Segment what is not segmented yet."""
    scans = sorted(study.glob("sub-*/anat/*_T1w.nii.gz"))
    left = [s for s in scans if not paths_of(out, s.name[:-7])["provenance"].exists()]
    if left:
        started = time.perf_counter()
        failures = segment_files(left, out, model=options.model, threads=options.threads)
        seconds = time.perf_counter() - started
        print(f"{len(left)} scans segmented in {seconds:.0f} s, {len(failures)} failed")


def results(design: Design, cohort: CohortVolumes, people: Path) -> Results:
    """The whole analysis of one table of volumes."""
    return analyse(design, cohort, read_people(design, people))


def planted(study: Path) -> dict[str, float]:
    """Region -> planted change in per cent."""
    record = json.loads((study / TRUTH / "simulation.json").read_text())
    return {effect["region"]: 100 * effect["change"] for effect in record["effects"]}


def report(measured: Results, true: Results, changes: dict[str, float]) -> None:
    """Print one line a region, then the verdict."""
    print(measured.summary)
    print(
        LINE.format(
            "region",
            "planted",
            "found %",
            "95 % interval",
            "if alone",
            "p_fwe",
            "g",
            "of true volumes %",
            "p_fwe",
        )
    )
    for region in measured.groups.index:
        found, best = measured.groups.loc[region], true.groups.loc[region]
        change = changes.get(region, 0.0)
        print(
            LINE.format(
                region,
                f"{change:+.0f}" if change else "0",
                f"{found['difference_percent']:+.1f}",
                interval(found),
                alone(found),
                f"{found['p_fwe']:.3f}",
                f"{found['hedges_g']:+.2f}",
                f"{best['difference_percent']:+.1f} {interval(best)}",
                f"{best['p_fwe']:.3f}",
            )
        )
    verdict(measured.groups, changes)


def interval(row: pd.Series) -> str:
    return f"[{row['percent_ci_low']:+.1f}, {row['percent_ci_high']:+.1f}]"


def alone(row: pd.Series) -> str:
    """What a region that differs between unchanged neighbours would differ by, as planted here."""
    if not np.isfinite(row.get("alone_percent", np.nan)):
        return "n/a"
    return f"{row['alone_percent']:+.1f} [{row['alone_ci_low']:+.1f}, {row['alone_ci_high']:+.1f}]"


def verdict(groups: pd.DataFrame, changes: dict[str, float]) -> None:
    """Count what came out as planted."""
    change = pd.Series({region: changes.get(region, 0.0) for region in groups.index})
    inside = (groups["percent_ci_low"] <= change) & (change <= groups["percent_ci_high"])
    hit, different = change != 0, groups["p_fwe"] <= ALPHA
    sign = np.sign(groups["difference_percent"]) == np.sign(change)
    print(
        f"planted: {int(hit.sum())} regions, sign right in {int((hit & sign).sum())}, planted"
        f" value inside the interval in {int((hit & inside).sum())}, p_fwe <= {ALPHA} in"
        f" {int((hit & different).sum())}\nothers: {int((~hit).sum())} regions, 0 inside the"
        f" interval in {int((~hit & inside).sum())}, p_fwe <= {ALPHA} in"
        f" {int((~hit & different).sum())}"
    )
    if "alone_percent" in groups:
        held = groups[["alone_ci_low", "alone_ci_high"]].notna().all(axis=1)
        within = (groups["alone_ci_low"] <= change) & (change <= groups["alone_ci_high"])
        print(
            f"if alone: planted value inside in {int((hit & within).sum())} of"
            f" {int((hit & held).sum())}; 0 inside in {int((~hit & within).sum())} of"
            f" {int((~hit & held).sum())} others"
        )


def errors(cohort: CohortVolumes, true: CohortVolumes) -> None:
    """Print how the measured volumes go with the true ones."""
    print(f"\n{'region':<28} {'bias %':>8} {'sd %':>8} {'slope':>7} {'r':>6}")
    assert cohort.etiv_ml is not None
    assert true.etiv_ml is not None
    size = np.log(true.etiv_ml.loc[cohort.soft.index]).to_numpy()
    for region in true.regions:
        if region in cohort.regions and cohort.soft[region].notna().all():
            show(region, cohort.soft[region], true.soft[region], size)
    show("eTIV", cohort.etiv_ml, true.etiv_ml, np.zeros_like(size))


def show(region: str, measured: pd.Series, true: pd.Series, size: np.ndarray) -> None:
    """Bias and spread of the error; slope and r of log volumes once head size is taken out."""
    found, real = (np.log(v.loc[measured.index].to_numpy()) for v in (measured, true))
    error = 100 * (found - real)
    y, x = (without(values, size) for values in (found, real))
    slope, r = (x @ y) / (x @ x), np.corrcoef(x, y)[0, 1]
    print(f"{region:<28} {error.mean():>8.1f} {error.std():>8.1f} {slope:>7.2f} {r:>6.2f}")


def without(values: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Residuals of a straight line on `size`."""
    design = np.column_stack([np.ones_like(size), size])
    return np.asarray(values - design @ np.linalg.lstsq(design, values, rcond=None)[0])


if __name__ == "__main__":
    main()
