// The page: send a scan, watch it, look at it.

import { Problem, blob, hasKey, isRefused, json, send, setKey } from "./api.js";
import { $, JobList, complain, download, end, entry, follow, isDoubtful, isOver } from "./parts.js";
import * as study from "./study.js";
import * as table from "./table.js";
import * as viewer from "./viewer.js";

const STAGES = ["load", "conform", "network", "components", "own grid", "volumes", "write"];
const DOWNLOADS = [
  ["volumes", "Volumes (TSV)", "_volumes.tsv", "text/tab-separated-values"],
  ["thickness", "Thickness (TSV)", "_thickness.tsv", "text/tab-separated-values"],
  ["segmentation", "Segmentation (NIfTI)", "_dseg.nii.gz"],
  ["tissue/brain_mask", "Brain mask (NIfTI)", "_desc-brain_mask.nii.gz"],
  ["tissue/brain", "Without skull (NIfTI)", "_desc-brain_T1w.nii.gz"],
  ["tissue/grey", "Grey matter (NIfTI)", "_label-GM_probseg.nii.gz"],
  ["tissue/white", "White matter (NIfTI)", "_label-WM_probseg.nii.gz"],
  ["tissue/fluid", "Fluid (NIfTI)", "_label-CSF_probseg.nii.gz"],
  ["maps/grey", "Grey matter in MNI (NIfTI)", "_space-MNI152NLin2009aSym_label-GM_desc-modulated_probseg.nii.gz"],
  ["maps/white", "White matter in MNI (NIfTI)", "_space-MNI152NLin2009aSym_label-WM_desc-modulated_probseg.nii.gz"],
  ["report", "Report (HTML)", "_report.html"],
  ["provenance", "Provenance (JSON)", ".json"],
  ["preview", "Picture (PNG)", "_preview.png"],
];
const ATLAS_DOWNLOADS = [
  ["volumes", "volumes (TSV)", "_volumes.tsv", "text/tab-separated-values"],
  ["thickness", "thickness (TSV)", "_thickness.tsv", "text/tab-separated-values"],
  ["labels", "regions (NIfTI)", "_dseg.nii.gz"],
  ["names", "names (TSV)", "_dseg.tsv"],
];
// What follows the volumes before anything is written.
const BEYOND = ["ribbon", "thickness", "average head", "atlases", "tissue"];
const LOOK_AGAIN_MS = 5000;
const NAMES = "fibromorph-names";

let chosen = null;
let watching = new AbortController();

// What a file without an id was called, often a patient's name: only this tab knows it.
const names = () => JSON.parse(sessionStorage.getItem(NAMES) || "{}");
const keepNames = (kept) => sessionStorage.setItem(NAMES, JSON.stringify(kept));
const nameOf = (job) => job.label || names()[job.id] || `scan ${job.id.slice(0, 8)}`;
const line = (job) => entry(job, nameOf(job), chosen?.id, choose);
const scans = new JobList("v1/jobs", $("jobs"), $("no-jobs"), $("more"), line);

function forgetName(id) {
  const { [id]: _, ...others } = names();
  keepNames(others);
}

async function upload(file) {
  if (!$("sending").hidden) {
    // It would go out under the id of the scan that is under way.
    complain($("upload-problem"), `A scan is still being sent: ${file.name} was not. Send it when that one is there.`);
    $("file").value = "";
    return;
  }
  const label = $("label").value;
  const query = new URLSearchParams({ label, model: $("model").value });
  complain($("upload-problem"), null);
  if (!$("label").checkValidity()) {
    complain($("upload-problem"), "A participant's id has only letters A to Z, digits, dots, hyphens and underscores: the scan was not sent.");
    $("file").value = "";
    $("label").focus();
    return;
  }
  $("sending").hidden = false;
  try {
    const job = await send(`v1/scans?${query}`, file, (share) => { $("sending").value = 100 * share; });
    if (!job.label) keepNames({ ...names(), [job.id]: file.name });
    // The next scan is another person's, whose id may have been typed meanwhile.
    if ($("label").value === label) $("label").value = "";
    $("find").value = "";
    await refresh();
    choose(job);
  } catch (error) {
    complain($("upload-problem"), error);
  } finally {
    $("sending").hidden = true;
    $("file").value = "";
  }
}

// Each scan has an id of its own, so that they come one by one.
function dropped(files) {
  if (files.length === 1) upload(files[0]);
  else complain($("upload-problem"), `One scan at a time: ${files.length} files were dropped, none was sent.`);
}

// Looks again at what the open tab shows.
async function refresh() {
  try {
    await ($("study").hidden ? list() : study.list.look());
    if (!$("model").options.length) await fillModels();
    $("status").textContent = $("model").options.length ? "" : "The service is starting and takes scans in a moment.";
  } catch (error) {
    if (error instanceof Problem) complain($("status"), error);
    else $("status").textContent = "The service cannot be reached.";
    $("status").hidden = false;
  }
}

async function list() {
  const label = $("find").value.trim();
  // No scan has an id that none can have.
  const looked = await scans.look($("find").checkValidity() ? (label ? { label } : {}) : null);
  if (looked) $("no-jobs").textContent = label ? "No scan has exactly this id." : "None yet.";
}

// A service that starts has no models yet: each look asks again.
async function fillModels() {
  const { models } = await json("v1/models");
  $("model").replaceChildren(...models.map((model) =>
    new Option(`${model.name} ${model.version}`, model.name, model.is_default, model.is_default)));
}

async function choose(job) {
  chosen = job;
  watching.abort();
  watching = new AbortController();
  const { signal } = watching;
  history.replaceState(null, "", `#${job.id}`);
  $("result").hidden = true;
  for (const button of $("jobs").querySelectorAll("button")) button.ariaCurrent = String(button.dataset.id === job.id);
  draw(job);
  try {
    for await (const now of follow(job.id, signal, drawLost)) draw(now);
    signal.throwIfAborted();
    if (chosen.state === "done") await showResult(chosen, signal);
    refresh();
  } catch (error) {
    if (error.name !== "AbortError") complain($("job-problem"), error);
  }
}

function draw(job) {
  chosen = job;
  $("nothing").hidden = true;
  $("job").hidden = false;
  $("job-name").textContent = nameOf(job);
  $("job-facts").textContent = facts(job);
  $("job-facts").classList.toggle("doubtful", isDoubtful(job));
  $("job-why").textContent = job.quality_reasons.join("; ");
  $("job-why").hidden = !isDoubtful(job) || !job.quality_reasons.length;
  say(job);
  $("end").textContent = isOver(job) ? "Delete" : "Cancel";
  $("end").disabled = job.cancel_requested && job.state === "running";
  complain($("job-problem"), job.problem && { message: job.problem.detail });
  drawStages(job);
  scans.renew(job);
}

// A percentage every second would drown a screen reader: it is told of states alone.
function say(job) {
  const quality = job.quality ? `, quality ${job.quality}` : "";
  const said = `${nameOf(job)}: ${job.state}${quality}`;
  if ($("job-said").textContent !== said) $("job-said").textContent = said;
}

function drawLost() {
  $("job-facts").textContent = `${facts(chosen)} · connection lost, trying again`;
}

function facts(job) {
  const model = `${job.model.name} ${job.model.version}`;
  if (job.state === "queued") return `waiting, ${job.queue_position} before it · ${model}`;
  if (job.state === "running") return `${job.stage ?? "starting"}, ${job.percent} % · ${model}`;
  const seconds = Object.values(job.seconds).reduce((sum, value) => sum + value, 0);
  const took = seconds ? ` in ${seconds.toFixed(1)} s` : "";
  return `${job.state}${took}${job.quality ? `, quality ${job.quality}` : ""} · ${model}`;
}

function drawStages(job) {
  const at = job.state === "done" ? STAGES.length : STAGES.indexOf(BEYOND.includes(job.stage) ? "volumes" : job.stage);
  $("stages").hidden = ["failed", "cancelled"].includes(job.state);
  $("stages").replaceChildren(...STAGES.map((stage, index) => {
    const item = document.createElement("li");
    item.textContent = stage;
    item.className = index < at ? "past" : index === at ? "now" : "";
    if (index === at) item.ariaCurrent = "step";
    return item;
  }));
}

// Whoever chooses another scan meanwhile must not see this one's volumes under that name.
async function showResult(job, signal) {
  const root = `v1/jobs/${job.id}`;
  const { regions } = await json(`${root}/volumes`, { signal, headers: { Accept: "application/json" } });
  if (job.links.thickness) await addThickness(regions, root, signal);
  const byId = new Map(regions.map((region) => [region.region_id, region]));
  $("result").hidden = false;
  $("report-box").open = false;
  complain($("result-problem"), null);
  const there = [...DOWNLOADS, ...atlasDownloads(job.links)].filter(([kind]) => kind in job.links);
  $("downloads").replaceChildren(...there.map(([kind, text, suffix, accept]) =>
    download($("result-problem"), text, `${root}/${kind}`, `${job.label || "scan"}${suffix}`, accept)));
  const thick = (region) => (region.thickness_mm ? `, ${region.thickness_mm.toFixed(2)} mm thick` : "");
  const said = (region) => `${region.name.replaceAll("-", " ")}: ${region.volume_ml?.toFixed(2) ?? "n/a"} ml${thick(region)}`;
  const tell = (region, mm) => {
    const where = mm && `${Array.from(mm).slice(0, 3).map((x) => x.toFixed(0)).join(" ")} mm`;
    $("place").textContent = [where, region && said(region)].filter(Boolean).join(" · ");
    if (region) table.mark(region.region_id);
  };
  table.show(regions, (region) => tell(region, viewer.goTo(region.centre_mm)));
  await viewer.show(root, [...regions], Number($("opacity").value), (mm, id) => {
    tell(byId.get(Math.round(id || 0)), mm);
  }, signal);
}

function atlasDownloads(links) {
  const names = new Set(Object.keys(links).map((kind) => kind.match(/^atlases\/(\w+)\//)?.[1]).filter(Boolean));
  return [...names].flatMap((name) => ATLAS_DOWNLOADS.map(([part, text, suffix, accept]) =>
    [`atlases/${name}/${part}`, `${name}: ${text}`, `_seg-${name}${suffix}`, accept]));
}

async function addThickness(regions, root, signal) {
  const told = await json(`${root}/thickness`, { signal, headers: { Accept: "application/json" } });
  const byName = new Map(told.regions.map((region) => [region.name, region.thickness_mm]));
  for (const region of regions) region.thickness_mm = byName.get(region.name) ?? null;
}

async function endChosen() {
  const job = chosen;
  const left = await end(job, nameOf(job));
  if (!left) forgetName(job.id);
  if (chosen?.id === job.id) {
    if (!left) leave();
    else if (isOver(left) && !isOver(job)) choose(left);
  }
  refresh();
}

function leave() {
  watching.abort();
  chosen = null;
  history.replaceState(null, "", location.pathname);
  $("job").hidden = true;
  $("nothing").hidden = false;
}

async function begin() {
  $("key-button").hidden = !hasKey();
  await refresh();
  if (isRefused()) return;
  const wanted = location.hash.slice(1);
  if (/^[0-9a-f]{32}$/.test(wanted)) json(`v1/jobs/${wanted}`).then(choose, () => {});
}

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    const { files } = event.dataTransfer;
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && files.length) $("scans").hidden ? study.dropped(files) : dropped(files);
  });
}
$("file").onchange = () => upload($("file").files[0]);
$("find").oninput = () => { scans.showLess(); refresh(); };
$("more").onclick = () => { scans.showMore(); refresh(); };
$("more-studies").onclick = () => { study.list.showMore(); refresh(); };
$("upload").onsubmit = (event) => event.preventDefault();
$("end").onclick = () => endChosen().catch((error) => complain($("job-problem"), error));
$("opacity").oninput = () => viewer.setOpacity(Number($("opacity").value));
$("key-button").onclick = () => $("key-dialog").showModal();
$("key-form").onsubmit = () => {
  setKey($("key").value);
  // What another key's owner was shown goes with the page.
  location.reload();
};
$("report-box").ontoggle = async () => {
  if (!$("report-box").open) return;
  const { signal } = watching;
  try {
    $("report").srcdoc = await (await blob(`v1/jobs/${chosen.id}/report`, { signal })).text();
  } catch (error) {
    if (!signal.aborted) complain($("result-problem"), error);
  }
};
const tabs = [$("tab-scans"), $("tab-study")];
function open(tab) {
  for (const each of tabs) {
    each.ariaSelected = String(each === tab);
    each.tabIndex = each === tab ? 0 : -1;
    $(each.getAttribute("aria-controls")).hidden = each !== tab;
  }
  refresh();
}
for (const tab of tabs) {
  tab.onclick = () => open(tab);
  tab.onkeydown = (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const other = tabs[1 - tabs.indexOf(tab)];
    open(other);
    other.focus();
  };
}
// Earlier pages kept names for ever.
localStorage.removeItem(NAMES);
setInterval(() => document.hidden || isRefused() || refresh(), LOOK_AGAIN_MS);
begin();
