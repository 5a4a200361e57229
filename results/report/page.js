"use strict";
// Each table has a filter over its rows and sorts by the column whose head is pressed.

const numberOf = (text) => {
  const found = text.replaceAll(",", "").match(/^[†\s]*(-?\d+(\.\d+)?(e[+-]?\d+)?)/i);
  return found ? Number(found[1]) : null;
};

// Numbers by size, then texts, then what is empty, whichever way it sorts.
const compare = (a, b, down) => {
  const [x, y] = [numberOf(a), numberOf(b)];
  const kinds = [a, b].map((text) => (text === "" ? 2 : numberOf(text) === null ? 1 : 0));
  if (kinds[0] !== kinds[1]) return kinds[0] - kinds[1];
  return (x !== null ? x - y : a.localeCompare(b)) * (down ? -1 : 1);
};

const sortBy = (table, head) => {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const text = (row) => row.cells[head.cellIndex]?.textContent.trim() ?? "";
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(text(a), text(b), down));
  table.tBodies[0].append(...rows);
};

const filterBy = (table, words) => {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !wanted.every((word) => text.includes(word));
    shown += row.hidden ? 0 : 1;
  }
  table.closest("section").querySelector(".shown").textContent = `${shown} rows`;
};

for (const section of document.querySelectorAll("section[data-filtered]")) {
  const table = section.querySelector("table");
  const filter = section.querySelector(".filter");
  filter.addEventListener("input", () => filterBy(table, filter.value));
  // index.html?SECTION=WORDS opens with a filter set.
  filter.value = new URLSearchParams(location.search).get(section.id) ?? "";
  filterBy(table, filter.value);
}
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => sortBy(table, head));
  }
  // On a narrow screen each cell shows the head of its column.
  for (const row of table.tBodies[0].rows) {
    for (const cell of row.cells) cell.dataset.head = heads[cell.cellIndex].textContent;
  }
}
