// Draws one row of the log: its number, which is a link to the row, and its text.

import { fillRow } from "./ansi.js";

// Draws a row. Takes the colours that are set before the row, and returns those set after it.
export function drawRow(row, bytes, state) {
  const gutter = document.createElement("a");
  gutter.className = "gutter";
  gutter.tabIndex = -1;
  gutter.href = `#o=${row.start}-${row.end}`;
  const text = document.createElement("code");
  const after = fillRow(text, bytes, state);
  row.element.className = "row";
  row.element.dataset.offset = row.start;
  row.element.replaceChildren(gutter, text);
  numberRow(row);
  return after;
}

export function numberRow(row) {
  const gutter = row.element.firstElementChild;
  gutter.textContent = row.continues ? "↳" : row.line === null ? "·" : String(row.line + 1);
  gutter.setAttribute("aria-label", row.line === null ? `byte ${row.start}` : `line ${row.line + 1}`);
}

// Marks a row that is selected, has an error, or was found by a search.
export function markRow(row, { selected, errors, hits }) {
  const isSelected = Boolean(selected && row.start < selected.end && row.end > selected.start);
  row.element.classList.toggle("selected", isSelected);
  row.element.classList.toggle("error", errors.has(row.start));
  row.element.classList.toggle("hit", hits.has(row.start));
  if (isSelected) row.element.setAttribute("aria-current", "true");
  else row.element.removeAttribute("aria-current");
}
