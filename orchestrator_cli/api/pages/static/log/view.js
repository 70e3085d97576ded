// Shows the part of a log around the screen: at most about 300 rows, whatever the size of the log.

import { freshState, stateAfter } from "./ansi.js";
import { CHUNK_BYTES, countNewlines } from "./bytes.js";
import { drawRow, markRow, numberRow } from "./row.js";
import { FOLD_BYTES, rowBoundaries } from "./row-boundaries.js";
import { ScrollBar } from "./scroll-bar.js";

const MAX_ROWS = 300;
const STEP_ROWS = 80;
const LOOK_BACK_BYTES = 64 * 1024;
const EDGE_SCREENS = 1.5;
const MAX_STATES = 2000;

export class LogView {
  // `onMove` is called with the row at the top of the screen when that has changed.
  constructor(lines, bar, log, onMove) {
    this.lines = lines;
    this.bar = new ScrollBar(bar, (fraction) => this.goToFraction(fraction));
    this.log = log;
    this.onMove = onMove;
    this.rows = [];
    this.states = new Map([[0, freshState()]]);
    this.marks = { selected: null, errors: new Set(), hits: new Set() };
    this.task = Promise.resolve();
    this.generation = 0;
    lines.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.scrolled()).observe(lines);
  }

  get atEnd() {
    return this.wasAtEnd(this.log.size);
  }

  // Returns whether the end was on the screen when the log had this size.
  wasAtEnd(size) {
    const last = this.rows.at(-1);
    const below = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight;
    return (!last || last.end >= size) && below < 4;
  }

  get top() {
    const edge = this.lines.getBoundingClientRect().top + 1;
    return this.rows.find((row) => row.element.getBoundingClientRect().bottom > edge) ?? null;
  }

  // Runs changes of the rows one after the other. A jump to another offset cancels earlier jumps:
  // they see that `generation` has changed.
  queue(work) {
    this.task = this.task.then(work, work);
    return this.task;
  }

  // Shows the row that holds an offset, at the top or in the middle.
  async goTo(offset, where = "middle") {
    const generation = (this.generation += 1);
    return this.queue(async () => {
      if (generation !== this.generation) return;
      const target = Math.max(0, Math.min(offset, this.log.size));
      const from = await this.rowStart(target);
      if (generation !== this.generation) return;
      this.clear();
      await this.addBelow(from);
      await this.fill();
      if (generation !== this.generation) return;
      const row = this.rows.find((one) => one.end > target) ?? this.rows.at(-1);
      if (row) {
        const space = where === "middle" ? this.lines.clientHeight / 3 : 0;
        this.lines.scrollTop = row.element.offsetTop - space;
      }
      await this.fill();
      this.moved();
    });
  }

  async goToEnd() {
    const generation = (this.generation += 1);
    return this.queue(async () => {
      if (generation !== this.generation) return;
      const from = await this.rowStart(Math.max(0, this.log.size - 1));
      if (generation !== this.generation) return;
      this.clear();
      await this.addBelow(from);
      this.lines.scrollTop = this.lines.scrollHeight;
      await this.fill();
      this.lines.scrollTop = this.lines.scrollHeight;
      this.moved();
    });
  }

  goToFraction(fraction) {
    if (fraction > 0.999) return this.goToEnd();
    return this.goTo(Math.floor(fraction * this.log.size), "top");
  }

  // Returns the start of the row that contains an offset.
  async rowStart(offset) {
    const low = Math.max(0, Math.floor((offset - 2 * FOLD_BYTES) / FOLD_BYTES) * FOLD_BYTES);
    const { base, data } = await this.log.range(low, offset + FOLD_BYTES);
    const from = Math.max(low, base);
    const starts = rowBoundaries(data, base, from - 1, offset, false);
    if (from === 0) return Math.max(0, starts.filter((one) => one <= offset).at(-1) ?? 0);
    return starts.at(-1) ?? from;
  }

  clear() {
    this.rows = [];
    this.lines.replaceChildren();
  }

  async addBelow(start = this.rows.at(-1)?.end ?? 0) {
    if (start >= this.log.size) return false;
    const { base, data } = await this.log.range(Math.max(0, start - FOLD_BYTES), start + CHUNK_BYTES / 2);
    const isEnd = base + data.length >= this.log.size;
    const ends = rowBoundaries(data, base, start, base + data.length, isEnd).slice(0, STEP_ROWS);
    if (!ends.length) return false;
    const state = await this.stateAt(start);
    this.lines.append(...this.makeRows(start, ends, base, data, state, (row) => this.rows.push(row)));
    return true;
  }

  async addAbove() {
    const first = this.rows[0];
    if (!first || first.start === 0) return false;
    const low = Math.max(0, Math.floor((first.start - LOOK_BACK_BYTES) / FOLD_BYTES) * FOLD_BYTES);
    const { base, data } = await this.log.range(low, first.start);
    const from = Math.max(low, base);
    let starts = rowBoundaries(data, base, from - 1, first.start, false);
    if (from === 0 && starts[0] !== 0) starts = [0, ...starts];
    if (starts.at(-1) !== first.start) starts.push(first.start);
    starts = starts.slice(-STEP_ROWS - 1);
    if (starts.length < 2) return false;
    const state = await this.stateAt(starts[0]);
    const made = [];
    const elements = this.makeRows(starts[0], starts.slice(1), base, data, state, (row) => made.push(row));
    const height = this.lines.scrollHeight;
    const top = this.lines.scrollTop;
    this.lines.prepend(...elements);
    this.rows.unshift(...made);
    this.lines.scrollTop = top + this.lines.scrollHeight - height;
    return true;
  }

  // Makes the rows that begin at `start` and end at each of `ends`. Calls `add` with each row, and
  // returns their elements.
  makeRows(start, ends, base, data, state, add) {
    let line = this.log.lineAt(start);
    return ends.map((end) => {
      const bytes = data.subarray(start - base, end - base);
      const continues = start > base && data[start - base - 1] !== 10;
      const row = { start, end, line, continues, element: document.createElement("div") };
      this.remember(start, state);
      state = drawRow(row, bytes, state);
      markRow(row, this.marks);
      this.remember(end, state);
      if (line !== null) line += countNewlines(bytes, 0, bytes.length);
      add(row);
      start = end;
      return row.element;
    });
  }

  // Numbers the rows that were drawn before their numbers were known.
  async renumber() {
    return this.queue(async () => {
      for (const row of this.rows) {
        if (row.line !== null) continue;
        row.line = this.log.lineAt(row.start) ?? (await this.log.fetchLineAt(row.start));
        if (row.line === null) return;
        numberRow(row);
      }
      this.moved();
    });
  }

  remember(offset, state) {
    this.states.set(offset, state);
    if (this.states.size > MAX_STATES) this.states.delete(this.states.keys().next().value);
  }

  // Returns the style that is set at an offset. It may have been set before what is shown, so this
  // parses the bytes before the offset.
  async stateAt(offset) {
    const known = this.states.get(offset);
    if (known) return known;
    const { base, data } = await this.log.range(this.log.cachedStart(offset), offset);
    return stateAfter(data.subarray(0, offset - base), freshState());
  }

  // Adds rows until there are enough above and below the screen, and removes those far from it.
  async fill() {
    // Before the first jump there is no row to start from.
    if (!this.rows.length) return;
    const screen = () => this.lines.clientHeight * EDGE_SCREENS;
    const below = () => this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight;
    for (let tries = 0; tries < 20 && below() < screen(); tries += 1) {
      if (!(await this.addBelow())) break;
      this.trim(true);
    }
    for (let tries = 0; tries < 20 && this.lines.scrollTop < screen(); tries += 1) {
      if (!(await this.addAbove())) break;
      this.trim(false);
    }
  }

  trim(fromTop) {
    while (this.rows.length > MAX_ROWS) {
      const row = fromTop ? this.rows[0] : this.rows.at(-1);
      const height = row.element.offsetHeight;
      if (fromTop && row.element.offsetTop + height > this.lines.scrollTop - this.lines.clientHeight) return;
      if (!fromTop && row.element.offsetTop < this.lines.scrollTop + 2 * this.lines.clientHeight) return;
      row.element.remove();
      if (fromTop) {
        this.rows.shift();
        this.lines.scrollTop -= height;
      } else this.rows.pop();
    }
  }

  scrolled() {
    if (this.filling) return;
    this.filling = true;
    requestAnimationFrame(() => {
      this.queue(() => this.fill()).then(() => {
        this.filling = false;
        this.moved();
      }, () => (this.filling = false));
    });
  }

  moved() {
    const top = this.top;
    if (!top) return;
    this.onMove(top);
    // The reader is moving the bar, and the rows will follow it.
    if (this.bar.isHeld) return;
    const last = this.rows.at(-1);
    const below = last.end - top.start;
    this.bar.show(this.atEnd ? 1 : top.start / Math.max(1, this.log.size - below));
  }

  // Shows what has been added to the log since it had the size `before`.
  async grow(before) {
    return this.queue(async () => {
      const last = this.rows.at(-1);
      const wasAtEnd = this.wasAtEnd(before);
      if (last && last.end < this.log.size) {
        const { base, data } = await this.log.range(Math.max(0, last.end - 1), last.end);
        // The last line was incomplete: draw it again.
        if (data[last.end - 1 - base] !== 10 && this.rows.length) {
          this.rows.pop();
          last.element.remove();
          await this.addBelow(last.start);
        }
      }
      if (wasAtEnd) {
        while (await this.addBelow()) this.trim(true);
        this.lines.scrollTop = this.lines.scrollHeight;
        this.trim(true);
      }
      this.moved();
    });
  }

  markAll() {
    for (const row of this.rows) markRow(row, this.marks);
  }

  rowOf(element) {
    const found = element.closest?.(".row");
    return found ? this.rows.find((row) => row.element === found) : undefined;
  }
}
