// The layer table: filtered by every word typed, sorted by the heading clicked.
// `?q=conv` at the end of the page's address fills the search in.

function searchLayers(table, search, found) {
  const rows = [...table.tBodies[0].rows];
  const texts = rows.map((row) =>
    [...row.querySelectorAll(".searched")].map((cell) => cell.textContent).join(" ").toLowerCase(),
  );

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      row.hidden = !words.every((word) => texts[i].includes(word));
      shown += !row.hidden;
    });
    found.textContent = `${whole(shown)} of ${whole(rows.length)} layers`;
  }

  search.value = new URLSearchParams(location.search).get("q") ?? "";
  search.addEventListener("input", filter);
  search.parentElement.hidden = false;
  filter();
}

function sortLayers(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.tabIndex = 0;
    const sort = () => {
      const first = heading.dataset.by === "number" ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = heading.ariaSort === first ? other : first;
      for (const each of headings) each.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", order);
      arrange(table.tBodies[0], column, order === "ascending" ? 1 : -1);
    };
    heading.addEventListener("click", sort);
    heading.addEventListener("keydown", (event) => event.key === "Enter" && sort());
  });
}

function arrange(body, column, direction) {
  const key = ({ cells }) => cells[column].dataset.value ?? cells[column].textContent;
  const compare = (a, b) => key(a).localeCompare(key(b), "en", { numeric: true });
  body.append(...[...body.rows].sort((a, b) => direction * compare(a, b)));
}
