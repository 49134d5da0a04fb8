// The study tab: a table of participants in, the group report out.

import { blob, json } from "./api.js";
import { $, JobList, complain, download, end, entry, follow, isOver } from "./parts.js";

const INPUTS = [["participants", /\.(tsv|csv|txt)$/i], ["design", /\.ya?ml$/i]];
let chosen = null;
let watching = new AbortController();

const nameOf = (job) => job.label || `study ${job.id.slice(0, 8)}`;

const line = (job) => entry(job, nameOf(job), chosen?.id, choose);

export const list = new JobList("v1/studies", $("studies"), $("no-studies"), $("more-studies"), line);

async function choose(job) {
  watching.abort();
  watching = new AbortController();
  const { signal } = watching;
  $("study-result").hidden = true;
  draw(job);
  try {
    for await (const now of follow(job.id, signal, drawLost)) draw(now);
    signal.throwIfAborted();
    if (chosen.state === "done") await showReport(chosen, signal);
    await list.look();
  } catch (error) {
    if (error.name !== "AbortError") complain($("study-failed"), error);
  }
}

function draw(job) {
  chosen = job;
  $("study-nothing").hidden = true;
  $("study-shown").hidden = false;
  $("study-name").textContent = nameOf(job);
  $("study-facts").textContent = facts(job);
  $("study-end").textContent = isOver(job) ? "Delete" : "Cancel";
  complain($("study-failed"), job.problem && { message: job.problem.detail });
}

const facts = (job) => job.summary || (job.state === "running" ? job.stage ?? "starting" : job.state);

function drawLost() {
  $("study-facts").textContent = `${facts(chosen)} · connection lost, trying again`;
}

async function showReport(job, signal) {
  const root = `v1/studies/${job.id}`;
  $("study-downloads").replaceChildren(
    download($("study-failed"), "Tables (zip)", `${root}/tables`, "study_tables.zip"),
    download($("study-failed"), "Report (HTML)", `${root}/report`, "study_report.html"),
  );
  const report = await (await blob(`${root}/report`, { signal })).text();
  $("study-result").hidden = false;
  $("study-report").srcdoc = report;
}

// Files are laid where they could have been chosen: nothing is sent before "Analyse".
export function dropped(files) {
  complain($("study-problem"), null);
  for (const file of files) {
    const input = INPUTS.find(([, names]) => names.test(file.name))?.[0];
    if (!input) {
      complain($("study-problem"), `${file.name} is neither a table (.tsv, .csv, .txt) nor a design (.yaml).`);
      continue;
    }
    const held = new DataTransfer();
    held.items.add(file);
    $(input).files = held.files;
  }
}

async function start() {
  const [participants, design] = await Promise.all(
    ["participants", "design"].map((id) => $(id).files[0]?.text() ?? ""));
  const job = await json("v1/studies", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ participants, design }),
  });
  await list.look();
  choose(job);
}

async function endChosen() {
  const job = chosen;
  const left = await end(job, nameOf(job));
  if (chosen?.id === job.id) {
    if (!left) leave();
    else if (isOver(left) && !isOver(job)) choose(left);
  }
  await list.look();
}

function leave() {
  watching.abort();
  chosen = null;
  $("study-shown").hidden = true;
  $("study-nothing").hidden = false;
}

$("study-form").onsubmit = (event) => {
  event.preventDefault();
  complain($("study-problem"), null);
  start().catch((error) => complain($("study-problem"), error));
};
$("study-end").onclick = () => endChosen().catch((error) => complain($("study-failed"), error));
