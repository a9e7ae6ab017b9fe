// A tile inside an image, to scale: its core, its halo, and the alignment that both keep.

const MARGIN = 0.16; // of the drawing, for its measures

function drawTile(stage) {
  const index = Number(stage.dataset.output);
  const { tiles, alignment } = facts.drawing.scenes[index];
  const slider = document.querySelector(`.slider input[data-output="${index}"]`);
  slider.max = tiles.length;
  slider.value = 1 + usual(tiles);

  function draw() {
    const tile = tiles[slider.value - 1];
    slider.nextElementSibling.textContent = `${times(tile.core)} px`;
    stage.querySelector(".picture").replaceChildren(picture(tile, alignment, stage.clientWidth));
    define(document.querySelector(`.price[data-output="${index}"]`), price(tile, alignment));
  }

  slider.addEventListener("input", draw);
  new ResizeObserver(draw).observe(stage);
}

// The first whose halo costs no more than its core three times over.
function usual(tiles) {
  const found = tiles.findIndex((tile) => work(tile) <= 4);
  return found < 0 ? tiles.length - 1 : found;
}

const work = ({ source, core }) => (source[0] * source[1]) / (core[0] * core[1]);

function price(tile, alignment) {
  return [
    ["tile", `${times(tile.source)} px go in`],
    ["kept", `the answers for ${times(tile.core)} px`],
    ["price", `${work(tile).toFixed(2)} pixels computed for each that is kept`],
    ["starts on", `multiples of ${times(alignment)} px`],
  ];
}

function picture({ core, lead, source }, alignment, width) {
  const margin = MARGIN * Math.max(...source);
  const unit = (source[0] + 2 * margin) / Math.max(width, 1);
  const view = `${-margin} ${-margin} ${source[0] + 2 * margin} ${source[1] + 1.3 * margin}`;
  return svg(
    "svg",
    { viewBox: view, role: "img", "aria-label": `a tile of ${times(source)} with a core of ${times(core)}` },
    svg("rect", { class: "halo", width: source[0], height: source[1] }),
    svg("path", { class: "mesh", d: mesh(source, alignment, unit) }),
    svg("rect", { class: "core", x: lead[0], y: lead[1], width: core[0], height: core[1] }),
    part("core", lead[0] + core[0] / 2, lead[1] + core[1] / 2, core[0] > 40 * unit, unit),
    part("halo", source[0] / 2, lead[1] / 2, lead[1] > 20 * unit, unit),
    ...measures(0, lead[0], core[0], source[0], unit),
    svg("g", { transform: "matrix(0 1 1 0 0 0)" }, ...measures(1, lead[1], core[1], source[1], unit)),
  );
}

// Lines on the alignment; where they are too narrow to tell apart, every second, ...
function mesh(source, alignment, unit) {
  return [0, 1].map((axis) => {
    const step = alignment[axis] * Math.max(1, Math.ceil((8 * unit) / alignment[axis]));
    const count = Math.ceil(source[axis] / step) - 1;
    return Array.from({ length: count }, (_, i) => (i + 1) * step)
      .map((at) => (axis ? `M0 ${at}H${source[0]}` : `M${at} 0V${source[1]}`))
      .join("");
  }).join("");
}

const part = (text, x, y, fits, unit) =>
  svg("g", { class: "part" }, ...(fits ? [label(text, x, y + 4 * unit, unit)] : []));

// Lengths of halo, core, halo beside one edge; the other axis is the same, mirrored on the diagonal.
function measures(axis, lead, core, length, unit) {
  const marks = [0, lead, lead + core, length].filter((at, i, all) => at !== all[i - 1]);
  const level = -10 * unit;
  const parts = marks.slice(1).map((stop, i) => {
    const [middle, text] = [(marks[i] + stop) / 2, String(stop - marks[i])];
    if ((stop - marks[i]) / unit < (axis ? 14 : 8 * text.length)) return null;
    return axis
      ? svg("g", { transform: `translate(${middle} ${level - 6 * unit}) matrix(0 1 1 0 0 0)` }, label(text, 0, 4 * unit, unit, "end"))
      : label(text, middle, level - 6 * unit, unit);
  });
  const ticks = marks.map((at) => `M${at} ${level - 3 * unit}v${6 * unit}`).join("");
  return [svg("path", { class: "measure", d: `M0 ${level}H${length}${ticks}` }), ...parts.filter(Boolean)];
}

const label = (text, x, y, unit, anchor = "middle") =>
  svg("text", { x, y, "text-anchor": anchor, fontSize: 12 * unit }, text);
