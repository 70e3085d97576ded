// The search box and the list of lines that were found.

import { search, share } from "./search.js";

const MAX_HITS = 500;
const $ = (id) => document.getElementById(id);

// Returns what runs a search for what the box says; it ends the one before.
export function searchPanel({ log, view, select, tell, tick, fail }) {
  let searching = null;

  async function runSearch() {
    searching?.abort();
    searching = new AbortController();
    const { signal } = searching;
    const text = $("query").value;
    const list = $("hits");
    list.replaceChildren();
    view.marks.hits.clear();
    view.markAll();
    for (const old of $("map").querySelectorAll(".hit")) old.remove();
    list.hidden = text === "";
    if (!text) {
      tell("search", "");
      return;
    }
    let count = 0;
    const query = { q: text, mode: $("regex").checked ? "regex" : "text", limit: 1000 };
    const last = await search(log.api, query, (found, record) => {
      for (const one of found) {
        count += 1;
        view.marks.hits.add(one.offset);
        tick(one.offset, "hit");
        if (count <= MAX_HITS) list.append(hitButton(one));
        if (count === 1) select(one.offset, one.end, "middle");
      }
      view.markAll();
      tell("search", `searching, ${share(record)}, ${count} found`);
    }, signal);
    const more = last.complete ? "" : last.error ? ` until it failed: ${last.error}` : ", there may be more";
    tell("search", `${count.toLocaleString()} found${more}`);
  }

  function hitButton(one) {
    const button = document.createElement("button");
    button.type = "button";
    const place = document.createElement("span");
    place.className = "gutter";
    place.textContent = one.line === undefined ? `${Math.floor((one.offset / log.size) * 100)} %` : one.line + 1;
    const text = document.createElement("code");
    text.textContent = one.text.trimStart();
    button.append(place, text);
    button.addEventListener("click", () => select(one.offset, one.end, "middle").catch(fail));
    return button;
  }

  return runSearch;
}
