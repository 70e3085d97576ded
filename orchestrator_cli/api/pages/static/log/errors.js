// The lines with errors: finding them, and going to the first, next and previous one.

import { addTick } from "./scroll-bar.js";
import { formatProgress, search } from "./search.js";

// All errors of a log up to this size are found at once, those of a larger one as they are needed.
const SEARCHED_WHOLE_BYTES = 64 * 1024 * 1024;

export class Errors {
  constructor(log, view, selection, setStatus) {
    this.log = log;
    this.view = view;
    this.selection = selection;
    this.setStatus = setStatus;
    this.offsets = [];
    // The server has searched the log up to here.
    this.searchedBytes = 0;
  }

  add(found) {
    const marked = this.view.marks.errors;
    for (const { offset } of found) {
      if (marked.has(offset)) continue;
      marked.add(offset);
      this.offsets.push(offset);
      addTick(offset, this.log.size, "error");
    }
    this.offsets.sort((a, b) => a - b);
    this.view.markAll();
  }

  // Fetches the errors that the server knows. If it knows none and the log is not searched to its
  // end, and `onFirst` is given, searches the rest and calls `onFirst` when the first one is found.
  async find(onFirst) {
    const indexed = await (await this.log.request(`${this.log.api}/errors`)).json();
    if (indexed.known) {
      this.add(indexed.errors);
      this.searchedBytes = indexed.searched_bytes;
      await this.view.renumber();
      if (this.offsets.length || this.searchedBytes >= this.log.size) return;
    }
    if (onFirst) await this.searchRest(onFirst);
  }

  async searchRest(onFirst) {
    const stop = new AbortController();
    addEventListener("pagehide", () => stop.abort());
    const limit = this.log.size <= SEARCHED_WHOLE_BYTES ? 1000 : 1;
    const query = { mode: "errors", from: this.searchedBytes, limit };
    await search(this.log.api, query, (found, last) => {
      this.add(found);
      if (this.offsets.length) onFirst();
      const isRunning = last.complete === undefined;
      this.setStatus("search", isRunning ? `looking for errors, ${formatProgress(last)}` : "");
    }, stop.signal);
  }

  async goToFirst() {
    if (this.offsets.length) await this.show(this.offsets[0]);
    else this.setStatus("search", "no error found");
  }

  async goToPrevious() {
    const current = this.currentOffset;
    const previous = this.offsets.filter((one) => one < current);
    if (previous.length) await this.show(previous.at(-1));
    else this.setStatus("search", "no previous error");
  }

  async goToNext() {
    const current = this.currentOffset;
    const next = this.offsets.find((one) => one > current);
    const isKnown = this.log.size <= SEARCHED_WHOLE_BYTES || this.searchedBytes >= this.log.size;
    if (next !== undefined) await this.show(next);
    else if (isKnown) this.setStatus("search", "no more errors");
    else await this.searchNext(current);
  }

  async searchNext(current) {
    this.setStatus("search", "looking for the next error");
    const query = { mode: "errors", from: Math.max(current + 1, this.searchedBytes), limit: 1 };
    let found = null;
    await search(this.log.api, query, (hits, last) => {
      found = hits[0] ?? found;
      this.setStatus("search", `looking for the next error, ${formatProgress(last)}`);
    });
    this.setStatus("search", found ? "" : "no more errors");
    if (!found) return;
    this.add([found]);
    await this.show(found.offset);
  }

  get currentOffset() {
    return this.view.marks.selected?.start ?? this.view.top?.start ?? 0;
  }

  show(offset) {
    return this.selection.select(offset, offset + 1, "middle");
  }
}
