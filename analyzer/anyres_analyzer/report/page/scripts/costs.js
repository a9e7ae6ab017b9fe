// MACs and memory over sizes, and memory from node to node.

function drawCosts() {
  const { along, points } = facts.curve;
  const charts = along === "nothing" ? [] : [
    overSizes("macs-over-size", points, (cost) => cost.macs, COUNTS, along),
    overSizes("memory-over-size", points, (cost) => cost.activation_bytes, BYTES, along),
  ];
  for (const button of document.querySelectorAll("[data-scale]"))
    button.addEventListener("click", () => {
      for (const chart of charts) chart.scale(button.dataset.scale === "log");
      for (const other of document.querySelectorAll("[data-scale]"))
        other.setAttribute("aria-pressed", other === button);
    });
  overNodes("memory-over-nodes", facts.timeline.moments);
}

function overSizes(id, costs, of, up, along) {
  const side = along === "height" ? 1 : 0;
  const points = costs.map((cost) => ({
    x: cost.size[side],
    y: of(cost),
    says: [
      times(cost.size),
      `${whole(cost.macs)} MACs`,
      `${whole(cost.activation_bytes)} bytes (${stored(cost.activation_bytes)})`,
      `peak at ${cost.peak_node}`,
    ],
  }));
  return chart(plotOf(id), { points, across: PIXELS, up, log: true });
}

function overNodes(id, moments) {
  const points = moments.map(([node, bytes], x) => ({
    x,
    y: bytes,
    says: [`${whole(bytes)} bytes (${stored(bytes)})`, `at ${node}`],
  }));
  chart(plotOf(id), { points, across: PIXELS, up: BYTES, stepped: true, names: ["first node", "last node"] });
}

const plotOf = (id) => document.querySelector(`#${id} .plot`);
