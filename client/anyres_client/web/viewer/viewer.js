// The picture, the prediction over it, and what is under the pointer; asks nobody.
//
//   value   JSON: what `shown.py` makes of a prediction, or {"problem": a sentence}
//   view    that, with its maps as pixels; classes by index
//   kind    what lies over the picture: classes, confidence, or the heat of one class
//   only    the class that the legend singles out

const INFERNO = ["000004", "1b0c41", "4a0c6b", "781c6d", "a52c60", "cf4446", "ed6925", "fb9b06",
  "f7d13d", "fcffa4"].map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const HEAT_OPACITY = 85, CLASS_OPACITY = 60;
const MUTED = 0.35; // what the photo keeps of its colours under a full overlay
const LEGEND_MOST = 16;
const GAP = 14; // pixels between the pointer and what is said of it

let view = null, kind = null, only = null, latest = 0;

const part = (selector) => element.querySelector(selector);

function inferno(value) {
  const at = value * (INFERNO.length - 1), below = Math.min(Math.floor(at), INFERNO.length - 2);
  return [0, 1, 2].map((c) =>
    Math.round(INFERNO[below][c] + (INFERNO[below + 1][c] - INFERNO[below][c]) * (at - below)));
}
const HOT = Array.from({ length: 256 }, (_, i) => inferno(i / 255));

async function picture(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  return image;
}

async function pixels(source) {
  const image = await picture(source), canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height).data;
}

async function show(value) {
  const turn = ++latest;
  const said = value ? JSON.parse(value) : null;
  if (!said || said.problem) return empty(said ? said.problem : "");
  const [map, heat] = await Promise.all(
    [pixels(said.map), said.heat ? pixels(said.heat.map) : null, picture(said.photo)]);
  if (turn !== latest) return; // another answer came meanwhile
  view = { ...said, map, warm: heat, byIndex: new Map(said.classes.map((c) => [c.index, c])) };
  const kinds = choices();
  if (!kinds.some(([name]) => name === kind)) kind = null;
  only = null;
  build(kinds);
  choose(kind ?? (said.heat ? "heat" : "classes"));
}

function empty(problem) {
  view = null;
  part(".problem").textContent = problem;
  part(".stage").dataset.state = problem ? "problem" : "empty";
  part(".controls").hidden = part(".legend").hidden = true;
}

function choices() {
  const found = [["classes", "Classes"]];
  if (view.sure) found.push(["confidence", "Confidence"]);
  if (view.heat) found.push(["heat", view.heat.name]);
  return found;
}

function build(kinds) {
  const [width, height] = view.size;
  part(".stage").dataset.state = "shown";
  part(".photo").src = view.photo;
  const layers = part(".layers"), over = part(".over");
  layers.style.aspectRatio = `${width} / ${height}`;
  layers.style.setProperty("--ratio", width / height);
  over.width = width;
  over.height = height;
  part(".controls").hidden = part(".legend").hidden = false;
  part(".kinds").replaceChildren(...kinds.map(([name, title]) => {
    const button = node("button", title);
    button.type = "button";
    button.dataset.kind = name;
    button.setAttribute("role", "radio");
    return button;
  }));
}

function node(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function choose(name) {
  const other = kind !== name;
  kind = name;
  for (const button of element.querySelectorAll("[data-kind]"))
    button.setAttribute("aria-checked", String(button.dataset.kind === kind));
  if (other) part(".fade input").value = kind === "classes" ? CLASS_OPACITY : HEAT_OPACITY;
  fade();
  paint();
  legend();
}

function fade() {
  const alpha = part(".fade input").value / 100;
  part(".fade output").textContent = `${Math.round(alpha * 100)} %`;
  part(".over").style.opacity = alpha;
  part(".photo").style.filter = `saturate(${1 - (1 - MUTED) * Math.min(1, alpha * 1.5)})`;
}

const classAt = (at) => view.map[at] + 256 * view.map[at + 1];
const sureAt = (at) => view.map[at + 2] / 255;

function paint() {
  const [width, height] = view.size, context = part(".over").getContext("2d");
  const drawn = context.createImageData(width, height), to = drawn.data;
  const colour = PAINTERS[kind];
  for (let at = 0; at < to.length; at += 4) colour(at, to);
  context.putImageData(drawn, 0, 0);
}

function put(to, at, [red, green, blue], alpha) {
  to[at] = red;
  to[at + 1] = green;
  to[at + 2] = blue;
  to[at + 3] = alpha;
}

const PAINTERS = {
  classes(at, to) {
    const index = classAt(at);
    put(to, at, view.byIndex.get(index).colour, only === null || only === index ? 255 : 40);
  },
  confidence: (at, to) => put(to, at, HOT[view.map[at + 2]], 255),
  heat: (at, to) => put(to, at, HOT[view.warm[at]], Math.round(Math.sqrt(view.warm[at] / 255) * 255)),
};

const percent = (share) => (share > 0 && share < 0.005 ? "< 1 %" : `${Math.round(share * 100)} %`);

function legend() {
  part(".legend").replaceChildren(...(kind === "classes" ? swatches() : [scale()]));
}

function swatches() {
  const found = view.classes.slice(0, LEGEND_MOST).map((entry) => {
    const button = node("button", "", "entry");
    button.type = "button";
    button.dataset.index = entry.index;
    button.setAttribute("aria-pressed", String(only === entry.index));
    const swatch = node("i");
    swatch.style.background = `rgb(${entry.colour})`;
    button.append(swatch, node("span", entry.name), node("b", percent(entry.share)));
    return button;
  });
  const rest = view.classes.length - found.length;
  return rest > 0 ? [...found, node("span", `and ${rest} more`, "rest")] : found;
}

function scale() {
  const bar = node("div", "", "scale"), ramp = node("i");
  ramp.style.background = `linear-gradient(to right, ${INFERNO.map((c) => `rgb(${c})`)})`;
  const most = kind === "heat" ? view.heat.peak : 1;
  const what = kind === "heat" ? `how probable ${view.heat.name} is` : "how sure the model is";
  const range = node("span", "", "range");
  range.append(node("b", "0 %"), ramp, node("b", percent(most)));
  bar.append(node("span", what), range);
  return bar;
}

function point(event) {
  const over = part(".over"), tip = part(".tip");
  if (!view || event.target !== over) return leave();
  const box = over.getBoundingClientRect();
  const along = (event.clientX - box.left) / box.width, down = (event.clientY - box.top) / box.height;
  const x = Math.min(view.size[0] - 1, Math.max(0, Math.floor(along * view.size[0])));
  const y = Math.min(view.size[1] - 1, Math.max(0, Math.floor(down * view.size[1])));
  const at = 4 * (y * view.size[0] + x), entry = view.byIndex.get(classAt(at));
  const swatch = node("i");
  swatch.style.background = `rgb(${entry.colour})`;
  const [pixelX, pixelY] = [x, y].map((v, i) => Math.floor(((v + 0.5) * view.image[i]) / view.size[i]));
  const sure = view.sure ? [node("b", percent(sureAt(at)))] : [];
  tip.replaceChildren(swatch, node("span", entry.name), ...sure, node("small", `${pixelX}, ${pixelY}`));
  tip.dataset.index = entry.index;
  tip.classList.add("seen");
  place(tip, event.clientX - box.left, event.clientY - box.top, box);
}

// Beside the pointer, and never beyond the picture.
function place(tip, x, y, box) {
  const below = y + GAP + tip.offsetHeight <= box.height;
  tip.style.left = `${Math.max(0, Math.min(x + GAP, box.width - tip.offsetWidth))}px`;
  tip.style.top = `${Math.max(0, below ? y + GAP : y - GAP - tip.offsetHeight)}px`;
}

function leave() {
  part(".tip").classList.remove("seen");
}

element.addEventListener("pointermove", point);
element.addEventListener("pointerdown", point);
element.addEventListener("pointerleave", leave);
element.addEventListener("input", (event) => event.target.matches(".fade input") && fade());
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-kind], [data-index].entry");
  if (!button || !view) return;
  if (button.dataset.kind) return choose(button.dataset.kind);
  const index = Number(button.dataset.index);
  only = only === index ? null : index;
  paint();
  legend();
});
watch("value", () => show(props.value));
if (props.value) show(props.value);
