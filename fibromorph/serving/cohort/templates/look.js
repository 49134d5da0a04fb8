"use strict";
// One report after the other; what is decided is kept in this browser until it is saved as the table
// that the group stage reads.

const LOOKED = "looked at";
const WORST = ["bad", "check", "good"];
const data = JSON.parse(document.getElementById("data").textContent);
const [SUBJECT, SESSION, EXCLUDE, REASON] = data.columns.map((_, n) => n);
const at = (id) => document.getElementById(id);
const keyOf = (scan) => scan.key.join("\t");
const store = `fibromorph ${location.pathname}`;

const rows = new Map(data.rows.map((row) => [`${row[SUBJECT]}\t${row[SESSION]}`, row]));
for (const scan of data.scans) {
  const reason = rows.get(keyOf(scan))?.[REASON] ?? "";
  scan.looked = reason.startsWith(LOOKED);
  scan.note = scan.looked ? reason.slice(LOOKED.length).replace(/^: /, "") : "";
}

// A browser may refuse to keep anything for a page from a file.
function remembered() {
  try { return JSON.parse(localStorage.getItem(store)) ?? {}; } catch { return {}; }
}
function remember() {
  const decided = data.scans.filter((scan) => scan.decided);
  const kept = Object.fromEntries(decided.map((scan) => [keyOf(scan), [scan.left_out, scan.note]]));
  try { localStorage.setItem(store, JSON.stringify(kept)); } catch { /* saved by hand only */ }
}
const before = remembered();
for (const scan of data.scans) {
  const known = before[keyOf(scan)];
  if (known) Object.assign(scan, { left_out: known[0], note: known[1], looked: true, decided: true });
}

const ORDERS = {
  worst: (a, b) => WORST.indexOf(a.verdict) - WORST.indexOf(b.verdict) || a.quality - b.quality,
  name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  chance: (a, b) => a.chance - b.chance,
};
// The same order at every visit: whoever looks in two sittings goes on where they were.
let seed = 20230325;
for (const scan of data.scans) {
  seed = (1103515245 * seed + 12345) % 2147483648;
  scan.chance = seed;
}

let shown = null;
let saved = true;

function list() {
  data.scans.sort(ORDERS[at("order").value]);
  at("list").replaceChildren(...data.scans.map((scan) => {
    const button = document.createElement("button");
    button.append(document.createElement("i"), scan.name, document.createElement("span"));
    button.addEventListener("click", () => show(scan));
    scan.button = button;
    mark(scan);
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

function mark(scan) {
  scan.button.className = `${scan.verdict}${scan.left_out ? " out" : ""}`;
  scan.button.setAttribute("aria-current", scan === shown);
  scan.button.lastChild.textContent = scan.left_out ? (scan.looked ? "left out" : "left out?") : scan.looked ? "fine" : "";
  const looked = data.scans.filter((one) => one.looked).length, out = data.scans.filter((one) => one.left_out).length;
  at("count").textContent = `${looked} of ${data.scans.length} looked at, ${out} left out${data.more ? `; ${data.more} of better quality are not listed` : ""}`;
}

function show(scan) {
  const last = shown;
  shown = scan;
  if (last) mark(last);
  at("report").src = scan.link;
  at("name").textContent = scan.name;
  at("why").textContent = scan.flags.join("; ");
  at("note").value = scan.note;
  press(scan);
  mark(scan);
  scan.button.scrollIntoView({ block: "nearest" });
}

function press(scan) {
  at("fine").setAttribute("aria-pressed", scan.looked && !scan.left_out);
  at("out").setAttribute("aria-pressed", scan.looked && scan.left_out);
}

function decide(leftOut) {
  Object.assign(shown, { left_out: leftOut, looked: true, decided: true });
  saved = false;
  remember();
  press(shown);
  mark(shown);
}

function step(by) {
  const next = data.scans[data.scans.indexOf(shown) + by];
  if (next) show(next);
}

function table() {
  const merged = new Map(rows);
  for (const scan of data.scans.filter((one) => one.decided)) {
    const note = scan.note.replace(/[\t\r\n]+/g, " ").trim();
    merged.set(keyOf(scan), [...scan.key, scan.left_out ? "yes" : "no", note ? `${LOOKED}: ${note}` : LOOKED]);
  }
  // As spreadsheets quote.
  const cell = (text) => (text.includes('"') ? `"${text.replaceAll('"', '""')}"` : text);
  return [data.columns, ...merged.values()].map((row) => row.map(cell).join("\t")).join("\n") + "\n";
}

at("fine").addEventListener("click", () => decide(false));
at("out").addEventListener("click", () => decide(true));
at("before").addEventListener("click", () => step(-1));
at("after").addEventListener("click", () => step(1));
at("order").addEventListener("change", list);
at("note").addEventListener("input", () => {
  shown.note = at("note").value;
  if (shown.looked) decide(shown.left_out);
});
at("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/tab-separated-values" }));
  link.download = "exclusions.tsv";
  link.click();
  saved = true;
});
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const does = { f: () => decide(false), x: () => decide(true), ArrowLeft: () => step(-1), ArrowRight: () => step(1) };
  if (!does[event.key]) return;
  event.preventDefault();
  does[event.key]();
});
window.addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });

list();
show(data.scans.find((scan) => !scan.looked) ?? data.scans[0]);
