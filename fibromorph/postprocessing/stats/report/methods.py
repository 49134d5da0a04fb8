"""The methods text of an analysis, ready to paste, with what to cite."""

from __future__ import annotations

import importlib.metadata
import re

import fibromorph
from fibromorph.postprocessing.stats.designs.contract import score_in_prose
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.groups.model import INTERCEPT
from fibromorph.postprocessing.stats.results import Results
from fibromorph.postprocessing.stats.scores.change import BOTH, BOTH_ARMS
from fibromorph.postprocessing.stats.tables.measure import THICKNESS

PACKAGES = ("numpy", "scipy", "pandas", "matplotlib", "nilearn")
ETIV_TEXT = {
    "covariate": "Intracranial volume (eTIV) was a covariate.",
    "residual": "{many} were adjusted for intracranial volume by the slope in controls [6].",
    "power": "{many} were adjusted for intracranial volume by a power law fitted to controls [7].",
    "ratio": "{many} were divided by intracranial volume.",
    "none": "{many} were not adjusted for head size.",
}
SITE_TEXT = {
    "none": "",
    "covariate": "Site was a covariate.",
    "combat": "Sites were harmonised by ComBat, with {protected} protected [8]; site indicators"
    " stayed in the model.",
    "meta": "Sites were also analysed one by one and pooled by random effects (REML, Knapp and"
    " Hartung's interval [9]).",
}
CHOICE_TEXT = {
    "etiv": "eTIV adjustment",
    "covariates": "covariate set",
    "exclusions": "exclusions",
    "volumes": "kind of volume",
    "model": "weighting",
}
CITATIONS = (
    "MacKinnon & White 1985, J Econometrics 29:305-325 (HC3).",
    "Freedman & Lane 1983, J Bus Econ Stat 1:292-298; Winkler et al. 2014, NeuroImage 92:381-397.",
    "Benjamini & Hochberg 1995, J R Stat Soc B 57:289-300.",
    "Hedges 1981, J Educ Stat 6:107-128.",
    "Rouder et al. 2009, Psychon Bull Rev 16:225-237; Schuirmann 1987, J Pharmacokinet Biopharm"
    " 15:657-680.",
    "Mathalon et al. 1993, Psychiatry Res 50:121-139.",
    "Liu et al. 2014, Front Hum Neurosci 8:356.",
    "Johnson et al. 2007, Biostatistics 8:118-127; Fortin et al. 2018, NeuroImage 167:104-120.",
    "Knapp & Hartung 2003, Stat Med 22:2693-2710.",
    "Cameron, Gelbach & Miller 2008, Rev Econ Stat 90:414-427.",
    "Steegen et al. 2016, Perspect Psychol Sci 11:702-712; Simonsohn et al. 2020, Nat Hum Behav"
    " 4:1208-1214.",
    "Wilcox 1994, Psychometrika 59:601-616 (percentage bend correlation).",
    "Fitzmaurice, Laird & Ware 2011, Applied Longitudinal Analysis, Wiley, ch. 5.",
    "Fieller 1954, J R Stat Soc B 16:175-185.",
    "Cronbach & Furby 1970, Psychol Bull 74:68-80.",
    "Dworkin et al. 2008, J Pain 9:105-121.",
    "Newcombe 1998, Stat Med 17:873-890.",
    "Bland & Altman 1986, Lancet 327:307-310; Jacobson & Truax 1991, J Consult Clin Psychol"
    " 59:12-19.",
    "Nieuwenhuis, Forstmann & Wagenmakers 2011, Nat Neurosci 14:1105-1107; Kurth, Gaser & Luders"
    " 2015, Nat Protoc 10:293-304.",
    "Crawford & Garthwaite 2006, Neuropsychology 20:259-271.",
)


SEPARATOR = "\n\n"
CITED = re.compile(r"\[(\d+)\]")
"""A number in the paragraphs below, which count `CITATIONS` from 1."""


def methods_text(results: Results) -> tuple[list[str], list[str]]:
    """Paragraphs, and what they cite by number."""
    asked = (_groups, _scores, _change, _score_change)
    paragraphs = (*(paragraph(results) for paragraph in asked), _versions())
    text = SEPARATOR.join(p for p in paragraphs if p)
    order = list(dict.fromkeys(CITED.findall(text)))
    renumbered = CITED.sub(lambda found: f"[{order.index(found[1]) + 1}]", text)
    return renumbered.split(SEPARATOR), [CITATIONS[int(number) - 1] for number in order]


def _groups(results: Results) -> str:
    design, study, many = results.design, results.study, results.study.measure.many
    inference, smallest = design.inference, design.smallest_effect
    covariates = ", ".join(design.covariates) or "no covariates"
    kind = "" if study.other_volumes is None else f", {design.volumes}"
    bound = f"{smallest.value:g} {'sd' if smallest.unit == 'd' else '%'}"
    parts = [
        f"Regional {many} ({study.tool}{kind}) of {int(study.patients.sum())} patients"
        f" and {int((~study.patients).sum())} controls were compared in"
        f" {len(results.groups)} regions ({', '.join(study.families)}) by analysis of covariance,"
        f" adjusted for {covariates}, with errors robust to unequal variances (HC3 [1]).",
        _combined(results),
        ETIV_TEXT[design.etiv].format(many=many.capitalize()),
        _sites(design),
        f"Family-wise p values come from {inference.permutations} permutations after Freedman and"
        f" Lane of the robust t, by its maximum within a family [2] (seed {inference.seed}); false"
        " discovery rates are Benjamini and Hochberg's [3]. Effects are Hedges' g of adjusted"
        f" {many} with noncentral {100 * inference.confidence:.0f} % intervals [4]; Bayes factors"
        " have a Cauchy prior of scale 0.71; equivalence was tested by two one-sided tests against"
        f" {bound}, every region by itself [5].",
        _asymmetry(results),
        _deviations(results),
        _missing(design, many),
        _error(results),
        _shares(results),
        _specifications(results),
    ]
    return " ".join(part for part in parts if part)


def _sites(design: Design) -> str:
    heads = design.etiv == "covariate"
    protected = "group, covariates and eTIV" if heads else "group and covariates"
    return SITE_TEXT[design.site.method].format(protected=protected) if design.site.column else ""


def _combined(results: Results) -> str:
    combined, analysed = results.design.combined, results.groups.index
    sums = [f"{name} ({', '.join(combined[name])})" for name in combined if name in analysed]
    if not sums:
        return ""
    if not results.study.measure.summed:
        return f"Of combined regions the parts' unweighted mean was taken: {'; '.join(sums)}."
    return f"Volumes of parts were summed: {'; '.join(sums)}."


def _asymmetry(results: Results) -> str:
    if results.asymmetry is None:
        return ""
    return (
        "Whether one side differed otherwise than the other was asked of the asymmetry (left minus"
        " right over their mean) by the same model, family-wise over pairs [19]."
    )


def _deviations(results: Results) -> str:
    if not results.deviations["n_regions"].any():
        return ""
    return (
        "Single people were held against the controls' regression on the same covariates, controls"
        " against the other controls [20]."
    )


def _missing(design: Design, many: str) -> str:
    if design.missing.method == "drop":
        return f"People with a missing covariate were left out; missing {many} by region only."
    return (
        f"Missing covariates and {many} were imputed {design.missing.imputations} times by chained"
        " equations with predictive mean matching, and the group comparison pooled by Rubin's"
        " rules; scores, assumptions, meta-analysis and the specification curve rest on the first."
    )


def _specifications(results: Results) -> str:
    table = results.sensitivity
    asked = {column: text for column, text in CHOICE_TEXT.items() if column in table}
    varied = [text for column, text in asked.items() if table[column].nunique() > 1]
    return f"The contrast was repeated under every combination of {', '.join(varied)} [11]."


def _error(results: Results) -> str:
    if "reliability" not in results.groups:
        return ""
    return (
        f"Each {results.study.measure.one}'s standard error weighted a second model (random effects"
        " over people, REML [9]) and gave the reliability by which effects were corrected for"
        " attenuation."
    )


def _shares(results: Results) -> str:
    if "responsiveness" not in results.groups:
        return ""
    how = "(divided on the log scale, delta-method interval)"
    if results.study.measure is THICKNESS:
        return (
            "The share of a thinner cortex that is seen, measured with the segmentation model on"
            " heads whose cortex was made thinner from outside, region by region, gave the"
            f" difference that a region would have if all of it were seen {how}."
        )
    return (
        "The share of a change of one region alone that is seen, measured with the"
        " segmentation model on deformed heads, gave the difference that a region would have if its"
        f" neighbours did not differ {how}."
    )


def _scores(results: Results) -> str:
    if not results.scopes:
        return ""
    names = ", ".join(score_in_prose(s.name) for s in results.scopes)
    methods = ", ".join(m.replace("_", " ") for m in results.design.correlations.methods)
    return (
        f"{results.study.measure.many.capitalize()} were related to {names} by partial correlations"
        f" ({methods} [12]) adjusted for the same covariates, within patients, within controls and"
        " over both with group as a further covariate; in patients only where controls have no"
        " score or all the same. Family-wise p and false discovery rates rest on permutations of"
        " what is correlated."
    )


def _change(results: Results) -> str:
    if results.change is None:
        return ""
    study = results.whole
    arms = (
        " Follow-up was also compared by analysis of covariance on baseline."
        if study.arm is not None
        else ""
    )
    modelled = study.site is not None and results.design.site.method != "none"
    site = " Sites entered it as indicators." if modelled else ""
    known = results.change.get(f"weighted_change_{study.measure.unit}")
    weighted = (
        f" The model was also fitted with each {study.measure.one}'s error variance known, where it"
        " is."
        if known is not None and known.notna().any()
        else ""
    )
    repeated = (
        ", of simulated repetition with one protocol where a person's scans come from one site [18]"
        if study.repeats and study.sd is not None
        else ""
    )
    contrast, sessions = results.change["contrast"].iloc[0], results.design.sessions
    return (
        f"Change ({contrast}) was estimated by a linear mixed model with a random intercept a"
        f" person (REML){_adjusted_change(results)}; p values and intervals come from a wild"
        f" bootstrap over people with {sessions.bootstraps} draws [10], family-wise over regions"
        f" and sessions by its maximum.{arms}{weighted}{site}{_gap(results)} What was missing was"
        " not imputed. Change of single people was held against 1.96 times the root of both scans'"
        f" error variances{repeated}."
    )


def _adjusted_change(results: Results) -> str:
    """What covariates bear on: level and change, or level alone."""
    data = results.followed
    assert data is not None
    changes = dict.fromkeys(str(name).rsplit(" x ", 1)[0] for name in data.slopes)
    visits = [name for name in data.nuisance if name in results.whole.time_varying]
    sites = [name for name in data.nuisance if str(name).startswith("site[")]
    known = {*changes, *visits, *sites, INTERCEPT}
    levels = [name for name in data.nuisance if name not in known]
    kinds = {
        "in level and change (covariate x session, centred [13])": changes,
        "in level": levels,
        "as of each session": visits,
    }
    parts = [f"for {', '.join(map(str, names))} {how}" for how, names in kinds.items() if names]
    return f", adjusted {' and '.join(parts)}" if parts else ""


def _gap(results: Results) -> str:
    if results.change is None or f"gap_{results.study.measure.unit}" not in results.change:
        return ""
    return (
        " The distance of the treated to controls was estimated by the group comparison's model,"
        " less their change; the share of it that they close has Fieller's interval [14], and being"
        " alike was tested by two one-sided tests [5]."
    )


def _score_change(results: Results) -> str:
    found = results.score_change
    if found is None:
        return ""
    design, parts = results.design, []
    if len(found.table):
        methods = ", ".join(m.replace("_", " ") for m in design.correlations.methods)
        two = found.table["group"].isin([BOTH_ARMS, BOTH]).any()
        arm = "" if not two else " and arm" if results.whole.arm is not None else " and group"
        parts.append(
            f"Change in scores was related to change in {results.study.measure.many} among the"
            f" people followed by partial correlations ({methods} [12]), adjusted for both"
            f" baselines [15], the same covariates{arm}; p values come from"
            f" {design.inference.permutations} permutations after Freedman and Lane, family-wise by"
            " the maximum of the robust t within a family [2]."
        )
    if len(found.responders):
        parts.append(
            "Responders improved by"
            f" {100 * design.sessions.response:g} % of their baseline score or more [16]; shares"
            " have Wilson's interval, their difference Newcombe's [17]."
        )
    return " ".join(parts)


def _versions() -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"Software: fibromorph {fibromorph.__version__}, {versions}."
