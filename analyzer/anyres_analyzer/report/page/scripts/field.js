// The receptive field on the picture. The drawing's units are input pixels.

const TALLEST = 540; // of the screen's pixels

function drawField(stage) {
  const index = Number(stage.dataset.output);
  const [scene, size] = [facts.drawing.scenes[index], facts.drawing.size];
  const drawing = svg("svg", { viewBox: `0 0 ${size[0]} ${size[1]}`, "aria-hidden": "true" });
  drawing.append(...backdrop(size));
  drawing.style.maxWidth = `${TALLEST * (size[0] / size[1])}px`;
  stage.querySelector(".picture").append(drawing);
  if (!scene.sight) {
    drawing.append(...frame({ x: 0, y: 0, width: size[0], height: size[1] }));
    return;
  }
  const moving = svg("g");
  const lattice = svg("path", { class: "lattice" });
  drawing.append(lattice, moving);
  let output = scene.grid.map((cells) => Math.floor(cells / 2));
  const strip = phaseStrip(index, scene.sight[0]);

  function draw() {
    const unit = size[0] / (drawing.clientWidth || size[0]);
    const spans = scene.sight.map((axis, i) => seen(axis, output[i]));
    const cells = scene.sight.map((axis, i) => cell(axis, output[i]));
    lattice.setAttribute("d", scene.sight.map((axis, i) => gridLines(axis, i, size, unit)).join(""));
    moving.replaceChildren(...marks(spans, cells, size, unit));
    define(document.querySelector(`.readout[data-output="${index}"]`), readout(scene, output, spans, size));
    strip?.(output[0]);
  }

  function move(place) {
    output = place.map((cell, i) => clamp(cell, 0, scene.grid[i] - 1));
    draw();
  }

  const follow = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY);
    const { x, y } = point.matrixTransform(drawing.getScreenCTM().inverse());
    move([x, y].map((pixel, i) => nearestOutput(scene.sight[i], pixel)));
  };
  drawing.addEventListener("pointermove", follow);
  drawing.addEventListener("pointerdown", follow);
  stage.querySelector(".picture").addEventListener("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    move(output.map((cell, i) => cell + step[i] * (event.shiftKey ? 10 : 1)));
  });
  new ResizeObserver(draw).observe(drawing);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// First and last pixel that an output reads along an axis.
function seen(axis, output) {
  const round = Math.floor(output / axis.phases.length);
  const [first, last] = axis.phases[output - round * axis.phases.length];
  return [first + axis.repeats * round, last + axis.repeats * round];
}

// The stretch of image that an output stands for: one stride about its centre.
function cell(axis, output) {
  const centre = axis.stride * output + axis.offset + 0.5;
  return [centre - axis.stride / 2, centre + axis.stride / 2];
}

const nearestOutput = (axis, pixel) => Math.round((pixel - 0.5 - axis.offset) / axis.stride);

// Borders between the outputs' cells; where they are too narrow to tell apart, every second, ...
function gridLines(axis, direction, size, unit) {
  const every = Math.max(1, Math.ceil((9 * unit) / axis.stride));
  const found = [];
  for (let at = cell(axis, 0)[0]; at < size[direction]; at += every * axis.stride)
    found.push(direction ? `M0 ${at}H${size[0]}` : `M${at} 0V${size[1]}`);
  return found.join("");
}

function marks([across, down], [column, row], [width, height], unit) {
  const box = { x: across[0], y: down[0], width: across[1] - across[0] + 1, height: down[1] - down[0] + 1 };
  const text = `${box.width} x ${box.height}`;
  const [wide, high] = [(text.length * 7.6 + 12) * unit, 20 * unit];
  const x = clamp(box.x, 0, width - wide);
  const y = clamp(box.y - high, 0, height - high);
  const spot = Math.max(column[1] - column[0], 6 * unit);
  const tall = Math.max(row[1] - row[0], 6 * unit);
  const middle = [(column[0] + column[1]) / 2, (row[0] + row[1]) / 2];
  const hole = `M0 0H${width}V${height}H0ZM${box.x} ${box.y}h${box.width}v${box.height}h${-box.width}Z`;
  return [
    svg("path", { class: "veil", d: hole }),
    ...frame(box),
    svg("rect", { class: "spot", x: middle[0] - spot / 2, y: middle[1] - tall / 2, width: spot, height: tall }),
    svg("rect", { class: "badge", x, y, width: wide, height: high }),
    svg("text", { class: "badge-text", x: x + 6 * unit, y: y + 14.5 * unit, fontSize: 12 * unit }, text),
  ];
}

const frame = (box) => ["seen-edge", "seen"].map((name) => svg("rect", { class: name, ...box }));

function readout(scene, output, spans, size) {
  const sides = spans.map(([first, last]) => last - first + 1);
  const phases = scene.sight.map((axis, i) => `${output[i] % axis.phases.length}`);
  const several = scene.sight.some((axis) => axis.phases.length > 1);
  return [
    ["output pixel", `column ${output[0]}, row ${output[1]} of ${times(scene.grid)}`],
    ["sees", `${sides[0]} x ${sides[1]} pixels`],
    ["columns", reach(spans[0], size[0])],
    ["rows", reach(spans[1], size[1])],
    ...(several ? [["phase", `${phases.join(", ")} of ${scene.sight.map((axis) => axis.phases.length).join(", ")}`]] : []),
  ];
}

function reach([first, last], size) {
  const outside = Math.max(0, -first) + Math.max(0, last - size + 1);
  return `${first} to ${last}${outside ? `, ${outside} of them outside the image` : ""}`;
}

function backdrop([width, height]) {
  const photo = document.getElementById("photo");
  if (photo) return [svg("image", { href: photo.src, width, height, preserveAspectRatio: "none" })];
  return testCard(width, height);
}

function testCard(width, height) {
  const side = Math.min(width, height) / 8;
  const squares = [];
  for (let row = 0; row * side < height; row += 1)
    for (let column = row % 2; column * side < width; column += 2)
      squares.push(`M${column * side} ${row * side}h${side}v${side}h${-side}Z`);
  const [x, y, r] = [width / 2, height / 2, 3 * side];
  return [
    svg("rect", { class: "card-paper", width, height }),
    svg("path", { class: "card-square", d: squares.join("") }),
    svg("circle", { class: "card-line", cx: x, cy: y, r }),
    svg("path", { class: "card-line", d: `M0 0L${width} ${height}M${width} 0L0 ${height}` }),
  ];
}

// What every phase sees about its centre, as a bar each; returns what marks one of them.
function phaseStrip(index, axis) {
  const place = document.querySelector(`.phases[data-output="${index}"] .strip`);
  if (!place) return null;
  const spans = axis.phases.map(([first, last], i) => {
    const centre = axis.stride * i + axis.offset;
    return [first - centre, last - centre];
  });
  const low = Math.min(...spans.map(([first]) => first));
  const high = Math.max(...spans.map(([, last]) => last));
  const bars = spans.map(([first, last], i) =>
    svg("rect", { x: i + 0.12, y: first - low, width: 0.76, height: last - first }),
  );
  const middle = svg("line", { class: "centre", x2: spans.length, y1: -low, y2: -low });
  const view = `0 0 ${spans.length} ${high - low || 1}`;
  const ends = [low, high].map((end) => tag("span", { textContent: `${end < 0 ? "" : "+"}${rounded(end)} px` }));
  place.append(
    tag("div", { className: "ends" }, ...ends),
    svg("svg", { viewBox: view, preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars, middle),
  );
  return (output) =>
    bars.forEach((bar, i) => bar.classList.toggle("now", i === output % bars.length));
}
