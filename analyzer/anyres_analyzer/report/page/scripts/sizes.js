// "Try a size": what the contract of each axis says of a number, and what it takes instead.

function admits(axis, pixels) {
  const below = axis.maximum === null || pixels <= axis.maximum;
  const regular = pixels >= axis.minimum && below && (pixels - axis.minimum) % axis.step === 0;
  return regular || axis.also.some(([least, step]) => pixels >= least && (pixels - least) % step === 0);
}

// The admissible numbers next to one that is not.
function neighbours(axis, pixels) {
  const top = axis.maximum ?? Infinity;
  let [less, more] = [Math.min(pixels, top), Math.max(pixels, axis.minimum)];
  while (less > 0 && !admits(axis, less)) less -= 1;
  while (more <= top && !admits(axis, more)) more += 1;
  return [less > 0 ? less : null, more <= top ? more : null].filter((n) => n !== null);
}

function trySizes(form) {
  const answer = form.querySelector("output");

  function judge() {
    const said = ["width", "height"].map((name) => complaint(name, Number(form[name].value)));
    const wrong = said.filter((text) => text);
    answer.textContent = wrong.length ? wrong.join("; ") : "goes through";
    answer.className = wrong.length ? "no" : "yes";
  }

  function complaint(name, pixels) {
    const axis = facts.axes[name];
    if (!Number.isInteger(pixels) || pixels < 1) return `the ${name} is no number of pixels`;
    if (admits(axis, pixels)) return "";
    return `${name} ${pixels} is not taken, ${neighbours(axis, pixels).join(" and ")} would be`;
  }

  [form.width.value, form.height.value] = facts.timeline.size;
  form.addEventListener("input", judge);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  judge();
}
