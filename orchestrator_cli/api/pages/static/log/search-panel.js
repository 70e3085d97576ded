// The search box and the list of lines that were found.

import { clearTicks, tick } from "./map.js";
import { search, share } from "./search.js";

const MAX_HITS = 500;
const $ = (id) => document.getElementById(id);

export class SearchPanel {
  constructor(log, view, places, tell, fail) {
    this.log = log;
    this.view = view;
    this.places = places;
    this.tell = tell;
    this.fail = fail;
    this.searching = null;
    this.count = 0;
  }

  // Searches for what the box says; it ends the search before.
  async run() {
    this.searching?.abort();
    this.searching = new AbortController();
    const text = $("query").value;
    this.clear(text !== "");
    if (!text) return;
    const query = { q: text, mode: $("regex").checked ? "regex" : "text", limit: 1000 };
    const { signal } = this.searching;
    const last = await search(this.log.api, query, (hits, told) => this.add(hits, told), signal);
    const more = last.complete ? "" : last.error ? ` until it failed: ${last.error}` : ", there may be more";
    this.tell("search", `${this.count.toLocaleString()} found${more}`);
  }

  clear(isShown) {
    this.count = 0;
    $("hits").replaceChildren();
    $("hits").hidden = !isShown;
    this.view.marks.hits.clear();
    this.view.markAll();
    clearTicks("hit");
    this.tell("search", "");
  }

  add(hits, told) {
    for (const one of hits) {
      this.count += 1;
      this.view.marks.hits.add(one.offset);
      tick(one.offset, this.log.size, "hit");
      if (this.count <= MAX_HITS) $("hits").append(this.button(one));
      if (this.count === 1) this.show(one);
    }
    this.view.markAll();
    this.tell("search", `searching, ${share(told)}, ${this.count} found`);
  }

  show(hit) {
    this.places.select(hit.offset, hit.end, "middle").catch(this.fail);
  }

  button(hit) {
    const button = document.createElement("button");
    button.type = "button";
    const place = document.createElement("span");
    place.className = "gutter";
    place.textContent = hit.line === undefined ? `${Math.floor((hit.offset / this.log.size) * 100)} %` : hit.line + 1;
    const text = document.createElement("code");
    text.textContent = hit.text.trimStart();
    button.append(place, text);
    button.addEventListener("click", () => this.show(hit));
    return button;
  }
}
