"use strict";
// Every slice of a head, and what was found in it drawn over. Volumes come as pictures whose tiles
// are axial slices; coordinates are voxels (i to the right, j to the front, k to the top).

const PLANES = [[0, 1, 2], [0, 2, 1], [1, 2, 0]];  // across, up, along: axial, coronal, sagittal
const PIXELS = 480;  // that the widest plane has at least
const FILLED = 0.5, COLOURED = 0.85;  // shares of colour, of a region and of a value
const KEYS = {
  ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowDown: [0, -1, 0], ArrowUp: [0, 1, 0],
  PageDown: [0, 0, -1], PageUp: [0, 0, 1],
};

async function voxels(picture, { shape: [nx, ny, nz], columns }) {
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const volume = new Uint8Array(nx * ny * nz);
  for (let k = 0, at = 0; k < nz; k++) {
    const left = (k % columns) * nx, top = Math.floor(k / columns) * ny;
    for (let j = 0; j < ny; j++) {
      let from = 4 * ((top + j) * canvas.width + left);
      for (let i = 0; i < nx; i++, from += 4) volume[at++] = data[from];
    }
  }
  picture.remove();
  return volume;
}

// Value -> one of its voxels near the middle of them all, from which a reader may look around.
function middles(volume, [nx, ny, nz]) {
  const sums = new Float64Array(4 * 256), best = new Float64Array(256).fill(Infinity), found = {};
  const each = (visit) => {
    for (let k = 0, at = 0; k < nz; k++) for (let j = 0; j < ny; j++) for (let i = 0; i < nx; i++, at++) {
      if (volume[at]) visit(volume[at], i, j, k);
    }
  };
  each((value, i, j, k) => {
    sums[4 * value] += i; sums[4 * value + 1] += j; sums[4 * value + 2] += k; sums[4 * value + 3]++;
  });
  each((value, i, j, k) => {
    const [a, b, c, n] = sums.subarray(4 * value, 4 * value + 4);
    const far = (i - a / n) ** 2 + (j - b / n) ** 2 + (k - c / n) ** 2;
    if (far < best[value]) { best[value] = far; found[value] = [i, j, k]; }
  });
  return found;
}

class Viewer {
  constructor(box, data) {
    Object.assign(this, { box, ...data, strides: [1, data.shape[0], data.shape[0] * data.shape[1]] });
    this.planes = [...box.querySelectorAll(".plane")];
    this.at = [...this.start];
    this.shown = this.layers[0];
    this.opacity = 1;
    this.filled = false;
    this.zoom = Math.max(1, PIXELS / Math.max(...this.shape.map((n, axis) => n * this.spacing[axis])));
  }

  async load() {
    const picture = (what) => voxels(this.box.querySelector(`[data-of=${what}]`), this);
    this.head = await picture("head");
    for (const [n, layer] of this.layers.entries()) {
      layer.volume = await picture(`layer${n}`);
      layer.table = new Uint8Array(4 * 256);
      layer.ranks = Object.assign(new Int16Array(256).fill(-1), layer.ranks);
      for (const [value, colour] of Object.entries(layer.colours)) {
        layer.table.set([...colour, Math.round(255 * (layer.opacities[value] ?? 1))], 4 * value);
      }
    }
    this.planes.forEach((plane, n) => this.attend(plane, n));
    this.control();
    this.box.hidden = false;
    this.draw();
  }

  attend(plane, n) {
    const [across, up, along] = PLANES[n];
    const canvas = plane.querySelector("canvas"), slider = plane.querySelector("input");
    canvas.width = Math.round(this.shape[across] * this.spacing[across] * this.zoom);
    canvas.height = Math.round(this.shape[up] * this.spacing[up] * this.zoom);
    plane.style.flexGrow = canvas.width;
    slider.max = this.shape[along] - 1;
    slider.addEventListener("input", () => this.move(along, Number(slider.value)));
    const point = (event) => {
      const seen = canvas.getBoundingClientRect();
      this.at[across] = Math.floor(this.shape[across] * (event.clientX - seen.left) / seen.width);
      this.at[up] = this.shape[up] - 1 - Math.floor(this.shape[up] * (event.clientY - seen.top) / seen.height);
      this.draw();
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      point(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && point(event));
    // Only once somebody has clicked into it: a page that scrolls must not stop here.
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return;
      event.preventDefault();
      this.move(along, this.at[along] - Math.sign(event.deltaY));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const step = KEYS[event.key];
      if (!step) return;
      event.preventDefault();
      PLANES[n].forEach((axis, m) => { this.at[axis] += step[m]; });
      this.draw();
    });
  }

  control() {
    const place = this.box.querySelector(".controls");
    const add = (tag, properties, text) => {
      const label = place.appendChild(document.createElement("label"));
      const element = Object.assign(document.createElement(tag), properties);
      label.append(...(properties.type === "checkbox" ? [element, text] : [text, element]));
      return element;
    };
    if (this.layers.length > 1) {
      this.choice = add("select", {}, "Show ");
      this.layers.forEach((layer, n) => this.choice.add(new Option(layer.title, n)));
      this.choice.addEventListener("change", () => { this.shown = this.layers[this.choice.value]; this.draw(); });
    }
    if (this.layers.length) {
      const opacity = add("input", { type: "range", min: 0, max: 1, step: 0.05, value: 1 }, "Opacity ");
      opacity.addEventListener("input", () => { this.opacity = Number(opacity.value); this.draw(); });
    }
    if (this.layers.some((layer) => layer.outlined)) {
      const filled = add("input", { type: "checkbox" }, " fill regions");
      filled.addEventListener("change", () => { this.filled = filled.checked; this.draw(); });
      this.filling = filled.parentElement;
    }
    const large = add("input", { type: "checkbox" }, " large");
    large.addEventListener("change", () => this.box.classList.toggle("large", large.checked));
  }

  move(axis, to) {
    this.at[axis] = to;
    this.draw();
  }

  show(title) {
    this.shown = this.layers.find((layer) => layer.title === title) ?? this.shown;
    if (this.choice) this.choice.value = this.layers.indexOf(this.shown);
  }

  // To the middle of what has this value in some layer; false = nothing has.
  seek(value) {
    for (const layer of this.layers) {
      layer.middles ??= middles(layer.volume, this.shape);
      if (!layer.middles[value]) continue;
      this.at = [...layer.middles[value]];
      this.draw();
      return true;
    }
    return false;
  }

  seekMm(mm) {
    const [a, b, c] = this.affine;
    // The inverse, by Cramer's rule.
    const minus = [mm[0] - a[3], mm[1] - b[3], mm[2] - c[3]];
    const det = (m) => m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
      - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
    const rows = [a, b, c].map((row) => row.slice(0, 3));
    this.at = [0, 1, 2].map((axis) => Math.round(
      det(rows.map((row, r) => row.map((x, column) => (column === axis ? minus[r] : x)))) / det(rows)));
    this.draw();
  }

  draw() {
    this.at = this.at.map((x, axis) => Math.min(Math.max(x, 0), this.shape[axis] - 1));
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.planes.forEach((plane, n) => this.paint(plane, ...PLANES[n]));
      this.say();
    });
  }

  paint(plane, across, up, along) {
    const canvas = plane.querySelector("canvas"), context = canvas.getContext("2d");
    plane.querySelector("input").value = this.at[along];
    const { width, height } = canvas, picture = context.createImageData(width, height), { data } = picture;
    const nu = this.shape[across], nv = this.shape[up], su = this.strides[across], sv = this.strides[up];
    const base = this.at[along] * this.strides[along];
    const columns = Array.from({ length: width }, (_, x) => spot((x + 0.5) * nu / width - 0.5, nu));
    const layer = this.opacity > 0 ? this.shown : undefined;
    const rim = layer?.outlined && !this.filled;
    const value = (x, y) => layer.volume[base + Math.floor(x * nu / width) * su
      + (nv - 1 - Math.floor(y * nv / height)) * sv];
    for (let y = 0, to = 0; y < height; y++) {
      const [v, v1, fv] = spot((height - y - 0.5) * nv / height - 0.5, nv);
      const low = base + v * sv, high = base + v1 * sv;
      for (let x = 0; x < width; x++, to += 4) {
        const [u, u1, fu] = columns[x];
        const below = this.head[low + u * su] * (1 - fu) + this.head[low + u1 * su] * fu;
        const above = this.head[high + u * su] * (1 - fu) + this.head[high + u1 * su] * fu;
        const grey = below * (1 - fv) + above * fv;
        let r = grey, g = grey, b = grey;
        if (layer) {
          const here = value(x, y), beside = x + 1 < width ? value(x + 1, y) : here;
          const under = y + 1 < height ? value(x, y + 1) : here;
          const drawn = rim ? border(layer.ranks, here, beside, under) : here;
          const shown = drawn && layer.table[4 * drawn + 3];
          if (shown) {
            const share = shown / 255 * this.opacity * (rim ? 1 : layer.outlined ? FILLED : COLOURED), { table } = layer;
            r += share * (table[4 * drawn] - grey);
            g += share * (table[4 * drawn + 1] - grey);
            b += share * (table[4 * drawn + 2] - grey);
          }
        }
        data[to] = r; data[to + 1] = g; data[to + 2] = b; data[to + 3] = 255;
      }
    }
    context.putImageData(picture, 0, 0);
    const x = Math.round((this.at[across] + 0.5) * width / nu), y = Math.round((nv - this.at[up] - 0.5) * height / nv);
    context.fillStyle = "rgb(255 217 60 / .8)";
    const gap = 8;
    context.fillRect(x, 0, 1, y - gap); context.fillRect(x, y + gap, 1, height);
    context.fillRect(0, y, x - gap, 1); context.fillRect(x + gap, y, width, 1);
  }

  say() {
    const { at, shown } = this, [a, b, c] = this.affine;
    const mm = [a, b, c].map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]);
    const here = at[0] + at[1] * this.strides[1] + at[2] * this.strides[2];
    const value = shown?.volume[here] ?? 0;
    // What is drawn first, then what else is known of this place.
    const texts = [shown, ...this.layers].map((layer) => layer?.texts[layer.volume[here]]).filter(Boolean);
    const [swatch, name, where] = this.box.querySelector(".place").children;
    swatch.style.background = value && shown.colours[value] ? `rgb(${shown.colours[value].join(" ")})` : "none";
    name.textContent = [...new Set(texts)].join(" \u00b7 ") || "nothing here";
    where.textContent = `RAS ${mm.map((x) => x.toFixed(0).replace("-", "\u2212")).join(", ")} mm`;
    this.box.querySelector(".legend").textContent = shown?.legend ?? "";
    if (this.filling) this.filling.hidden = !shown.outlined;
  }
}

// Of values that meet the one whose line it is; 0 = nothing meets here.
function border(ranks, here, beside, under) {
  if (here === beside && here === under) return 0;
  const second = ranks[beside] > ranks[under] ? beside : under;
  return ranks[here] > ranks[second] ? here : second;
}

// A place between two voxels: both, and how near it is to the second.
function spot(x, n) {
  const first = Math.min(Math.max(Math.floor(x), 0), n - 1);
  return [first, Math.min(first + 1, n - 1), Math.min(Math.max(x - first, 0), 1)];
}

// A click on what names a region, data-region="17", or a place in a layer, data-mm="-12 4 30", goes there.
function link(element, viewer) {
  const { region, mm, layer } = element.dataset;
  const go = () => {
    if (layer) viewer.show(layer);
    if (mm) viewer.seekMm(mm.split(" ").map(Number));
    else if (!viewer.seek(Number(region))) return;
    viewer.box.scrollIntoView({ block: "nearest", behavior: "smooth" });
  };
  Object.assign(element, { tabIndex: 0, title: "show in the slices" });
  element.classList.add("seeks");
  element.addEventListener("click", go);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    go();
  });
}

(async () => {
  const box = document.querySelector(".viewer");
  const viewer = new Viewer(box, JSON.parse(box.querySelector("script").textContent));
  await viewer.load();
  for (const element of document.querySelectorAll("[data-region], [data-mm]")) link(element, viewer);
})();
