// The table of regions: sorted, filtered, and the way to a region's place.

const COLUMNS = [
  { key: "name", text: "Region" },
  { key: "soft_volume_ml", text: "soft ml", digits: 2 },
  { key: "sd_ml", text: "± sd", digits: 2 },
  { key: "volume_ml", text: "voxels ml", digits: 2 },
  { key: "confidence", text: "confidence", digits: 2 },
];
const OF_CORTEX = { key: "thickness_mm", text: "mm thick", digits: 2, unknown: "" };
const head = document.getElementById("columns");
const body = document.getElementById("rows");
const filter = document.getElementById("filter");
const side = document.getElementById("side");

let regions = [];
let columns = COLUMNS;
let order = { key: "", down: false };
let onChoose = () => {};

export function show(newRegions, chosen) {
  regions = newRegions;
  columns = regions.some((region) => region[OF_CORTEX.key]) ? [...COLUMNS, OF_CORTEX] : COLUMNS;
  onChoose = chosen;
  draw();
}

export function mark(regionId) {
  for (const row of body.rows) row.classList.toggle("here", row.dataset.id === String(regionId));
  body.querySelector("tr.here")?.scrollIntoView({ block: "nearest" });
}

function sorted() {
  const wanted = filter.value.trim().toLowerCase();
  const kept = regions.filter((region) =>
    region.name.toLowerCase().replaceAll("-", " ").includes(wanted.replaceAll("-", " "))
    && (!side.value || region.hemisphere === side.value));
  const isTotal = (region) => region.region_id === null;
  if (!order.key) return [...kept.filter(isTotal), ...kept.filter((region) => !isTotal(region))];
  const sign = order.down ? -1 : 1;
  return kept.sort((a, b) => sign * compare(a[order.key], b[order.key]));
}

function compare(a, b) {
  if (a == null || b == null) return (a == null) - (b == null);
  return typeof a === "string" ? a.localeCompare(b) : a - b;
}

function draw() {
  head.replaceChildren(...columns.map(heading));
  body.replaceChildren(...sorted().map(row));
}

function heading({ key, text, digits }) {
  const cell = document.createElement("th");
  const button = document.createElement("button");
  const mine = order.key === key;
  cell.scope = "col";
  cell.className = digits ? "number" : "";
  cell.ariaSort = mine ? (order.down ? "descending" : "ascending") : "none";
  button.type = "button";
  button.textContent = text + (mine ? (order.down ? " ▾" : " ▴") : "");
  button.onclick = () => {
    order = { key, down: mine ? !order.down : Boolean(digits) };
    draw();
    head.children[columns.findIndex((column) => column.key === key)].firstChild.focus();
  };
  cell.append(button);
  return cell;
}

function row(region) {
  const line = document.createElement("tr");
  line.dataset.id = region.region_id;
  line.classList.toggle("total", region.region_id === null);
  line.append(...columns.map(({ key, digits, unknown = "n/a" }) =>
    digits ? number(region[key], digits, unknown) : name(region)));
  return line;
}

function name(region) {
  const cell = document.createElement("td");
  const button = document.createElement("button");
  button.type = "button";
  if (region.colour) {
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = `rgb(${region.colour.join()})`;
    button.append(swatch);
  }
  button.append(region.name.replaceAll("-", " "));
  button.disabled = !region.centre_mm;
  button.onclick = () => onChoose(region);
  cell.append(button);
  return cell;
}

function number(value, digits, unknown) {
  const cell = document.createElement("td");
  cell.className = "number";
  cell.textContent = value == null ? unknown : value.toFixed(digits);
  return cell;
}

filter.oninput = draw;
side.onchange = draw;
