"use strict";

// Tables: a button in each head sorts by its column, numbers by value, blanks last.
function valueOf(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replaceAll(",", "").replace("\u2212", "-"));
  return text === "" ? null : Number.isNaN(number) ? text : number;
}

function compare(one, other) {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), undefined, { numeric: true });
}

function sortBy(table, head) {
  const column = head.cellIndex;
  const down = head.getAttribute("aria-sort") === "ascending";
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => [valueOf(row, column), row]);
  keyed.sort(([one], [other]) =>
    one === null || other === null ? compare(one, other) : down ? compare(other, one) : compare(one, other));
  body.append(...keyed.map(([, row]) => row));
  for (const other of head.parentNode.cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, head));
    head.append(button);
    head.setAttribute("aria-sort", "none");
  }
}

// Plots: drawn as SVG in place of their picture. Tab reaches a plot, arrow keys go over its marks.
function tell(figure, mark) {
  figure.querySelector(".told").textContent = (mark.getAttribute("aria-label") || "").replaceAll("\n", "; ");
}

function walk(figure, live) {
  const marks = [...live.querySelectorAll("[role=graphics-symbol][aria-label]")].filter(
    (mark) => !["axis", "legend", "title"].includes(mark.getAttribute("aria-roledescription")));
  if (!marks.length) return;
  const svg = live.querySelector("svg");
  let place = -1;
  svg.setAttribute("tabindex", "0");
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    place = (Math.max(place + step, -1) + marks.length) % marks.length;
    marks.forEach((mark, index) => mark.setAttribute("tabindex", index === place ? "0" : "-1"));
    marks[place].focus();
    tell(figure, marks[place]);
  });
}

async function draw(figure) {
  const live = figure.querySelector(".live");
  const spec = JSON.parse(figure.querySelector("script").textContent);
  live.hidden = false;
  await vegaEmbed(live, spec, { renderer: "svg", actions: false, ast: true });
  figure.querySelector(".picture").style.display = "none";
  walk(figure, live);
}

const drawn = Promise.all([...document.querySelectorAll("figure.plot")].map(draw)).then(() => {
  document.documentElement.dataset.drawn = "yes";
});
