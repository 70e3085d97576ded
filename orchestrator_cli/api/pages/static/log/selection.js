// The selected lines: which ones the URL names, selecting others, and copying them.

import { copyText } from "../page.js";
import { plainText } from "./ansi.js";

const MAX_COPY_BYTES = 1024 * 1024;

export class LineSelection {
  // `setStatus(part, text)` shows a text in the status line.
  constructor(log, view, setStatus) {
    this.log = log;
    this.view = view;
    this.setStatus = setStatus;
    this.anchor = null;
  }

  // Selects a range of bytes and puts it into the URL. With `where` (top or middle), scrolls there.
  async select(from, to, where) {
    this.mark(from, to);
    history.replaceState(null, "", `#o=${from}-${to}`);
    if (where) await this.view.goTo(from, where);
  }

  mark(start, end) {
    this.view.marks.selected = { start, end };
    this.view.markAll();
    document.getElementById("copy").disabled = false;
  }

  // Selects the lines that the URL names and scrolls there. Returns false if it names none.
  async goToHash() {
    const range = await this.hashRange();
    if (!range) return false;
    this.mark(range.from, range.to);
    await this.view.goTo(range.from);
    return true;
  }

  async hashRange() {
    const offsets = /^#o=(\d{1,16})(?:-(\d{1,16}))?$/.exec(location.hash);
    if (offsets) {
      const from = Number(offsets[1]);
      return { from, to: Number(offsets[2] ?? from + 1) };
    }
    const lines = /^#L(\d{1,16})(?:-L?(\d{1,16}))?$/.exec(location.hash);
    if (!lines) return null;
    this.setStatus("where", `looking for line ${Number(lines[1]).toLocaleString()}`);
    const from = await this.fetchLineStart(lines[1]);
    return { from, to: (lines[2] ? await this.fetchLineStart(lines[2]) : from) + 1 };
  }

  async fetchLineStart(number) {
    const response = await this.log.request(`${this.log.api}/lines?n=${number}`);
    return (await response.json()).offset;
  }

  // A click on a line's number selects that line. With Shift, it selects all lines from the one that
  // was clicked before.
  click(event) {
    if (!event.target.closest(".gutter")) return;
    event.preventDefault();
    const row = this.view.rowOf(event.target);
    if (!row) return;
    if (!event.shiftKey || !this.anchor) this.anchor = { start: row.start, end: row.end };
    this.select(Math.min(this.anchor.start, row.start), Math.max(this.anchor.end, row.end));
  }

  // Selects the next line (`step` 1) or the previous one (-1). With `extend`, adds it instead.
  move(step, extend) {
    const { rows, marks, top } = this.view;
    const { selected } = marks;
    let at = rows.findIndex((row) => selected && row.start <= selected.start && row.end > selected.start);
    if (extend && step > 0) at = rows.findIndex((row) => row.end >= selected?.end);
    const row = rows[at < 0 ? rows.indexOf(top) : at + step];
    if (!row) return;
    if (extend && selected) this.select(Math.min(selected.start, row.start), Math.max(selected.end, row.end));
    else this.select(row.start, row.end);
    row.element.scrollIntoView({ block: "nearest" });
  }

  // Copies the selected lines as Markdown: a link to them and a fenced code block.
  async copy(title) {
    const { selected } = this.view.marks;
    if (!selected) return;
    const row = this.view.rows.find((one) => one.start === selected.start);
    const end = Math.max(selected.end, row?.end ?? 0);
    const length = Math.min(end - selected.start, MAX_COPY_BYTES);
    const { data } = await this.log.fetch(selected.start, length);
    const text = plainText(data).replace(/\n+$/, "");
    const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((found) => found[0].length));
    const fence = "`".repeat(longest + 1);
    const link = new URL(`#o=${selected.start}-${end}`, location.href);
    await copyText(`[${title}](${link})\n${fence}\n${text}\n${fence}\n`);
    this.setStatus("search", "copied");
  }
}
