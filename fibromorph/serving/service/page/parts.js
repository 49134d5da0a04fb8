// What scans and studies share: lists, their end, downloads, complaints.

import { Problem, blob, events, hasKey, json } from "./api.js";

const TRY_AGAIN_MS = 3000;
const PAGE_LENGTH = 50;
const LONGEST_PAGE = 200;
export const $ = (id) => document.getElementById(id);
export const isOver = (job) => !["queued", "running"].includes(job.state);
export const isDoubtful = (job) => Boolean(job.quality) && job.quality !== "good";

export function complain(element, error) {
  element.hidden = !error;
  element.textContent = error ? error.message || String(error) : "";
  if (error instanceof Problem && error.status === 401) askForKey(error);
}

function askForKey(error) {
  $("key-problem").hidden = !hasKey();
  $("key-problem").textContent = error.message;
  $("key-button").hidden = false;
  if (!$("key-dialog").open) $("key-dialog").showModal();
}

// A list of jobs, the newest first, what is said where there are none, and the button "More".
export class JobList {
  #asked = new AbortController();
  #most = PAGE_LENGTH;

  // `line` makes a job's entry.
  constructor(path, list, none, more, line) {
    Object.assign(this, { path, list, none, more, line });
  }

  // False if a later look has overtaken this one. All that is shown is asked for
  // again: of many that wait, the oldest are the next to change. A filter of null lets none through.
  async look(filter = {}) {
    this.#asked.abort();
    this.#asked = new AbortController();
    const { signal } = this.#asked;
    const jobs = [];
    let before = filter && Infinity;
    try {
      while (before && jobs.length < this.#most) {
        const limit = Math.min(this.#most - jobs.length, LONGEST_PAGE);
        const query = new URLSearchParams({ ...filter, limit, ...(before < Infinity && { before }) });
        const page = await json(`${this.path}?${query}`, { signal });
        jobs.push(...page.jobs);
        before = page.before;
      }
    } catch (error) {
      if (signal.aborted) return false;
      throw error;
    }
    renew(this.list, () => this.list.replaceChildren(...jobs.map(this.line)));
    this.none.hidden = jobs.length > 0;
    this.more.hidden = !before;
    return true;
  }

  // Renews the entry of one.
  renew(job) {
    renew(this.list, () => this.list.querySelector(`li[data-id="${job.id}"]`)?.replaceWith(this.line(job)));
  }

  showMore() {
    this.#most += PAGE_LENGTH;
  }

  showLess() {
    this.#most = PAGE_LENGTH;
  }
}

// Renews entries of a list; whoever walks it by keyboard stays where they were.
function renew(list, change) {
  const held = list.contains(document.activeElement) && document.activeElement.dataset.id;
  change();
  if (held) list.querySelector(`button[data-id="${held}"]`)?.focus({ preventScroll: true });
}

export function entry(job, name, chosenId, onChoose) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  const title = Object.assign(document.createElement("span"), { className: "name", textContent: name });
  const state = Object.assign(document.createElement("span"), { className: `state ${isDoubtful(job) ? "doubtful" : job.state}` });
  const time = document.createElement("time");
  state.textContent = job.state === "running" ? `${job.percent} %` : isDoubtful(job) ? `quality ${job.quality}` : job.state;
  time.dateTime = job.created_at;
  time.textContent = new Date(job.created_at).toLocaleString();
  button.type = "button";
  button.dataset.id = item.dataset.id = job.id;
  button.ariaCurrent = String(job.id === chosenId);
  button.append(title, state, time);
  button.onclick = () => onChoose(job);
  item.append(button);
  return item;
}

// A job at every change until it is over. The events of a service that restarts end early; those
// of a new connection begin with the job as it is then.
export async function* follow(id, signal, onLost) {
  for (;;) {
    try {
      for await (const job of events(`v1/jobs/${id}/events`, signal)) {
        yield job;
        if (isOver(job)) return;
      }
    } catch (error) {
      if (signal.aborted || isFinal(error)) throw error;
    }
    signal.throwIfAborted();
    onLost();
    await new Promise((resolve) => { setTimeout(resolve, TRY_AGAIN_MS); });
  }
}

// No key, no such job: to ask again would not help. A full minute or a proxy's 502 pass.
const isFinal = (error) => error instanceof Problem && error.status < 500 && error.status !== 429;

// Cancels a job or, after a question, purges one that is over; null if nothing is left of it.
export async function end(job, name) {
  const path = `v1/jobs/${job.id}`;
  if (isOver(job)) {
    if (!confirm(`Delete ${name} with all its results? This cannot be undone.`)) return job;
    await json(path, { method: "DELETE" }).catch((error) => unless(404, error));
    return null;
  }
  // It may have ended since the page last heard of it: its result must outlive a click on Cancel.
  const left = await json(`${path}?only=cancel`, { method: "DELETE" }).catch((error) => unless(409, error));
  return left ?? json(path);
}

function unless(status, error) {
  if (error.status !== status) throw error;
}

// A button that saves a file; what keeps it from that is told in `problem`.
export function download(problem, text, path, name, accept) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  button.onclick = async () => {
    complain(problem, null);
    try {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await blob(path, accept && { headers: { Accept: accept } }));
      link.download = name;
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (error) {
      complain(problem, error);
    }
  };
  return button;
}
