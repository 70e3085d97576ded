// One row of the log as an element: its number, which is a link to it, and its text.

import { fillRow } from "./ansi.js";

// Draws a row, and returns the state of colours behind it; `state` is the one before it.
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

// Shows whether a row is selected, tells of an error, or was found.
export function markRow(row, { selected, errors, hits }) {
  const within = Boolean(selected && row.start < selected.end && row.end > selected.start);
  row.element.classList.toggle("selected", within);
  row.element.classList.toggle("error", errors.has(row.start));
  row.element.classList.toggle("hit", hits.has(row.start));
  if (within) row.element.setAttribute("aria-current", "true");
  else row.element.removeAttribute("aria-current");
}
