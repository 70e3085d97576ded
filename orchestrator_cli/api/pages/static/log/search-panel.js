// The search box and the list of its hits.

import { addTick, clearTicks } from "./scroll-bar.js";
import { formatProgress, search } from "./search.js";

const MAX_HITS = 500;
const $ = (id) => document.getElementById(id);

export class SearchPanel {
  constructor(log, view, selection, setStatus, showError) {
    this.log = log;
    this.view = view;
    this.selection = selection;
    this.setStatus = setStatus;
    this.showError = showError;
    this.running = null;
    this.count = 0;
  }

  // Searches for the text in the box. It aborts the previous search.
  async run() {
    this.running?.abort();
    this.running = new AbortController();
    const text = $("query").value;
    this.clear(text !== "");
    if (!text) return;
    const query = { q: text, mode: $("regex").checked ? "regex" : "text", limit: 1000 };
    const { signal } = this.running;
    const last = await search(this.log.api, query, (hits, record) => this.add(hits, record), signal);
    const more = last.complete ? "" : last.error ? ` until it failed: ${last.error}` : ", there may be more";
    this.setStatus("search", `${this.count.toLocaleString()} found${more}`);
  }

  clear(isShown) {
    this.count = 0;
    $("hits").replaceChildren();
    $("hits").hidden = !isShown;
    this.view.marks.hits.clear();
    this.view.markAll();
    clearTicks("hit");
    this.setStatus("search", "");
  }

  add(hits, record) {
    for (const one of hits) {
      this.count += 1;
      this.view.marks.hits.add(one.offset);
      addTick(one.offset, this.log.size, "hit");
      if (this.count <= MAX_HITS) $("hits").append(this.button(one));
      if (this.count === 1) this.show(one);
    }
    this.view.markAll();
    this.setStatus("search", `searching, ${formatProgress(record)}, ${this.count} found`);
  }

  show(hit) {
    this.selection.select(hit.offset, hit.end, "middle").catch(this.showError);
  }

  button(hit) {
    const button = document.createElement("button");
    button.type = "button";
    const gutter = document.createElement("span");
    gutter.className = "gutter";
    gutter.textContent = hit.line === undefined ? `${Math.floor((hit.offset / this.log.size) * 100)} %` : hit.line + 1;
    const text = document.createElement("code");
    text.textContent = hit.text.trimStart();
    button.append(gutter, text);
    button.addEventListener("click", () => this.show(hit));
    return button;
  }
}
