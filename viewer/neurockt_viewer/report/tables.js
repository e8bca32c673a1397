"use strict";
// The page works without this file but for the charts, the filter and the order of the tables.
// Text of runs goes into the page as textContent alone.

const id = (name) => document.getElementById(name);
const make = (tag, text = "", className = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
};

// Tables

const shown = (row) => row.dataset.off === undefined && !row.hidden;
const rows = [...document.querySelectorAll("#runs tbody tr")];
const number = (cell) => (cell.dataset.v === undefined ? NaN : Number(cell.dataset.v));

function compare(one, other) {
  const [a, b] = [number(one), number(other)];
  if (!isNaN(a) || !isNaN(b)) return isNaN(a) ? 1 : isNaN(b) ? -1 : a - b;
  return one.textContent.localeCompare(other.textContent, undefined, { numeric: true });
}

for (const table of document.querySelectorAll("table.sorted")) {
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    const button = make("button", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    button.onclick = () => {
      const falls = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falls ? "descending" : "ascending");
      const empty = (row) => ["", "-", "·", "nan"].includes(row.cells[at].textContent.trim());
      const sorted = [...table.tBodies[0].rows].sort((one, other) =>
        empty(one) || empty(other) // without a value: last in either order
          ? empty(one) - empty(other)
          : (falls ? -1 : 1) * compare(one.cells[at], other.cells[at]));
      table.tBodies[0].append(...sorted);
    };
  });
}

const COMPARISONS = {
  "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "!=": (a, b) => a !== b, "==": (a, b) => a === b,
  "=": (a, b) => a === b, "<": (a, b) => a < b, ">": (a, b) => a > b,
};
const titles = [...document.querySelectorAll("#runs thead th")].map((head) => head.textContent.trim().toLowerCase());

function matcher(word) {
  const found = /^(.+?)(<=|>=|!=|==|=|<|>)(.+)$/.exec(word);
  const at = found ? titles.findIndex((title) => [title, title.replace(/^cfg\./, "")].includes(found[1])) : -1;
  if (at < 0) return (row) => row.textContent.toLowerCase().includes(word);
  const wanted = Number(found[3]);
  return (row) => {
    const value = number(row.cells[at]);
    if (!isNaN(wanted) && !isNaN(value)) return COMPARISONS[found[2]](value, wanted);
    return COMPARISONS[found[2]](row.cells[at].textContent.trim().toLowerCase(), found[3]);
  };
}

function filter() {
  const wanted = id("find").value.toLowerCase().split(/\s+/).filter(Boolean).map(matcher);
  for (const row of rows) row.hidden = !wanted.every((fits) => fits(row));
  const left = rows.filter((row) => !row.hidden).length;
  id("found").textContent = wanted.length ? `${left} of ${rows.length}` : "";
}
id("find").hidden = rows.length < 2;
