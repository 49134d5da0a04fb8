// Slices with the segmentation over them: NiiVue where it was built in, else the server's picture.

import { blob, buffer } from "./api.js";

const canvas = document.getElementById("canvas");
const box = document.getElementById("canvas-box");
const preview = document.getElementById("preview");
const overlayControl = document.getElementById("opacity-label");
const STEPS = {
  ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0],
  PageUp: [0, 0, 1], PageDown: [0, 0, -1],
};

let viewer = null;
let onPlace = () => {};

async function start() {
  if (viewer) return viewer;
  const { Niivue, SLICE_TYPE } = await import("../static/niivue.js");
  viewer = new Niivue({ crosshairColor: [1, 0.85, 0.2, 0.9], backColor: [0, 0, 0, 1], isColorbar: false, dragAndDropEnabled: false });
  await viewer.attachToCanvas(canvas);
  viewer.setSliceType(SLICE_TYPE.MULTIPLANAR);
  viewer.onLocationChange = (place) => onPlace(place.mm, place.values?.[1]?.value);
  canvas.addEventListener("keydown", step);
  return viewer;
}

function step(event) {
  const move = STEPS[event.key];
  if (!move) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  viewer.moveCrosshairInVox(...move);
}

// A colour table as NiiVue wants it: columns by id, transparent where there is no region.
function colours(regions) {
  const known = regions.filter((region) => region.colour);
  const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: ["background"] };
  for (const { region_id: id, colour, name } of known.sort((a, b) => a.region_id - b.region_id)) {
    table.R.push(colour[0]); table.G.push(colour[1]); table.B.push(colour[2]);
    table.A.push(255); table.I.push(id); table.labels.push(name);
  }
  return table;
}

async function showPicture(root, signal) {
  const picture = await blob(`${root}/preview`, { signal });
  box.hidden = overlayControl.hidden = true;
  preview.hidden = false;
  preview.src = URL.createObjectURL(picture);
}

// One after another: two scans that load at once would mix their volumes.
let showing = Promise.resolve();

export function show(...scan) {
  showing = showing.catch(() => {}).then(() => load(...scan));
  return showing;
}

async function load(root, regions, opacity, placeChanged, signal) {
  signal.throwIfAborted();
  onPlace = placeChanged;
  try {
    box.hidden = overlayControl.hidden = false;
    preview.hidden = true;
    const nv = await start();
    for (const volume of [...nv.volumes]) nv.removeVolume(volume);
    await nv.loadFromArrayBuffer(await buffer(`${root}/brain`, { signal }), "brain.nii.gz");
    await nv.loadFromArrayBuffer(await buffer(`${root}/segmentation`, { signal }), "labels.nii.gz");
    signal.throwIfAborted();
    nv.volumes[1].setColormapLabel(colours(regions));
    nv.setOpacity(1, opacity);
    nv.updateGLVolume();
    canvas.dataset.ready = "yes";
  } catch (error) {
    signal.throwIfAborted();
    console.info("the interactive viewer is not available:", error.message);
    await showPicture(root, signal);
  }
}

// Returns where the cross then is, in mm; nothing where no viewer is shown.
export function goTo(mm) {
  if (!viewer || box.hidden) return null;
  // By the image's own matrix: it lies along the head's axes, which are not the scanner's.
  viewer.scene.crosshairPos = viewer.mm2frac(mm, 0, true);
  viewer.createOnLocationChange();
  viewer.drawScene();
  return viewer.frac2mm(viewer.scene.crosshairPos, 0, true);
}

export function setOpacity(value) {
  if (viewer?.volumes.length > 1) viewer.setOpacity(1, value);
}
