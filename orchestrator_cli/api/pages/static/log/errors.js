// Lines that tell of an error: where they are, the next and the one before.

import { search, share } from "./search.js";
import { tick } from "./map.js";

const SEARCHED_WHOLE_BYTES = 64 * 1024 * 1024;

export class Errors {
  constructor(log, view, places, tell) {
    this.log = log;
    this.view = view;
    this.places = places;
    this.tell = tell;
    this.offsets = [];
    // Behind so many bytes, nobody has looked for errors.
    this.searchedBytes = 0;
  }

  add(found) {
    const marked = this.view.marks.errors;
    for (const { offset } of found) {
      if (marked.has(offset)) continue;
      marked.add(offset);
      this.offsets.push(offset);
      tick(offset, this.log.size, "error");
    }
    this.offsets.sort((a, b) => a - b);
    this.view.markAll();
  }

  // Finds what is known of errors; with `onFirst` it looks for them where nobody has.
  async find(onFirst) {
    const known = await (await this.log.request(`${this.log.api}/errors`)).json();
    if (known.known) {
      this.add(known.errors);
      this.searchedBytes = known.searched_bytes;
      await this.view.renumber();
      if (this.offsets.length || this.searchedBytes >= this.log.size) return;
    }
    if (onFirst) await this.lookFor(onFirst);
  }

  async lookFor(onFirst) {
    const stop = new AbortController();
    addEventListener("pagehide", () => stop.abort());
    const limit = this.log.size <= SEARCHED_WHOLE_BYTES ? 1000 : 1;
    const query = { mode: "errors", from: this.searchedBytes, limit };
    await search(this.log.api, query, (found, last) => {
      this.add(found);
      if (this.offsets.length) onFirst();
      this.tell("search", last.complete === undefined ? `looking for errors, ${share(last)}` : "");
    }, stop.signal);
  }

  async goToFirst() {
    if (this.offsets.length) await this.show(this.offsets[0]);
    else this.tell("search", "no error found");
  }

  async goToPrevious() {
    const before = this.offsets.filter((one) => one < this.here);
    if (before.length) await this.show(before.at(-1));
    else this.tell("search", "no error before");
  }

  async goToNext() {
    const here = this.here;
    const next = this.offsets.find((one) => one > here);
    const isKnown = this.log.size <= SEARCHED_WHOLE_BYTES || this.searchedBytes >= this.log.size;
    if (next !== undefined) await this.show(next);
    else if (isKnown) this.tell("search", "no more errors");
    else await this.lookForNext(here);
  }

  async lookForNext(here) {
    this.tell("search", "looking for the next error");
    const query = { mode: "errors", from: Math.max(here + 1, this.searchedBytes), limit: 1 };
    let found = null;
    await search(this.log.api, query, (hits, last) => {
      found = hits[0] ?? found;
      this.tell("search", `looking for the next error, ${share(last)}`);
    });
    this.tell("search", found ? "" : "no more errors");
    if (!found) return;
    this.add([found]);
    await this.show(found.offset);
  }

  get here() {
    return this.view.marks.selected?.start ?? this.view.top?.start ?? 0;
  }

  show(offset) {
    return this.places.select(offset, offset + 1, "middle");
  }
}
