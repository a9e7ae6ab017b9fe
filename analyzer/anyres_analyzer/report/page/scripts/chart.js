// Lines over an axis, drawn for the room that it has; pointer and arrow keys read it off.
//
//   chart(plot, { points: [{ x, ys: [9e9], says: ["512x512", "9 G"] }], across: PIXELS, up: COUNTS })
//
// The first of `ys` is filled, others are lines beside it.
// `stepped` holds each value until the next, and `names` labels both ends of the axis.

const ABOVE = 14;
const BELOW = 26;

function chart(plot, { points, across, up, log = false, stepped = false, names = null }) {
  let at = null;
  const hint = tag("div", { className: "hint", hidden: true });

  function scales() {
    const [xs, ys] = [points.map((p) => p.x), points.flatMap((p) => p.ys)];
    const high = Math.max(...ys) || 1;
    const some = ys.filter((y) => y > 0);
    const upLog = log && some.length > 0; // what costs nothing has no logarithm
    const low = upLog ? Math.min(...some) : 0;
    const rows = Math.max(3, Math.floor(plot.clientHeight / 46));
    const levels = () => (some.length ? steps(high, rows, up.unit(high)) : [0]);
    const upTicks = upLog ? powers(low, high, up.powers, rows) : levels();
    const left = 12 + 6.6 * Math.max(...upTicks.map((tick) => up.write(tick).length), 3);
    const room = { left, right: plot.clientWidth - 18, top: ABOVE, bottom: plot.clientHeight - BELOW };
    const columns = Math.max(2, Math.floor((room.right - left) / 64));
    const [first, last] = [log || names ? xs[0] : 0, xs.at(-1) + (stepped ? 1 : 0)];
    return {
      room,
      upTicks,
      acrossTicks: log ? powers(first, last, across.powers, columns) : steps(last, columns),
      x: between(first, last, room.left, room.right, log),
      y: between(low, high, room.bottom, room.top, upLog),
    };
  }

  function draw() {
    if (!plot.clientWidth) return;
    const { room, upTicks, acrossTicks, x, y } = scales();
    const viewBox = `0 0 ${plot.clientWidth} ${plot.clientHeight}`; // for paper of another width
    const drawing = svg("svg", { viewBox, "aria-hidden": "true" });
    for (const tick of upTicks) {
      drawing.append(
        svg("line", { class: "rule", x1: room.left, x2: room.right, y1: y(tick), y2: y(tick) }),
        svg("text", { x: room.left - 8, y: y(tick) + 4, "text-anchor": "end" }, up.write(tick)),
      );
    }
    for (const [tick, text, anchor] of named(acrossTicks))
      drawing.append(
        svg("text", { x: x(tick), y: room.bottom + 20, "text-anchor": anchor }, text),
      );
    const paths = points[0].ys.map((_, i) => path(points, i, x, y, stepped ? room.right : null));
    const floor = `V${room.bottom}H${x(points[0].x)}Z`;
    drawing.append(svg("path", { class: "area", d: paths[0] + floor }));
    paths.forEach((d, i) => drawing.append(svg("path", { class: `line line-${i}`, d })));
    if (at !== null) mark(drawing, room, x(points[at].x), points[at].ys.map(y));
    plot.replaceChildren(drawing, hint);
    place(x);
  }

  function named(ticks) {
    if (!names) return ticks.map((tick) => [tick, across.write(tick), "middle"]);
    const [first, last] = [points[0].x, points.at(-1).x + 1];
    return [[first, names[0], "start"], [last, names[1], "end"]];
  }

  function mark(drawing, room, x, ys) {
    drawing.append(
      svg("line", { class: "cursor", x1: x, x2: x, y1: room.top, y2: room.bottom }),
      ...ys.map((y) => svg("circle", { class: "dot", cx: x, cy: y, r: 4 })),
    );
  }

  function place(x) {
    hint.hidden = at === null;
    if (at === null) return;
    const [head, ...rest] = points[at].says;
    hint.replaceChildren(tag("b", { textContent: head }), ...lines(rest));
    const [here, room] = [x(points[at].x), plot.clientWidth - hint.offsetWidth];
    hint.style.left = `${clamp(here > plot.clientWidth / 2 ? here - hint.offsetWidth - 12 : here + 12, 0, room)}px`;
  }

  function show(index) {
    at = index === null ? null : clamp(index, 0, points.length - 1);
    draw();
  }

  function nearest(event) {
    const { x } = scales();
    const here = event.clientX - plot.getBoundingClientRect().left;
    const away = points.map((point) => Math.abs(x(point.x) - here));
    return away.indexOf(Math.min(...away));
  }

  plot.addEventListener("pointermove", (event) => show(nearest(event)));
  plot.addEventListener("pointerdown", (event) => show(nearest(event)));
  plot.addEventListener("pointerleave", () => show(null));
  plot.addEventListener("blur", () => show(null));
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show((at ?? (step > 0 ? -1 : points.length)) + step);
  });
  new ResizeObserver(draw).observe(plot);
  return {
    scale(logarithmic) {
      log = logarithmic;
      draw();
    },
  };
}

function between(low, high, start, stop, log) {
  const place = log ? Math.log : (value) => value;
  const span = place(high) - place(low) || 1;
  return (value) => start + ((place(Math.max(value, log ? low : value)) - place(low)) / span) * (stop - start);
}

// Through the `which`th value of every point; in steps, the last of which goes on to `end`.
function path(points, which, x, y, end) {
  const places = points.map((point) => [x(point.x), y(point.ys[which])]);
  if (end === null) return `M${places.map((place) => place.join(" ")).join("L")}`;
  const [first, ...rest] = places;
  return `M${first.join(" ")}${rest.map(([right, level]) => `H${right}V${level}`).join("")}H${end}`;
}

const lines = (texts) => texts.map((textContent) => tag("div", { textContent }));
