// Places in the log: what the address says, which lines are selected, and copying them.

import { copyText } from "../page.js";
import { plainText } from "./ansi.js";

const MAX_COPY_BYTES = 1024 * 1024;

export class Places {
  // `tell` shows a text in a part of the status line.
  constructor(log, view, tell) {
    this.log = log;
    this.view = view;
    this.tell = tell;
    this.anchor = null;
  }

  // Selects bytes and puts them into the address; shows them `where` (top, middle) if that is said.
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

  // Goes where the address says; false where it says nothing.
  async goToHash() {
    const found = await this.hashPlace();
    if (!found) return false;
    this.mark(found.from, found.to);
    await this.view.goTo(found.from);
    return true;
  }

  async hashPlace() {
    const offsets = /^#o=(\d{1,16})(?:-(\d{1,16}))?$/.exec(location.hash);
    if (offsets) {
      const from = Number(offsets[1]);
      return { from, to: Number(offsets[2] ?? from + 1) };
    }
    const lines = /^#L(\d{1,16})(?:-L?(\d{1,16}))?$/.exec(location.hash);
    if (!lines) return null;
    this.tell("where", `looking for line ${Number(lines[1]).toLocaleString()}`);
    const from = await this.lineStart(lines[1]);
    return { from, to: (lines[2] ? await this.lineStart(lines[2]) : from) + 1 };
  }

  async lineStart(number) {
    const answer = await this.log.request(`${this.log.api}/lines?n=${number}`);
    return (await answer.json()).offset;
  }

  // A click on a line's number selects it; with Shift, all from the one before to it.
  click(event) {
    if (!event.target.closest(".gutter")) return;
    event.preventDefault();
    const row = this.view.rowOf(event.target);
    if (!row) return;
    if (!event.shiftKey || !this.anchor) this.anchor = { start: row.start, end: row.end };
    this.select(Math.min(this.anchor.start, row.start), Math.max(this.anchor.end, row.end));
  }

  // Selects the next line or the one before, or as many more with `extend`.
  move(step, extend) {
    const { rows, marks, top } = this.view;
    const chosen = marks.selected;
    let at = rows.findIndex((row) => chosen && row.start <= chosen.start && row.end > chosen.start);
    if (extend && step > 0) at = rows.findIndex((row) => row.end >= chosen?.end);
    const row = rows[at < 0 ? rows.indexOf(top) : at + step];
    if (!row) return;
    if (extend && chosen) this.select(Math.min(chosen.start, row.start), Math.max(chosen.end, row.end));
    else this.select(row.start, row.end);
    row.element.scrollIntoView({ block: "nearest" });
  }

  // Copies the selected lines as Markdown, in a fence, with the link to them.
  async copy(title) {
    const chosen = this.view.marks.selected;
    if (!chosen) return;
    const row = this.view.rows.find((one) => one.start === chosen.start);
    const end = Math.max(chosen.end, row?.end ?? 0);
    const length = Math.min(end - chosen.start, MAX_COPY_BYTES);
    const { data } = await this.log.fetch(chosen.start, length);
    const text = plainText(data).replace(/\n+$/, "");
    const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((found) => found[0].length));
    const fence = "`".repeat(longest + 1);
    const link = new URL(`#o=${chosen.start}-${end}`, location.href);
    await copyText(`[${title}](${link})\n${fence}\n${text}\n${fence}\n`);
    this.tell("search", "copied");
  }
}
