"""The methods text of a voxelwise analysis, ready to paste, with what to cite."""

from __future__ import annotations

import fibromorph
from fibromorph.postprocessing.voxelwise.results import VoxelResults, versions

CITATIONS = (
    "Ashburner & Friston 2000, NeuroImage 11:805-821 (voxel-based morphometry).",
    "Freedman & Lane 1983, J Bus Econ Stat 1:292-298; Winkler et al. 2014, NeuroImage 92:381-397.",
    "Smith & Nichols 2009, NeuroImage 44:83-98 (TFCE).",
    "Hedges 1981, J Educ Stat 6:107-128.",
    "Taylor et al. 2023, NeuroImage 274:120138 (showing what does not survive).",
)
ETIV_TEXT = {
    "none": "Maps were not adjusted for head size.",
    "ratio": "Maps were divided by intracranial volume (eTIV), relative to its mean.",
}


def methods_text(results: VoxelResults) -> list[str]:
    """Paragraphs; numbers in brackets count `CITATIONS` from 1."""
    texts = (_maps(results), _model(results), _inference(results), _versions())
    return [" ".join(part for part in text if part) for text in texts]


def _maps(results: VoxelResults) -> tuple[str, ...]:
    vbm, maps = results.design.vbm, results.maps
    smoothed = (
        f"smoothed with a Gaussian kernel of {vbm.smoothing_mm:g} mm full width at half maximum"
        if vbm.smoothing_mm
        else "not smoothed"
    )
    spacing = " x ".join(f"{length:g}" for length in dict.fromkeys(maps.spacing_mm))
    voxels = maps.values.shape[1]
    return (
        f"Modulated maps of {vbm.matter} in MNI152 space [1] of {len(results.files)} scans were"
        f" {smoothed} and analysed on voxels of {spacing} mm, wherever the mean over scans was"
        f" above {vbm.mask_above:g} ({voxels} voxels, {voxels * maps.voxel_ml:.0f} ml).",
    )


def _model(results: VoxelResults) -> tuple[str, ...]:
    design = results.design
    groups = results.answers[0].question
    names = ", ".join(map(str, groups.nuisance.columns)) or "nothing"
    scores = any(answer.question.effect == "r" for answer in results.answers)
    change = [answer for answer in results.answers if answer.question.before]
    return (
        f"{groups.people} were compared in every voxel by linear regression, adjusted for {names}.",
        ETIV_TEXT.get(design.etiv, ""),
        "Scores were related to the maps by regression with the same covariates, over both groups"
        " with group as a further one; effects are partial correlations."
        if scores
        else "",
        "Change is the difference of a person's maps, follow-up minus baseline: its mean in each"
        " group, and the difference of the groups, adjusted for covariates at baseline where there"
        " are people enough."
        if change
        else "",
    )


def _inference(results: VoxelResults) -> tuple[str, ...]:
    vbm, levels = results.design.vbm, results.design.inference
    decides = "threshold-free cluster enhancement [3]" if vbm.tfce else "the t of single voxels"
    clusters = (
        f" The size of clusters (formed at p < {vbm.cluster_forming_p:g}, uncorrected) was tested"
        " as well."
        if vbm.cluster_forming_p
        else ""
    )
    white = vbm.tissue == "white"
    by_grey = ", white matter of the cerebrum also by the grey region beside it" * white
    flips = any(answer.question.of_mean for answer in results.answers)
    scheme = "permutations after Freedman and Lane" + (", of mean change flips of sign" * flips)
    return (
        f"Two-sided p values, corrected family-wise over all voxels of a question by the maximum of"
        f" {decides}, come from {vbm.permutations} {scheme} [2] (seed {levels.seed}); the level is"
        f" {levels.alpha:g}.{clusters} Questions were not corrected for each other. Effects of"
        " differences are Hedges' g of the adjusted maps [4]. Pictures show all effects, and"
        " outline what survives [5].",
        "Regions are named by nilearn's MNI152 template as t1-research segments it"
        f" (Neuromorphometrics' protocol){by_grey}.",
    )


def _versions() -> tuple[str, ...]:
    used = ", ".join(f"{name} {number}" for name, number in versions().items())
    return (f"Software: fibromorph {fibromorph.__version__}, {used}.",)
