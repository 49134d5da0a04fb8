"""From tables and a design to results, and to files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.errors import TableError
from fibromorph.files import require_folder
from fibromorph.postprocessing.atlases import read_atlas
from fibromorph.postprocessing.names import twins
from fibromorph.postprocessing.stats.change.analysis import Change, analyse_change
from fibromorph.postprocessing.stats.change.conclusions import with_verdicts
from fibromorph.postprocessing.stats.change.data import ChangeData, change_data
from fibromorph.postprocessing.stats.change.intervals import interval_notes
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.groups.assumptions import carried_notes, check_assumptions
from fibromorph.postprocessing.stats.groups.asymmetry import compare_asymmetry
from fibromorph.postprocessing.stats.groups.comparison import compare_groups, estimate
from fibromorph.postprocessing.stats.groups.deviations import deviations
from fibromorph.postprocessing.stats.groups.imputed import compare_imputed, imputed_models
from fibromorph.postprocessing.stats.groups.model import GroupModel, build_model
from fibromorph.postprocessing.stats.groups.sensitivity import explore
from fibromorph.postprocessing.stats.people.collinear import Collinear, going_with_group
from fibromorph.postprocessing.stats.people.head_size import adjustment_note
from fibromorph.postprocessing.stats.people.imputation import impute
from fibromorph.postprocessing.stats.people.joining import build_study
from fibromorph.postprocessing.stats.people.responsive import with_shares
from fibromorph.postprocessing.stats.people.sites import (
    by_site,
    harmonised,
    pool_sites,
    require_sites,
)
from fibromorph.postprocessing.stats.people.study import Study
from fibromorph.postprocessing.stats.results import Results
from fibromorph.postprocessing.stats.scores.associations import associate, narrowed
from fibromorph.postprocessing.stats.scores.change import ScoreChange, analyse_score_change
from fibromorph.postprocessing.stats.scores.scope import ScoreScope, scope_of
from fibromorph.postprocessing.stats.tables import (
    CohortVolumes,
    Participants,
    by_session,
    read_cohort,
    read_participants,
    with_session_files,
)
from fibromorph.progress import Bar
from fibromorph.progress import bar as progress_bar

OnBlock = Callable[[int], object]


def run_study(
    design: Design,
    volumes: Path | Sequence[Path],
    participants: Path,
    out: Path,
    *,
    atlas: str | None = None,
    progress: bool = True,
) -> Results:
    """Read, analyse, and write tables and report into `out`.

    Args:
        design: from `load_design`.
        volumes: see `read_cohort`.
        participants: `participants.tsv`.
        out: made when it does not exist; no file is written before everything is computed.
        atlas: to paint regions on, see `paint`; None = the one that fibromorph carries. Of a folder
            of tables of scans, whose regions to take, see `read_folder`.
        progress: tell how far it is on stderr.

    Raises:
        ConfigError, TableError: the rule, the value and where; nothing is written then.
    """
    from fibromorph.postprocessing.stats.report import write_study

    paths = [volumes] if isinstance(volumes, Path) else list(volumes)
    name = read_atlas(atlas).name if atlas is not None else None
    cohort = read_cohort(paths, design.ids, design.measure, name)
    table = read_people(design, participants)
    require_folder(out)
    results = analyse(design, cohort, table, progress=progress)
    write_study(results, out, atlas=atlas)
    return results


def read_people(design: Design, path: Path) -> Participants:
    """The participants table and what BIDS has beside it, read as the design says."""
    table = design.table
    people = read_participants(
        path, design.ids, id_column=table.id_column, missing_codes=table.missing_codes
    )
    people = by_session(people, table.by_session, design.at("table.by_session"))
    return with_session_files(people, design.ids, table.missing_codes)


def analyse(
    design: Design,
    cohort: CohortVolumes,
    participants: Participants,
    *,
    progress: bool = True,
) -> Results:
    """All that the design asks for; nothing is written.

    Raises:
        ConfigError, TableError: see `run_study`.
    """
    study, whole = build_study(design, cohort, participants)
    with _bar("group permutations", _group_draws(study), progress) as bar:
        complete, model, groups = compare(study, bar.update)
        models = imputed_models(study) if design.missing.method == "impute" else [model]
        asymmetry = compare_asymmetry(
            models, groups, study.families, design.inference, design.smallest_effect, bar.update
        )
    scopes = tuple(narrowed(complete, model, scope_of(complete, name)) for name in design.scores)
    collinear, otherwise, not_shown = _both_ways(complete, scopes)
    followed = change_data(whole)
    change = _change(whole, followed, groups, progress)
    variants, left_out = _variants(study, design, cohort, participants)
    without = {f"without {c.name}": _others(complete, c) for c in collinear if c.adjusted}
    sensitivity, impossible = explore(complete, variants, without)
    found = Results(
        study=complete,
        whole=whole,
        followed=followed,
        model=model,
        groups=groups,
        asymmetry=asymmetry,
        deviations=deviations(model, study.volumes),
        otherwise=otherwise,
        collinear=collinear,
        assumptions=check_assumptions(model, complete.etiv),
        scopes=scopes,
        associations=_associations(complete, model, scopes, progress),
        change=change.table if change else None,
        change_notes=change.notes if change else (),
        individuals=change.individuals if change else None,
        score_change=_score_change(whole, followed, progress),
        sensitivity=sensitivity,
        sites=by_site(complete, model) if design.site.method == "meta" else None,
        notes=(
            *study.notes,
            *left_out,
            *impossible,
            *not_shown,
            *(note for note in _model_notes(complete, model) if note),
        ),
    )
    return found.renamed(study.measure.named)


def _model_notes(study: Study, model: GroupModel) -> tuple[str, ...]:
    heads = adjustment_note(study.etiv, study.patients, study.design.etiv)
    return heads, *carried_notes(model)


def _change(
    whole: Study, followed: ChangeData | None, groups: pd.DataFrame, shown: bool
) -> Change | None:
    if followed is None:
        return None
    with _bar("bootstraps of change", _change_draws(whole), shown) as bar:
        change = analyse_change(whole, followed, bar.update)
    return replace(
        change,
        table=with_verdicts(change.table, groups, whole.design.inference.alpha),
        notes=(*interval_notes(whole, followed), *change.notes),
    )


def _score_change(whole: Study, followed: ChangeData | None, shown: bool) -> ScoreChange | None:
    if followed is None:
        return None
    with _bar("permutations of change", _score_change_draws(whole), shown) as bar:
        return analyse_score_change(whole, followed, bar.update)


def _associations(
    study: Study, model: GroupModel, scopes: tuple[ScoreScope, ...], shown: bool
) -> pd.DataFrame:
    asked = sum(len(scope.groups) for scope in scopes) * len(study.families)
    methods = len(study.design.correlations.methods)
    draws = asked * methods * study.design.inference.permutations
    with _bar("score permutations", draws, shown) as bar:
        return associate(study, model, list(scopes), bar.update)


def completed(study: Study) -> Study:
    """The study itself, or with its missing cells imputed once, for what is not pooled."""
    if study.design.missing.method == "drop":
        return study
    return impute(study, np.random.default_rng([study.design.inference.seed, 3]))


def compare(
    study: Study, on_block: OnBlock = lambda _: None
) -> tuple[Study, GroupModel, pd.DataFrame]:
    """The group comparison that a study asks for, its sites and missing cells seen to.

    Returns:
        (the study without missing cells where they are imputed, the model, the table, whose
        columns `study.measure.named` names by their unit).

    Raises:
        ConfigError: sites that the design's method cannot take.
        TableError: covariates that follow from each other.
    """
    require_sites(study)
    complete, design = completed(study), study.design
    model = harmonised(complete, build_model(complete))
    if design.missing.method == "impute":
        table = compare_imputed(study, on_block)
    else:
        table = compare_groups(
            model, study.families, design.inference, design.smallest_effect, on_block
        )
    table = with_shares(table, study.shares, design.inference.confidence)
    if design.site.method == "meta":
        table = table.join(pool_sites(complete, model, design.inference))
    return complete, model, table


def _both_ways(
    study: Study, scopes: tuple[ScoreScope, ...]
) -> tuple[tuple[Collinear, ...], dict[str, pd.DataFrame], list[str]]:
    """What goes with group, the comparison without (or with) each, and what cannot be shown."""
    collinear, otherwise, left_out = going_with_group(study, scopes), {}, []
    for one in collinear:
        try:
            otherwise[one.name] = _otherwise(study, one)
        except TableError as error:
            left_out.append(f"{one.sentence} They could not be: {error}")
    return tuple(c for c in collinear if c.name in otherwise), otherwise, left_out


def _others(study: Study, collinear: Collinear) -> tuple[str, ...]:
    return tuple(name for name in study.design.covariates if name != collinear.name)


def _otherwise(study: Study, collinear: Collinear) -> pd.DataFrame:
    """The group comparison without this covariate, or with this score; permutations left out."""
    if collinear.adjusted:
        model = build_model(study, covariates=_others(study, collinear))
    else:
        score = study.scores[collinear.name]
        study = replace(study, covariates=study.covariates.assign(**{collinear.name: score}))
        study = study.rows(score.notna())
        model = build_model(study)
    model, design = harmonised(study, model), study.design
    known = [region for region in model.regions if model.has_enough([region])]
    if not known:
        raise TableError("too few have what is adjusted for", value=len(study.participants))
    left = {name: [r for r in found if r in known] for name, found in study.families.items()}
    families = {name: regions for name, regions in left.items() if regions}
    table = estimate(model.of(known), design.inference, design.smallest_effect, families)
    return table.reindex(pd.Index(model.regions, name=table.index.name))


def _variants(
    study: Study, design: Design, cohort: CohortVolumes, participants: Participants
) -> tuple[dict[str, Study], list[str]]:
    """The study under other exclusions by quality that leave other people, and sentences on those
    that are impossible."""
    if cohort.quality is None or not cohort.quality.notna().any():
        return {}, []
    own = design.exclusions.quality_below
    strict = round(float(cohort.quality.quantile(0.1)), 4)
    limits = {"no quality limit": 0.0, "lowest tenth by quality out": strict}
    variants, left_out = {}, []
    for name, limit in limits.items():
        if limit == own or (limit < own and limit > 0):
            continue
        exclusions = design.exclusions.model_copy(update={"quality_below": limit})
        changed = design.model_copy(update={"exclusions": exclusions})
        try:
            other = build_study(changed, cohort, participants)[0]
            if {*other.volumes.index} != {*study.volumes.index}:
                variants[name] = completed(other)
        except TableError as error:
            left_out.append(f"Not among the specifications, {name}: {error.rule}.")
    return variants, left_out


def _group_draws(study: Study) -> int:
    missing = study.design.missing
    repeats = missing.imputations if missing.method == "impute" else 1
    paired = sum(bool(twins(regions)) for regions in study.families.values())
    return study.design.inference.permutations * (len(study.families) + paired) * repeats


def _change_draws(whole: Study) -> int:
    sessions = whole.design.sessions
    return sessions.bootstraps * len(whole.regions) * len(sessions.follow_up)


def _score_change_draws(whole: Study) -> int:
    """At most: both arms and each of them."""
    design, groups = whole.design, 3
    asked = len(design.scores) * len(design.sessions.follow_up) * groups
    methods = len(design.correlations.methods) * len(whole.families)
    return asked * methods * design.inference.permutations


def _bar(title: str, draws: int, shown: bool) -> Bar:
    return progress_bar(draws, "draws", title, shown=shown, leave=False)
