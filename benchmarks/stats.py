"""Do the statistics keep their promises: error rates and coverage over simulated studies.

Every line is a rate over independent studies, with its Monte Carlo standard error and what it
should be. Nothing is rendered here: volumes are drawn; `through_scans.py` goes through the scans.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from fibromorph.datasets.cohort.effects import Effect
from fibromorph.datasets.cohort.people import draw_people
from fibromorph.datasets.cohort.settings import CohortSettings
from fibromorph.datasets.cohort.targets import draw_constitution, target_volumes
from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.stats.change.analysis import analyse_change
from fibromorph.postprocessing.stats.change.data import change_data
from fibromorph.postprocessing.stats.designs.design import parse_design
from fibromorph.postprocessing.stats.designs.sections import Correlations, Score
from fibromorph.postprocessing.stats.groups.asymmetry import compare_asymmetry
from fibromorph.postprocessing.stats.groups.comparison import compare_groups, estimate, permute
from fibromorph.postprocessing.stats.groups.model import GroupModel, centred
from fibromorph.postprocessing.stats.models.linear import Floats
from fibromorph.postprocessing.stats.models.permutation import freedman_lane
from fibromorph.postprocessing.stats.people.study import Study
from fibromorph.postprocessing.stats.scores.change import analyse_score_change

PATIENTS, CONTROLS = 23, 21
IDS = tuple(i for i in FREESURFER.ids if i not in (2, 41, 24))
REGIONS = [FREESURFER[i].name for i in IDS]
PLANTED = {12: -0.08, 51: -0.08, 10: 0.05, 49: 0.05}
ALPHA = 0.05
ERROR = 0.04
GAP, SHARE = 1.2, 0.5
OLDER_YEARS, LOSS_ML_A_YEAR = 8.0, 0.01
DROPOUT = 0.3
PARTS = ("groups", "sides", "linear", "small", "change", "older", "scores", "time")
ASSOCIATION = -0.6
DESIGN = parse_design(
    {
        "groups": {"patients": "patient", "controls": "control"},
        "covariates": ["age"],
        "etiv": "none",
        "sessions": {"baseline": "ses-01", "follow_up": ["ses-02"], "bootstraps": 500},
    }
)


class Tally:
    """Counts how often something held, by name, in the order in which names are met."""

    def __init__(self) -> None:
        self._held: dict[str, list[float]] = defaultdict(list)
        self._target: dict[str, float | None] = {}

    def add(self, name: str, held: float, target: float | None) -> None:
        """One study: whether it held, or the share of its regions in which it did."""
        self._held[name].append(float(held))
        self._target[name] = target

    def show(self) -> None:
        """One line a name: rate, Monte Carlo error, target, distance in Monte Carlo errors."""
        for name, held in self._held.items():
            rate, target = float(np.mean(held)), self._target[name]
            error = monte_carlo_error(held, target)
            line = f"{name:<66} {rate:7.4f} +- {error:.4f}"
            if target is not None and error > 0:
                line += f"   should be {target:.2f}, {(rate - target) / error:+5.1f} se"
            print(line)


def monte_carlo_error(held: list[float], target: float | None) -> float:
    """Standard error of the rate; of yes and no, what it would be at the target."""
    binary = target is not None and set(held) <= {0.0, 1.0}
    spread = math.sqrt(target * (1 - target)) if target and binary else float(np.std(held))
    return spread / math.sqrt(len(held))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000, help="of two groups")
    parser.add_argument("--changes", type=int, default=400, help="studies of change, and of scores")
    parser.add_argument("--permutations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "groups": lambda: groups(options.studies, options.permutations, options.seed),
        "sides": lambda: sides(options.studies, options.permutations, options.seed),
        "linear": lambda: linear(options.studies, options.seed),
        "small": lambda: small(options.studies, options.permutations, options.seed),
        "change": lambda: change(options.changes, options.seed),
        "older": lambda: older(options.changes, options.seed),
        "scores": lambda: scores(options.changes, options.permutations, options.seed),
        "time": lambda: timing(options.seed),
    }
    for name, part in parts.items():
        if options.only in (None, name):
            started = time.perf_counter()
            part()
            print(f"({time.perf_counter() - started:.0f} s)\n")


def groups(studies: int, permutations: int, seed: int) -> None:
    """Anatomy as the simulator draws it, measured with 4 % error; with and without changes."""
    print(f"two groups, {PATIENTS} v {CONTROLS}, {len(IDS)} correlated regions, {studies} studies")
    effects = tuple(Effect(i, FREESURFER[i].name, c) for i, c in PLANTED.items())
    tally = Tally()
    for rng in generators(seed, studies, "groups"):
        null = anatomical_model(rng, ())
        tally.add("null: any p_fwe <= 0.05", any_below(null, permutations, rng), ALPHA)
        table = estimate(null, DESIGN.inference, DESIGN.smallest_effect)
        tally.add("null: uncorrected p <= 0.05", (table["p"] <= ALPHA).mean(), ALPHA)
        tally.add("null: 0 inside the interval of the percentage", covers(table, 0.0), 0.95)
        planted_study(anatomical_model(rng, effects), permutations, rng, tally)
    tally.show()


def planted_study(
    model: GroupModel, permutations: int, rng: np.random.Generator, tally: Tally
) -> None:
    """One study with planted changes."""
    table = estimate(model, DESIGN.inference, DESIGN.smallest_effect)
    for label_id, change in PLANTED.items():
        row = table.loc[[FREESURFER[label_id].name]]
        name = f"planted {100 * change:+.0f} %: inside the interval of the percentage"
        tally.add(name, covers(row, 100 * change), 0.95)
        right = np.sign(row["difference_percent"]) == np.sign(change)
        tally.add(f"planted {100 * change:+.0f} %: right sign", right.mean(), None)
    p = permute(model, {"regions": REGIONS}, rng, permutations)["p_fwe"]
    for label_id, change in PLANTED.items():
        found = p[FREESURFER[label_id].name] <= ALPHA
        tally.add(f"planted {100 * change:+.0f} %: found at p_fwe <= 0.05", found, None)
    others = [FREESURFER[i].name for i in IDS if i not in PLANTED]
    tally.add("planted: any other region at p_fwe <= 0.05", bool((p[others] <= ALPHA).any()), None)


def sides(studies: int, permutations: int, seed: int) -> None:
    """One putamen smaller, or both alike: what p of regions say of sides, and p of asymmetry."""
    print(f"left against right, {PATIENTS} v {CONTROLS}, {studies} studies")
    inference = DESIGN.inference.model_copy(update={"permutations": permutations})
    families, both = {"regions": REGIONS}, ("Left-Putamen", "Right-Putamen")
    ids = {FREESURFER[i].name: i for i in IDS}
    tally = Tally()
    for rng in generators(seed, studies, "sides"):
        for planted in (both, both[:1]):
            model = anatomical_model(rng, tuple(Effect(ids[n], n, -0.08) for n in planted))
            asked = inference.model_copy(update={"seed": int(rng.integers(1 << 31))})
            table = compare_groups(model, families, asked, DESIGN.smallest_effect)
            unequal = compare_asymmetry([model], table, families, asked, DESIGN.smallest_effect)
            assert unequal is not None
            title = f"putamen -8 %, {'both sides' if len(planted) == 2 else 'left'}"
            found = (table["p_fwe"].loc[list(both)] <= ALPHA).sum()
            tally.add(f"{title}: found on one side alone", found == 1, None)
            truth = 0.0 if len(planted) == 2 else 200 * -0.08 / (2 - 0.08)
            columns = ["ci_low_percent", "ci_high_percent", "p_fwe"]
            low, high, p = map(float, unequal.loc[["Putamen"], columns].to_numpy(float)[0])
            tally.add(f"{title}: its asymmetry inside the interval", low <= truth <= high, 0.95)
            tally.add(f"{title}: asymmetry, p_fwe <= 0.05", p <= ALPHA, None)
            falsely = unequal if len(planted) == 2 else unequal.drop(index="Putamen")
            any_other = float((falsely["p_fwe"] <= ALPHA).any())
            tally.add(f"{title}: any asymmetry that is not there", any_other, ALPHA)
    tally.show()


def anatomical_model(rng: np.random.Generator, effects: tuple[Effect, ...]) -> GroupModel:
    """A study as `fibromorph synth cohort` draws it, without scans."""
    settings = CohortSettings(patients=PATIENTS, controls=CONTROLS, effects=())
    people = draw_people(rng, settings)
    reference = dict.fromkeys(IDS, 5.0)
    rows, sizes = [], []
    for person in people:
        constitution = draw_constitution(rng, person.sex, IDS, 1)
        rows.append(list(target_volumes(person, constitution, reference, effects).values()))
        sizes.append(constitution.intracranial_ml)
    true = np.array(rows)
    measured = pd.DataFrame(true * np.exp(rng.normal(0, ERROR, true.shape)), columns=REGIONS)
    nuisance = pd.DataFrame(
        {
            "age": [p.age for p in people],
            "sex": [float(p.sex == "M") for p in people],
            "eTIV": np.array(sizes) * np.exp(rng.normal(0, 0.01, len(people))),
        }
    )
    nuisance = nuisance.loc[:, nuisance.nunique() > 1]
    patients = np.array([p.is_patient for p in people])
    return GroupModel(measured, measured, None, patients, centred(nuisance))


def linear(studies: int, seed: int) -> None:
    """Normal errors of known size, where the true difference and the true g are known exactly."""
    print(f"two groups, {PATIENTS} v {CONTROLS}, normal errors, d = 0, 0.8, 1.5, {studies} studies")
    effects, tally = np.array([0.0, 0.8, 1.5]), Tally()
    group = np.repeat([1.0, 0.0], [PATIENTS, CONTROLS])
    for rng in generators(seed, studies, "linear"):
        age = rng.normal(47, 10, group.size)
        noise = 0.6 * rng.normal(size=(group.size, 1)) + 0.8 * rng.normal(size=(group.size, 3))
        volumes = 10 - 0.02 * age[:, None] + effects * group[:, None] + noise
        table = pd.DataFrame(volumes, columns=[f"d = {d}" for d in effects])
        nuisance = centred(pd.DataFrame({"age": age}))
        model = GroupModel(table, table, None, group.astype(bool), nuisance)
        found = estimate(model, DESIGN.inference, DESIGN.smallest_effect)
        for d, (name, row) in zip(effects, found.iterrows(), strict=True):
            in_ml = row["ci_low_ml"] <= d <= row["ci_high_ml"]
            in_g = row["g_ci_low"] <= d <= row["g_ci_high"]
            tally.add(f"{name}: inside the interval in ml", in_ml, 0.95)
            tally.add(f"{name}: inside the interval of g", in_g, 0.95)
    tally.show()


def small(studies: int, permutations: int, seed: int) -> None:
    """Nothing planted, where samples are small: unequal spread, and someone without a like."""
    print(f"small groups, 5 independent regions, nothing planted, {studies} studies")
    tally = Tally()
    for rng in generators(seed, studies, "small"):
        for ill, well, spread in ((12, 12, 1), (12, 12, 3), (6, 24, 3), (6, 24, 1 / 3)):
            group = np.repeat([1.0, 0.0], [ill, well])
            volumes = 10 + rng.normal(size=(group.size, 5)) * np.where(group, spread, 1)[:, None]
            name = f"{ill} v {well}, sd {spread:.2g} : 1"
            null_study(name, group, volumes, {}, permutations, rng, tally)
        group = np.repeat([1.0, 0.0], [12, 12])
        for women in (1, 2):
            sex = np.r_[np.zeros(12), np.arange(12) >= women]
            name = f"12 women v {12 - women} men and {women} more, sex a covariate"
            volumes = 10 + rng.normal(size=(24, 5))
            null_study(name, group, volumes, {"sex": sex}, permutations, rng, tally)
    tally.show()


def null_study(
    name: str,
    group: Floats,
    volumes: Floats,
    covariates: dict[str, Floats],
    permutations: int,
    rng: np.random.Generator,
    tally: Tally,
) -> None:
    """Uncorrected and family-wise tests of one study."""
    table = pd.DataFrame(volumes, columns=[f"region {n}" for n in range(volumes.shape[1])])
    nuisance = centred(pd.DataFrame(covariates, index=table.index))
    model = GroupModel(table, table, None, group.astype(bool), nuisance)
    found = estimate(model, DESIGN.inference, DESIGN.smallest_effect)
    tally.add(f"{name}: uncorrected p <= 0.05", (found["p"] <= ALPHA).mean(), ALPHA)
    p = permute(model, {"regions": list(table.columns)}, rng, permutations)["p_fwe"]
    tally.add(f"{name}: any p_fwe <= 0.05", bool((p <= ALPHA).any()), ALPHA)


def change_in(whole: Study) -> pd.DataFrame:
    """Group x time of a study that asks for it."""
    data = change_data(whole)
    assert data is not None
    return analyse_change(whole, data).table


def score_change_in(whole: Study) -> pd.DataFrame:
    """Change in scores against change in regions of a study that asks for it."""
    data = change_data(whole)
    assert data is not None
    found = analyse_score_change(whole, data)
    assert found is not None
    return found.table


def change(studies: int, seed: int) -> None:
    """Two sessions; who has a small volume at baseline is likelier to drop out."""
    print(
        f"group x time, {PATIENTS} v {CONTROLS}, {DROPOUT:.0%} drop-out that depends on baseline,"
        f" 8 correlated regions, {studies} studies"
    )
    tally = Tally()
    for rng in generators(seed, studies, "change"):
        for name, share in (("null", 0.0), ("half of the gap closed", SHARE)):
            table = change_in(longitudinal_study(rng, share))
            truth = share * GAP
            tally.add(f"{name}: interval holds the true change", within(table, truth), 0.95)
            if share:
                tally.add(f"{name}: found at p_fwe <= 0.05", (table["p_fwe"] <= ALPHA).mean(), None)
                tally_gap(table, share, tally)
            else:
                tally.add(
                    f"{name}: any p_fwe <= 0.05", bool((table["p_fwe"] <= ALPHA).any()), ALPHA
                )
                below = (table["p_bootstrap"] <= ALPHA).mean()
                tally.add(f"{name}: uncorrected p <= 0.05", below, ALPHA)
    tally.show()


def older(studies: int, seed: int) -> None:
    """Change depends on age and patients are older; nothing is due to the illness."""
    print(
        f"group x time, patients {OLDER_YEARS:g} years older, no gap beyond that, everybody loses"
        f" {LOSS_ML_A_YEAR} a year of age more, {studies} studies"
    )
    tally = Tally()
    for rng in generators(seed, studies, "older"):
        table = change_in(longitudinal_study(rng, 0.0, gap=0.0, older=OLDER_YEARS))
        tally.add("uncorrected p <= 0.05", (table["p_bootstrap"] <= ALPHA).mean(), ALPHA)
        tally.add("interval holds 0", within(table, 0.0), 0.95)
        for name in ("gap", "gap_after"):
            inside = (table[f"{name}_low_ml"] <= 0) & (table[f"{name}_high_ml"] >= 0)
            tally.add(f"{name}: interval holds 0", inside.mean(), 0.95)
        tally.add("share of the gap is given", table["gap_share"].notna().mean(), None)
    tally.show()


def tally_gap(table: pd.DataFrame, share: float, tally: Tally) -> None:
    """The share of the gap, where there is a gap to speak of."""
    known = table["gap_share"].notna()
    tally.add("share of the gap is given (the gap itself is established)", known.mean(), None)
    if known.any():
        inside = (table["gap_share_low"] <= share) & (share <= table["gap_share_high"])
        tally.add("share of the gap: interval holds the true share", inside[known].mean(), 0.95)


def scores(studies: int, permutations: int, seed: int) -> None:
    """Change in pain against change in volume, in arms of 12 and of 25."""
    print(f"change in pain against change in volume, two arms, 8 regions, {studies} studies")
    tally = Tally()
    for rng in generators(seed, studies, "scores"):
        for n in (12, 25):
            unrelated = score_change_in(unrelated_arms(rng, n, permutations))
            for (group, method), part in by_question(unrelated):
                name = f"{n} an arm, unrelated, {group}, {method}"
                below = bool((part["p_fwe"] <= ALPHA).any())
                tally.add(f"{name}: any p_fwe <= 0.05", below, ALPHA)
                tally.add(f"{name}: p_permutation", (part["p_permutation"] <= ALPHA).mean(), ALPHA)
                tally.add(f"{name}: p", (part["p"] <= ALPHA).mean(), ALPHA)
            related = score_change_in(related_arms(rng, n, permutations))
            for (group, method), part in by_question(related):
                name, row = f"{n} an arm, r = {ASSOCIATION}, {group}, {method}", part.iloc[0]
                tally.add(f"{name}: found at p_fwe <= 0.05", row["p_fwe"] <= ALPHA, None)
                others = bool((part["p_fwe"].iloc[1:] <= ALPHA).any())
                tally.add(f"{name}: any other region at p_fwe <= 0.05", others, ALPHA)
                if method == "pearson":
                    inside = row["ci_low"] <= ASSOCIATION <= row["ci_high"]
                    tally.add(f"{name}: interval holds r", inside, 0.95)
                    inside = row["slope_low_ml"] <= ASSOCIATION <= row["slope_high_ml"]
                    tally.add(f"{name}: interval holds the slope", inside, 0.95)
    tally.show()


def by_question(table: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """((group, method), rows of all regions), in the table's order."""
    return list(table.groupby(["group", "method"], sort=False))  # type: ignore[arg-type]


def unrelated_arms(rng: np.random.Generator, n: int, permutations: int) -> Study:
    """Two arms whose volumes and pain both change with therapy, and nothing else links.

    Across people the two are correlated by -0.4 in every session; both are measured with error.
    Pain is whole points from 0 to 10, and what therapy takes of it is skewed.
    """
    treated, shared = np.arange(2 * n) < n, rng.normal(size=(2 * n, 1))
    own = 0.63 * shared + 0.77 * rng.normal(size=(2 * n, 8))
    pain = 6 - 1.5 * (0.63 * shared[:, 0] + 0.77 * rng.normal(size=2 * n))
    relief = np.where(treated, rng.gamma(1.5, 1.7, 2 * n), 0.0)
    before, after = (10 + own + noise(rng, own.shape) for _ in range(2))
    after += 0.3 * treated[:, None]
    points = [
        np.clip(np.round(p + rng.normal(0, 0.8, 2 * n)), 0, 10) for p in (pain, pain - relief)
    ]
    return two_arms(rng, (before, after), (points[0], points[1]), permutations)


def related_arms(rng: np.random.Generator, n: int, permutations: int) -> Study:
    """Two arms; in the first of 8 regions the changes are correlated by `ASSOCIATION`.

    Both change by therapy and fall back to their mean; what is left has unit variance, so that the
    slope is the correlation.
    """
    treated, before = np.arange(2 * n) < n, 10 + rng.normal(size=(2 * n, 8))
    pain, shift = rng.normal(size=2 * n), rng.normal(size=2 * n)
    left = 0.6 * rng.normal(size=(2 * n, 1)) + 0.8 * rng.normal(size=(2 * n, 8))
    left[:, 0] = ASSOCIATION * shift + np.sqrt(1 - ASSOCIATION**2) * left[:, 0]
    after = before - 0.3 * (before - 10) + 0.5 * treated[:, None] + left
    return two_arms(rng, (before, after), (pain, 0.6 * pain - treated + shift), permutations)


def two_arms(
    rng: np.random.Generator,
    volumes: tuple[Floats, Floats],
    pain: tuple[Floats, Floats],
    permutations: int,
) -> Study:
    """What `build_study` makes of two sessions of patients, the first half of them treated."""
    n = len(pain[0])
    age, people = rng.normal(47, 10, n), [f"sub-{i:02d}" for i in range(n)]
    keys = [(person, session) for session in ("ses-01", "ses-02") for person in people]
    index = pd.MultiIndex.from_tuples(keys, names=["participant_id", "session_id"])
    table = pd.DataFrame(np.vstack(volumes), index, [f"region-{r}" for r in range(8)])
    study = as_study(table, np.ones(2 * n, dtype=bool), np.tile(age, 2))
    sessions = DESIGN.sessions.model_copy(
        update={"arm": "arm", "treated": "therapy", "untreated": "waiting"}
    )
    inference = DESIGN.inference.model_copy(update={"permutations": permutations})
    score = Score(column="pain", low=-99, high=99)
    update = {
        **{"sessions": sessions, "inference": inference, "scores": {"pain": score}},
        "correlations": Correlations(methods=("pearson", "spearman")),
    }
    arms = np.where(np.arange(n) < n // 2, "therapy", "waiting")
    return replace(
        study,
        design=DESIGN.model_copy(update=update),
        arm=pd.Series(np.tile(arms, 2), index=index, dtype=object),
        scores=pd.DataFrame({"pain": np.concatenate(pain)}, index=index),
    )


def longitudinal_study(
    rng: np.random.Generator, share: float, gap: float = GAP, older: float = 0.0
) -> Study:
    """People with an intercept of their own; unit variance between people, 0.3 from scan to scan.

    Patients are `gap` below controls, and `share` of that is closed at the second session. Where
    they are `older`, everybody's loss depends on age.
    """
    regions = [f"region-{n}" for n in range(8)]
    people = [f"sub-{n:02d}" for n in range(PATIENTS + CONTROLS)]
    patient = np.arange(len(people)) < PATIENTS
    age = rng.normal(47, 10, len(people)) + older * patient
    own = 0.6 * rng.normal(size=(len(people), 1)) + 0.8 * rng.normal(size=(len(people), 8))
    base = 10 + own - gap * patient[:, None] - 0.02 * (age[:, None] - 47)
    before, after = (base + noise(rng, base.shape) for _ in range(2))
    after += share * gap * patient[:, None] + 0.1
    after -= LOSS_ML_A_YEAR * (older > 0) * (age[:, None] - 47)
    stayed = rng.random(len(people)) > dropout_risk(before.mean(axis=1))
    volumes = pd.DataFrame(np.vstack([before, after[stayed]]), columns=regions)
    names = [(p, "ses-01") for p in people]
    names += [(p, "ses-02") for p, here in zip(people, stayed, strict=True) if here]
    volumes.index = pd.MultiIndex.from_tuples(names, names=["participant_id", "session_id"])
    return as_study(volumes, np.r_[patient, patient[stayed]], np.r_[age, age[stayed]])


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Scan to scan: a part that all regions share, and one of each."""
    return 0.3 * (0.5 * rng.normal(size=(shape[0], 1)) + 0.87 * rng.normal(size=shape))


def dropout_risk(baseline: np.ndarray) -> np.ndarray:
    """`DROPOUT` on average, three times as high in the smallest as in the largest fifth."""
    rank = baseline.argsort().argsort() / (len(baseline) - 1)
    return DROPOUT * (1.5 - rank)


def as_study(volumes: pd.DataFrame, patients: np.ndarray, age: np.ndarray) -> Study:
    """What `build_study` makes of tables like these."""
    index = volumes.index
    nothing = pd.DataFrame(index=index)
    return Study(
        design=DESIGN,
        volumes=volumes,
        other_volumes=None,
        sd=None,
        patients=pd.Series(patients, index=index),
        covariates=pd.DataFrame({"age": age}, index=index),
        scores=nothing,
        etiv=None,
        site=None,
        arm=None,
        time_varying=nothing,
        families={"regions": [str(c) for c in volumes.columns]},
        flow=(),
        notes=(),
        tool="simulation",
        shares={},
    )


def timing(seed: int) -> None:
    """10 000 permutations x 130 regions x 1 000 subjects, on all cores."""
    rng = np.random.default_rng(seed)
    outcomes, group = rng.normal(size=(1000, 130)), (np.arange(1000) < 500).astype(float)
    nuisance = np.column_stack([np.ones(1000), rng.normal(size=(1000, 3))])
    started = time.perf_counter()
    freedman_lane(outcomes, group, nuisance, rng, 10_000)
    seconds = time.perf_counter() - started
    print(f"10 000 permutations x 130 regions x 1 000 subjects: {seconds:.1f} s")


def any_below(model: GroupModel, permutations: int, rng: np.random.Generator) -> bool:
    """Whether any region passes as different."""
    p = permute(model, {"regions": REGIONS}, rng, permutations)["p_fwe"]
    return bool((p <= ALPHA).any())


def covers(table: pd.DataFrame, percent: float) -> float:
    """Share of rows whose interval of the percentage holds a value."""
    inside = (table["percent_ci_low"] <= percent) & (percent <= table["percent_ci_high"])
    return float(inside.mean())


def within(table: pd.DataFrame, ml: float) -> float:
    """Share of rows whose interval of the change holds a value."""
    return float(((table["ci_low_ml"] <= ml) & (ml <= table["ci_high_ml"])).mean())


def generators(seed: int, studies: int, name: str) -> Iterator[np.random.Generator]:
    """One generator a study, with small matrix products kept on one core."""
    streams = np.random.default_rng([seed, *name.encode()]).spawn(studies)
    with threadpool_limits(1):
        yield from tqdm(streams, desc=name, leave=False)


if __name__ == "__main__":
    main()
