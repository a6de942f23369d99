// The page: what a person does with sliders and buttons, and what is then shown. The arithmetic is the worker's.
"use strict";

const $ = (id) => document.getElementById(id);
const config = JSON.parse($("config").textContent);
const classes = config.kind === "classes", [, height, width] = config.image;
const spoken = (name) => name.replace(/_/g, " ");
const fresh = (seed) => ({ seed, values: [...config.people[seed % config.people.length]], locks: new Set(), guidance: null, steps: null });

let state = fresh(0), past = [], shown = null, before = null, original = state.values, moving = false;

// ---- The worker: one request at a time is the latest; a newer one ends the older ----------------------------------------------

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const waiting = new Map();
let worker, requests = 0;

function fail(message) {
  $("problem").hidden = false;
  $("problem").textContent = `The model does not run here: ${message}.`;
  $("status").textContent = "";
  document.body.dataset.state = "failed";
}

function ask(request, details, onState = () => {}) {
  const id = ++requests;
  return new Promise((resolve) => {
    waiting.set(id, { resolve, onState });
    worker.postMessage({ id, request, ...details });
  });
}

function start() {
  const source = URL.createObjectURL(new Blob([$("worker").textContent], { type: "text/javascript" }));
  worker = new Worker(source);
  worker.onerror = (event) => fail(event.message || "its script does not start");
  worker.onmessage = ({ data }) => {
    if (data.error) fail(data.error);
    const { resolve, onState } = waiting.get(data.id);
    if (data.state) onState(data.state);
    if (data.ready || data.done || data.cancelled) {
      waiting.delete(data.id);
      resolve(data);
    }
  };
  const engines = JSON.parse($("engines").textContent).map(bytes);
  return ask("load", { config, weights: bytes($("weights").textContent).buffer, engines });
}

// ---- Drawing -------------------------------------------------------------------------------------------------------------------

function paint(canvas, image) {
  const pixels = new ImageData(width, height), n = width * height, colour = config.image[0] === 3 ? n : 0;
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = Math.round((image[i + c * colour] + 1) * 127.5);
    pixels.data[4 * i + 3] = 255;
  }
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

const settings = (values, quick = false) => {
  const steps = state.steps ?? config.steps, guidance = state.guidance ?? (classes ? config.guidance : suitableGuidance(config, values));
  const fewer = quick && config.sampler !== "few" ? Math.min(steps, 5) : steps;
  return { seed: state.seed, condition: Float32Array.from(values), guidance, sampler: config.sampler, steps: fewer };
};

async function draw(quick = false) {
  const began = performance.now(), details = settings(state.values, quick), times = [];
  document.body.dataset.state = "drawing";
  const { done } = await ask("sample", details, ({ i, steps, x0 }) => {
    paint($("face"), (shown = x0));
    times.push(performance.now() - began);
    $("status").textContent = `step ${i + 1} of ${steps}`;
  });
  if (!done || quick) return;
  before ??= shown;
  window.drawn = { image: shown, ...details, times };  // for scripts that drive the page; ms after each step
  $("status").textContent = `Drawn in ${((performance.now() - began) / 1000).toFixed(2)} s, ${details.steps} steps, guidance ${+details.guidance.toFixed(2)}.`;
  $("face").setAttribute("aria-label", `Generated picture, seed ${state.seed}: ${described()}`);
  history.replaceState(null, "", writeAddress(config, state));
  document.body.dataset.state = "ready";
}

let rest;
function redraw() {  // few steps while something moves; all of them when it rests
  clearTimeout(rest);
  if (moving) draw(true);
  rest = setTimeout(draw, moving ? 250 : 0);
}

const described = () => config.names.filter((_, i) => state.values[i] > 0.3).map(spoken).join(", ") || "nothing said";

// ---- What changes the state ----------------------------------------------------------------------------------------------------

const copy = ({ values, locks, ...rest }) => ({ ...rest, values: [...values], locks: new Set(locks) });
const remember = () => { past.push(copy(state)); past = past.slice(-200); };

function change(next, { anew = false } = {}) {
  if (!moving) remember();
  state = { ...copy(state), ...next };
  if (anew) [before, original] = [null, state.values];
  show();
  redraw();
}

function say(name, value) {
  change({ values: setAttribute(config, state.values, name, value, state.locks) });
}

function newPerson(seed) {
  let values = classes || !config.names.length ? state.values : fresh(seed).values;
  for (const name of state.locks) values = setAttribute(config, values, name, state.values[config.names.indexOf(name)], state.locks);
  change({ seed, values }, { anew: true });
}

// ---- The controls --------------------------------------------------------------------------------------------------------------

const rows = new Map();

function attributeRow(name) {
  const row = document.createElement("div"), i = config.names.indexOf(name);
  const scale = new Scale(config.scales[0][i], config.scales[1][i]), slider = document.createElement("input");
  const label = Object.assign(document.createElement("label"), { textContent: spoken(name), htmlFor: `slide-${name}` });
  const button = (text, title, act) => {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: text, title, onclick: act });
    made.setAttribute("aria-label", title);
    return made;
  };
  Object.assign(slider, { type: "range", id: `slide-${name}`, min: 0, max: 1, step: 0.01 });
  slider.oninput = () => {
    if (!moving) remember();
    moving = true;
    say(name, scale.value(+slider.value));
  };
  slider.onchange = () => { moving = false; show(); };
  const states = [-1, 0, 1], current = () => state.values[i];
  const told = button("", "", () => say(name, states[(states.indexOf(Math.sign(current())) + 1) % 3]));
  const lock = button("lock", `Lock ${spoken(name)}`, () => {
    const locks = new Set(state.locks);
    if (!locks.delete(name)) locks.add(name);
    change({ locks });
  });
  row.append(label, slider, told, lock, button("strip", `A strip of ${spoken(name)}`, () => strip(name, scale)));
  row.className = "row";
  rows.set(name, () => {
    const value = current(), size = Math.abs(value).toFixed(2), word = value > 0 ? "present" : "absent";
    const text = value === 0 ? "not said" : size === "1.00" ? word : `${word} ${size}`;
    if (+slider.value !== scale.position(value) && document.activeElement !== slider) slider.value = scale.position(value);
    slider.setAttribute("aria-valuetext", text);
    told.textContent = text;
    told.setAttribute("aria-label", `${spoken(name)}: ${text}. Change to the next of absent, not said, present`);
    lock.setAttribute("aria-pressed", state.locks.has(name));
    slider.disabled = told.disabled = state.locks.has(name);
    row.classList.toggle("changed", value !== original[i]);
    row.classList.toggle("unsaid", value === 0);
    row.classList.toggle("moved", moving && value !== original[i] && document.activeElement !== slider);
  });
  return row;
}

function group(title, names, open) {
  const box = document.createElement(open ? "fieldset" : "details");
  box.append(Object.assign(document.createElement(open ? "legend" : "summary"), { textContent: title }), ...names.map(attributeRow));
  return box;
}

function digitControls() {
  const box = document.createElement("fieldset"), blend = { from: 0, to: 0, share: 0 };
  const apply = () => {
    const values = config.names.map((_, i) => (i === blend.from ? 1 - blend.share : 0) + (i === blend.to ? blend.share : 0));
    change({ values });
  };
  const choice = (key, title) => {
    const line = document.createElement("div");
    Object.assign(line, { className: "digits" }).setAttribute("role", "group");
    line.setAttribute("aria-label", title);
    config.names.forEach((name, i) => {
      const made = Object.assign(document.createElement("button"), { type: "button", textContent: name });
      made.onclick = () => { blend[key] = i; if (key === "from" && !blend.share) blend.to = i; apply(); };
      rows.set(`${key}-${i}`, () => made.setAttribute("aria-pressed", blend[key] === i));
      line.append(made);
    });
    return [Object.assign(document.createElement("p"), { textContent: title, className: "hint" }), line];
  };
  const slider = Object.assign(document.createElement("input"), { type: "range", id: "blend", min: 0, max: 1, step: 0.01, value: 0 });
  slider.oninput = () => { if (!moving) remember(); moving = true; blend.share = +slider.value; apply(); };
  slider.onchange = () => { moving = false; show(); };
  rows.set("blend", () => {
    const said = state.values.map((value, i) => [value, i]).filter(([value]) => value > 0).sort((a, b) => b[0] - a[0]).map(([, i]) => i);
    if (moving || !said.length) return;
    if (!said.includes(blend.from)) blend.from = said[0];
    blend.to = said.find((i) => i !== blend.from) ?? blend.to;
    blend.share = said.includes(blend.from) && said.length === 1 && blend.to !== blend.from ? (said[0] === blend.to ? 1 : 0) : 1 - state.values[blend.from];
    slider.value = blend.share;
  });
  const label = Object.assign(document.createElement("label"), { className: "blend", textContent: "From the first to the second" });
  label.append(slider);
  box.append(Object.assign(document.createElement("legend"), { textContent: "What is drawn" }), ...choice("from", "First"), ...choice("to", "Second"), label);
  return box;
}

async function strip(name, scale) {
  const line = document.createElement("div"), columns = 7;
  $("strip").hidden = false;
  $("strip").replaceChildren(Object.assign(document.createElement("h2"), { textContent: `${spoken(name)}, from absent to present` }), line);
  const places = Array.from({ length: columns }, (_, column) => {
    const value = scale.value(column / (columns - 1)), values = setAttribute(config, state.values, name, value, state.locks);
    const made = Object.assign(document.createElement("button"), { type: "button" }), canvas = document.createElement("canvas");
    made.setAttribute("aria-label", `${spoken(name)} ${value.toFixed(2)}`);
    made.append(canvas);
    made.onclick = () => change({ values });
    line.append(made);
    return { values, canvas };
  });
  $("strip").scrollIntoView({ block: "nearest" });
  for (const { values, canvas } of places) {
    const { done } = await ask("sample", settings(values), ({ x0 }) => paint(canvas, x0));
    if (!done) return;  // a newer move
  }
}

function show() {
  for (const update of rows.values()) update();
  $("seed").value = state.seed;
  $("guidance").value = state.guidance ?? "";
  $("steps").value = state.steps ?? "";
  $("undo").disabled = !past.length;
}

function controls() {
  if (classes) return $("controls").append(digitControls());
  const grouped = Object.entries(config.groups).map(([title, names]) => [title, names.filter((name) => config.names.includes(name))]);
  const rest = config.names.filter((name) => !grouped.some(([, names]) => names.includes(name)));
  const some = grouped.filter(([, names]) => names.length);
  for (const [title, names] of some) $("controls").append(group(title, names, true));
  if (rest.length) $("controls").append(group(some.length ? "More" : "Attributes", rest, !some.length));
}

// ---- The buttons around the picture --------------------------------------------------------------------------------------------

$("new").onclick = () => newPerson(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000);
$("reset").onclick = () => change(fresh(state.seed), { anew: true });
$("undo").onclick = () => {
  if (!past.length) return;
  state = past.pop();
  show();
  redraw();
};
addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && event.target.type !== "number") $("undo").click();
});
const compare = (held) => {
  $("compare").setAttribute("aria-pressed", held);
  if (before && shown) paint($("face"), held ? before : shown);
};
for (const kind of ["pointerdown", "keydown"]) $("compare").addEventListener(kind, (e) => { if (!e.key || e.key === " " || e.key === "Enter") compare(true); });
for (const kind of ["pointerup", "pointerleave", "keyup", "blur"]) $("compare").addEventListener(kind, () => compare(false));
$("save").onclick = () => {
  const link = document.createElement("a");
  Object.assign(link, { download: `${config.name}-seed-${state.seed}.png`, href: $("face").toDataURL("image/png") }).click();
};
$("link").onclick = async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    $("status").textContent = "The link is copied: it reproduces this picture.";
  } catch { $("status").textContent = "The address of this page reproduces the picture: copy it from the address bar."; }
};
for (const [id, least, most] of [["seed", 0, Number.MAX_SAFE_INTEGER], ["guidance", 0, 10], ["steps", 1, Math.min(100, config.schedule.steps)]]) {
  $(id).onchange = () => {
    const text = $(id).value, value = id === "guidance" ? +text : Math.round(+text), empty = text === "";
    if (!empty && (Number.isNaN(value) || value < least || value > most)) return show();
    if (id === "seed") return empty ? show() : newPerson(value);
    change({ [id]: empty ? null : value });
  };
}

function readHash() {
  const { state: read, ignored } = readAddress(config, location.hash);
  const base = fresh(read.seed ?? 0);
  state = { ...base, ...read, seed: base.seed, values: read.values ?? base.values };
  state.steps = state.steps === null ? null : Math.min(state.steps, config.schedule.steps);
  [before, original] = [null, state.values];
  show();
  return ignored.length ? `The address holds what this page does not know, which is ignored: ${ignored.join(", ").slice(0, 120)}` : "";
}

async function main() {
  controls();
  const note = readHash();
  if (note) [$("problem").hidden, $("problem").textContent] = [false, note];
  await start();
  performance.mark("ready");
  addEventListener("hashchange", () => { readHash(); redraw(); });
  redraw();
}

main().catch((error) => fail(error.message));
