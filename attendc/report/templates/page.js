"use strict";
// Nothing here is needed to read the page: tables can be sorted, and one layer is shown at a time.
document.documentElement.classList.add("js");

const keyOf = (row, column) => {
  const cell = row.cells[column];
  const value = cell.dataset.value;
  return value === undefined ? cell.textContent.trim() : Number(value);
};

const compare = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1; // what was not measured goes last
  return a.localeCompare(b, "en", { numeric: true });
};

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
      rows.sort(([a], [b]) => (down && typeof a === typeof b ? compare(b, a) : compare(a, b)));
      body.append(...rows.map(([, row]) => row));
    });
  });
}

const select = document.getElementById("layer");
if (select) {
  const show = () => {
    for (const one of document.querySelectorAll("details.layer")) one.open = one.id === select.value;
  };
  select.closest(".choose").hidden = false;
  select.addEventListener("change", show);
  show();
}
