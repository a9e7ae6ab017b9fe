// Brings the page to life; without scripts it is still a report to read.

const part = (selector) => document.querySelector(selector);

trySizes(part("#try"));
drawCosts();
document.querySelectorAll(".stage:not(.tile)").forEach(drawField);
document.querySelectorAll(".stage.tile").forEach(drawTile);
searchLayers(part("#layer-table"), part("#search"), part("#found"));
sortLayers(part("#layer-table"));
