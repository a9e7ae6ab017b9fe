// Elements, made in one call. Texts are set as text, never parsed: names in them are a stranger's.

const facts = JSON.parse(document.getElementById("facts").textContent);

function svg(name, { fontSize = null, ...attributes } = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (fontSize) element.style.fontSize = `${fontSize}px`; // as an attribute the policy forbids it
  element.append(...children);
  return element;
}

function tag(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

// Rows of a definition list: [["sees", "3x3"], ...]
function define(list, rows) {
  list.replaceChildren(
    ...rows.flatMap(([term, text]) => [
      tag("dt", { textContent: term }),
      tag("dd", { textContent: text }),
    ]),
  );
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
