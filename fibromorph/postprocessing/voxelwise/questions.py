"""What is asked of every voxel: groups, scores and change, by the design of region volumes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.change.question import left_out_notes
from fibromorph.postprocessing.stats.designs.contract import score_in_prose, score_title
from fibromorph.postprocessing.stats.groups.model import INTERCEPT, GroupModel, build_model
from fibromorph.postprocessing.stats.people.head_size import ratio_warning
from fibromorph.postprocessing.stats.people.study import SMALLEST_DF, Study
from fibromorph.postprocessing.stats.scores.associations import narrowed
from fibromorph.postprocessing.stats.scores.scope import scope_of
from fibromorph.postprocessing.voxelwise.change import Notes, ask_change
from fibromorph.postprocessing.voxelwise.question import (
    Question,
    head_scale,
    independent,
    keys_of,
)


def questions_of(study: Study, whole: Study) -> tuple[list[Question], Notes]:
    """All questions of a design, and sentences on what is not asked or done otherwise.

    Args:
        study: baseline scans without missing covariates, all with maps.
        whole: scans of all sessions, all with maps.

    Raises:
        TableError: covariates that follow from each other, or too few people for them.
    """
    design = study.design
    notes = [*_head_notes(study), *_site_notes(study)]
    covariate = design.etiv not in ("none", "ratio") and study.etiv is not None
    model = build_model(study, etiv="covariate" if covariate else "none")
    questions = [_groups(study, model)]
    for name in design.scores:
        scope = narrowed(study, model, scope_of(study, name))
        notes += [scope.reason] if scope.reason else []
        asked = [group for group in scope.groups if group != "controls"]
        questions += [_score(study, model, name, group) for group in asked]
    for session in design.sessions.follow_up:
        found, said = ask_change(whole, session, covariate)
        questions += found
        notes += said
    notes += left_out_notes(whole) if design.sessions.follow_up else ()
    return _named_apart(questions), notes


def _groups(study: Study, model: GroupModel) -> Question:
    ill = model.patients
    question = Question(
        name="patients-controls",
        title="Patients minus controls",
        effect="d",
        lower="lower in patients",
        higher="higher in patients",
        people=f"{int(ill.sum())} patients, {int((~ill).sum())} controls",
        scans=keys_of(study),
        tested=ill.astype(float),
        nuisance=model.nuisance.drop(columns=INTERCEPT),
        scale=head_scale(study, study.etiv),
    )
    if question.df < SMALLEST_DF:
        raise TableError(
            f"the model needs {SMALLEST_DF} people more than it has parameters; take out"
            " covariates",
            value=f"{len(ill)} people, {question.matrix.shape[1]} parameters",
            subject=study.design.at("covariates"),
        )
    return question


def _score(study: Study, model: GroupModel, name: str, group: str) -> Question:
    score, column = study.scores[name], study.design.scores[name].column
    inside = pd.Series(True, score.index) if group == "both" else study.patients
    members = (inside & score.notna()).to_numpy(bool)
    tested = score[members].to_numpy(float)
    nuisance = model.nuisance.loc[members].drop(columns=[INTERCEPT, column], errors="ignore")
    if group == "both":
        nuisance.insert(0, "group", model.patients[members].astype(float))
    prose = score_in_prose(name)
    return Question(
        name=f"{name}-{group}",
        title=f"{score_title(name)}, {'patients and controls' if group == 'both' else group}",
        effect="r",
        lower=f"less with higher {prose}",
        higher=f"more with higher {prose}",
        people=f"{int(members.sum())} people" if group == "both" else f"{len(tested)} {group}",
        scans=keys_of(study, members),
        tested=tested,
        nuisance=independent(nuisance, tested),
        scale=head_scale(study, study.etiv)[members],
    )


def _head_notes(study: Study) -> Iterator[str]:
    if study.design.etiv in ("residual", "power"):
        yield f"eTIV was a covariate in every voxel; etiv: {study.design.etiv} is for regions."
    if study.design.etiv == "ratio":
        yield ratio_warning("maps")


def _site_notes(study: Study) -> Iterator[str]:
    if study.site is not None and study.design.site.method in ("combat", "meta"):
        yield (
            f"Sites were covariates in every voxel; site.method: {study.design.site.method} is for"
            " regions."
        )


def _named_apart(questions: Sequence[Question]) -> list[Question]:
    """Names that files may have, each once."""
    named: dict[str, Question] = {}
    for question in questions:
        plain = re.sub(r"[^A-Za-z0-9]+", "-", question.name).strip("-")
        others = [f"{plain}-{number}" for number in range(2, len(named) + 2)]
        name = next(name for name in (plain, *others) if name not in named)
        named[name] = replace(question, name=name)
    return list(named.values())
