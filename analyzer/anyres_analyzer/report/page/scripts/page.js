// Brings the page to life; without scripts it is still a report to read.

const find = (selector) => document.querySelector(selector);

trySizes(find("#try"));
drawCosts();
document.querySelectorAll(".stage:not(.tile)").forEach(drawField);
document.querySelectorAll(".stage.tile").forEach(drawTile);
searchLayers(find("#layer-table"), find("#search"), find("#found"));
sortLayers(find("#layer-table"));
