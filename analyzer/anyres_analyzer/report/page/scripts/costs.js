// MACs and memory over sizes, and memory from node to node.

function drawCosts() {
  const { along, points } = facts.curve;
  const charts = along === "nothing" ? [] : [
    overSizes("macs-over-size", points, COUNTS, along, (cost) => [cost.macs], macsOf),
    overSizes("memory-over-size", points, BYTES, along, memories, memoryOf),
  ];
  for (const button of document.querySelectorAll("[data-scale]"))
    button.addEventListener("click", () => {
      for (const chart of charts) chart.scale(button.dataset.scale === "log");
      for (const other of document.querySelectorAll("[data-scale]"))
        other.setAttribute("aria-pressed", other === button);
    });
  overNodes("memory-over-nodes", facts.timeline.moments);
}

const memories = (cost) => [cost.activation_bytes, cost.runtime_bytes, cost.arena_bytes];
const macsOf = (cost) => [`${whole(cost.macs)} MACs`, `output ${cost.output_shape.join(" x ")}`];
const memoryOf = (cost) => [
  `alive ${exactly(cost.activation_bytes)}`,
  `at ${cost.peak_node}`,
  `ONNX Runtime ${exactly(cost.runtime_bytes)}`,
  `its arena ${exactly(cost.arena_bytes)}`,
];
const exactly = (bytes) => `${whole(bytes)} bytes (${stored(bytes)})`;

function overSizes(id, costs, up, along, values, described) {
  const side = along === "height" ? 1 : 0;
  const points = costs.map((cost) => ({
    x: cost.size[side],
    ys: values(cost),
    says: [times(cost.size), ...described(cost)],
  }));
  return chart(plotOf(id), { points, across: PIXELS, up, log: true });
}

function overNodes(id, moments) {
  const points = moments.map(([node, bytes], x) => ({
    x,
    ys: [bytes],
    says: [exactly(bytes), `at ${node}`],
  }));
  chart(plotOf(id), { points, across: PIXELS, up: BYTES, stepped: true, names: ["first node", "last node"] });
}

const plotOf = (id) => document.querySelector(`#${id} .plot`);
