// Numbers as people read them, and where an axis has its ticks.

const whole = (count) => count.toLocaleString("en-US");
const times = ([width, height]) => `${width}x${height}`;
const rounded = (value) => String(Number(value.toPrecision(3)));

function scaled(count, base, units) {
  const power = clamp(Math.floor(Math.log(count) / Math.log(base) + 1e-9), 0, units.length - 1);
  return `${rounded(count / base ** power)} ${units[power]}`.trim();
}
const counted = (count) => (count < 1 ? "0" : scaled(count, 1000, ["", "k", "M", "G", "T", "P"]));
const stored = (bytes) =>
  bytes < 1 ? "0" : scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);

// Powers of a base between two values, at most `most` of them.
function powers(low, high, base, most) {
  const first = Math.ceil(Math.log(low) / Math.log(base) - 1e-9);
  const last = Math.floor(Math.log(high) / Math.log(base) + 1e-9);
  const every = Math.max(1, Math.ceil((last - first + 1) / most));
  const found = [];
  for (let power = last; power >= first; power -= every) found.unshift(base ** power);
  return found;
}

// Round steps from 0 on, in units of `unit`.
function steps(high, most, unit = 1) {
  const rough = high / unit / most;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = unit * size * [1, 2, 5, 10].find((factor) => factor * size >= rough);
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, i) => i * step);
}

// What the two kinds of number need of an axis.
const COUNTS = { write: counted, powers: 10, unit: () => 1 };
const BYTES = {
  write: stored,
  powers: 4,
  unit: (high) => 1024 ** Math.floor(Math.log(Math.max(high, 1)) / Math.log(1024)),
};
const PIXELS = { write: whole, powers: 2, unit: () => 1 };
