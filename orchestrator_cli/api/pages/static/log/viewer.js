// The log viewer: what the address says, the buttons, the keys, following.

import { plainText } from "./ansi.js";
import { LogBytes, size } from "./bytes.js";
import { search, share } from "./search.js";
import { LogView } from "./view.js";
import { copyText } from "../page.js";
import { searchPanel } from "./search-panel.js";

const SMALL_BYTES = 2 * 1024 * 1024;
const SEARCHED_WHOLE_BYTES = 64 * 1024 * 1024;
const MAX_COPY_BYTES = 1024 * 1024;
const WAIT_SECONDS = 20;
const POLL_MS = 2000;

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const $ = (id) => document.getElementById(id);
const lines = $("lines");
if (lines) start();

function start() {
  const status = { log: "", where: "", search: "", trouble: "" };
  const tell = (part, text) => {
    status[part] = text;
    $("status").textContent = Object.values(status).filter(Boolean).join(" · ");
  };
  const log = new LogBytes(lines.dataset.api, (text) => tell("trouble", text));
  const view = new LogView(lines, $("proxy"), log, (top) => {
    const line = top.line === null ? "" : `, line ${(top.line + 1).toLocaleString()}`;
    const share = log.size ? Math.floor((top.start / log.size) * 100) : 0;
    const time = log.timeAt(top.start);
    const arrived = time ? `, arrived ${moment.format(time)}` : "";
    tell("where", `${view.atEnd ? "end" : `${share} %`}${line}${arrived}`);
    if (view.atEnd) $("new-lines").hidden = true;
  });
  const errors = [];
  // Behind so many bytes, nobody has looked for errors.
  let searched = 0;
  let anchor = null;
  let touched = false;

  const fail = (error) => {
    if (error.name === "AbortError") return;
    tell("trouble", error.hint ? `${error.message}: ${error.hint}` : error.message);
  };
  const userMoved = () => {
    touched = true;
  };
  for (const kind of ["wheel", "touchstart", "pointerdown", "keydown"]) {
    addEventListener(kind, userMoved, { passive: true });
  }

  function tellSize() {
    const states = { final: "", growing: "running", lost: "lost: its writer is gone" };
    const shown = `${size(log.size)}`;
    tell("log", states[log.state] ? `${shown}, ${states[log.state]}` : shown);
  }

  // --- places ------------------------------------------------------------------------------

  function select(from, to, where) {
    view.marks.selected = { start: from, end: to };
    view.markAll();
    $("copy").disabled = false;
    history.replaceState(null, "", `#o=${from}-${to}`);
    if (where) return view.goTo(from, where);
    return Promise.resolve();
  }

  async function goToHash() {
    const offsets = /^#o=(\d{1,16})(?:-(\d{1,16}))?$/.exec(location.hash);
    const line = /^#L(\d{1,16})(?:-L?(\d{1,16}))?$/.exec(location.hash);
    if (offsets) {
      const from = Number(offsets[1]);
      view.marks.selected = { start: from, end: Number(offsets[2] ?? from + 1) };
      await view.goTo(from);
    } else if (line) {
      tell("where", `looking for line ${Number(line[1]).toLocaleString()}`);
      const place = async (n) => (await (await log.request(`${log.api}/lines?n=${n}`)).json()).offset;
      const from = await place(line[1]);
      const to = line[2] ? await place(line[2]) : from;
      view.marks.selected = { start: from, end: to + 1 };
      await view.goTo(from);
    } else return false;
    view.markAll();
    $("copy").disabled = false;
    return true;
  }

  // --- errors ------------------------------------------------------------------------------

  function addErrors(found) {
    for (const one of found) {
      if (view.marks.errors.has(one.offset)) continue;
      view.marks.errors.add(one.offset);
      errors.push(one.offset);
      tick(one.offset, "error");
    }
    errors.sort((a, b) => a - b);
    view.markAll();
  }

  async function findErrors(first) {
    const known = await (await log.request(`${log.api}/errors`)).json();
    if (known.known) {
      addErrors(known.errors);
      searched = known.searched_bytes;
      await view.renumber();
      if (errors.length || searched >= log.size) return;
    }
    if (!first) return;
    const all = log.size <= SEARCHED_WHOLE_BYTES;
    const stop = new AbortController();
    addEventListener("pagehide", () => stop.abort());
    const query = { mode: "errors", from: searched, limit: all ? 1000 : 1 };
    await search(log.api, query, (found, last) => {
      addErrors(found);
      if (errors.length) first();
      tell("search", last.complete === undefined ? `looking for errors, ${share(last)}` : "");
    }, stop.signal);
  }

  async function goToError(step) {
    if (step === 0) {
      if (errors.length) return select(errors[0], errors[0] + 1, "middle");
      tell("search", "no error found");
      return undefined;
    }
    const here = view.marks.selected?.start ?? view.top?.start ?? 0;
    const next = step > 0 ? errors.find((one) => one > here) : errors.filter((one) => one < here).at(-1);
    if (next !== undefined) return select(next, next + 1, "middle");
    if (step > 0 && log.size > SEARCHED_WHOLE_BYTES && searched < log.size) {
      tell("search", "looking for the next error");
      const query = { mode: "errors", from: Math.max(here + 1, searched), limit: 1 };
      let found = null;
      await search(log.api, query, (hits, last) => {
        found = hits[0] ?? found;
        tell("search", `looking for the next error, ${share(last)}`);
      });
      tell("search", found ? "" : "no more errors");
      if (found) {
        addErrors([found]);
        return select(found.offset, found.end, "middle");
      }
      return undefined;
    }
    tell("search", step > 0 ? "no more errors" : "no error before");
    return undefined;
  }

  function tick(offset, kind) {
    const ticks = $("map").childElementCount;
    if (ticks >= 1000) return;
    const mark = document.createElement("i");
    mark.className = kind;
    mark.style.top = `${(offset / Math.max(1, log.size)) * 100}%`;
    $("map").append(mark);
  }

  const runSearch = searchPanel({ log, view, select, tell, tick, fail });

  // --- copying -----------------------------------------------------------------------------

  async function copySelection() {
    const chosen = view.marks.selected;
    if (!chosen) return;
    const end = Math.max(chosen.end, view.rows.find((row) => row.start === chosen.start)?.end ?? 0);
    const { data } = await log.fetch(chosen.start, Math.min(end - chosen.start, MAX_COPY_BYTES));
    const text = plainText(data).replace(/\n+$/, "");
    const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((found) => found[0].length));
    const fence = "`".repeat(longest + 1);
    const link = new URL(`#o=${chosen.start}-${end}`, location.href);
    await copyText(`[${lines.dataset.title}](${link})\n${fence}\n${text}\n${fence}\n`);
    tell("search", "copied");
  }

  // --- following ---------------------------------------------------------------------------

  async function follow() {
    let unseen = 0;
    while (log.state === "growing") {
      const begun = performance.now();
      const before = log.size;
      const part = await log.fetch(before, 256 * 1024, WAIT_SECONDS);
      if (part.data.length) {
        const following = view.wasAtEnd(before);
        log.append(part);
        tellSize();
        unseen = following ? 0 : unseen + part.data.filter((byte) => byte === 10).length;
        await view.grow(before);
        $("new-lines").hidden = following;
        $("new-lines").textContent = `${unseen.toLocaleString()} new lines ↓`;
      } else if (performance.now() - begun < POLL_MS) {
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
    tellSize();
    if (log.state !== "final") return;
    tell("search", "the test has ended");
    const { result } = await (await log.request(lines.dataset.execution)).json();
    if (result) tell("search", `the test has ended: ${result}`);
  }

  // --- what the reader does ----------------------------------------------------------------

  const guarded = (work) => (...given) => Promise.resolve(work(...given)).catch(fail);
  const on = (id, kind, work) => $(id).addEventListener(kind, guarded(work));
  on("error-first", "click", () => goToError(0));
  on("error-next", "click", () => goToError(1));
  on("error-previous", "click", () => goToError(-1));
  on("to-start", "click", () => view.goTo(0, "top"));
  on("to-end", "click", () => view.goToEnd());
  on("new-lines", "click", () => view.goToEnd());
  on("copy", "click", copySelection);
  on("search", "submit", (event) => {
    event.preventDefault();
    return runSearch();
  });
  $("query").addEventListener("search", () => $("query").value || guarded(runSearch)());
  $("wrap").addEventListener("change", () => {
    lines.classList.toggle("nowrap", !$("wrap").checked);
    view.scrolled();
  });
  lines.addEventListener("click", (event) => {
    if (!event.target.closest(".gutter")) return;
    event.preventDefault();
    const row = view.rowOf(event.target);
    if (!row) return;
    if (event.shiftKey && anchor) {
      select(Math.min(anchor.start, row.start), Math.max(anchor.end, row.end));
    } else {
      anchor = { start: row.start, end: row.end };
      select(row.start, row.end);
    }
  });
  addEventListener("hashchange", guarded(goToHash));

  function moveSelection(step, extend) {
    const chosen = view.marks.selected;
    let at = view.rows.findIndex((row) => chosen && row.start <= chosen.start && row.end > chosen.start);
    if (extend && step > 0) at = view.rows.findIndex((row) => row.end >= chosen?.end);
    const row = view.rows[at < 0 ? view.rows.indexOf(view.top) : at + step];
    if (!row) return;
    if (extend && chosen) select(Math.min(chosen.start, row.start), Math.max(chosen.end, row.end));
    else select(row.start, row.end);
    row.element.scrollIntoView({ block: "nearest" });
  }

  const keys = {
    "/": () => $("query").focus(),
    e: () => goToError(0),
    n: () => goToError(1),
    p: () => goToError(-1),
    c: copySelection,
    j: () => moveSelection(1, false),
    k: () => moveSelection(-1, false),
    J: () => moveSelection(1, true),
    K: () => moveSelection(-1, true),
    Home: () => view.goTo(0, "top"),
    End: () => view.goToEnd(),
    g: () => view.goTo(0, "top"),
    G: () => view.goToEnd(),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input[type=search], textarea");
    if (typing && event.key === "Escape") lines.focus();
    if (typing || !keys[event.key]) return;
    event.preventDefault();
    guarded(keys[event.key])();
  });

  // --- the beginning -----------------------------------------------------------------------

  async function open() {
    await log.fetch(0, 0);
    tellSize();
    if (!log.size && log.state === "final") {
      tell("where", "empty");
      return;
    }
    if (log.size <= SMALL_BYTES) await log.readWhole();
    lines.focus({ preventScroll: true });
    const failed = ["fail", "error"].includes(lines.dataset.state);
    touched = await goToHash();
    if (!touched) await view.goToEnd();
    if (log.state === "growing") {
      await follow();
    } else if (failed) {
      await findErrors(() => {
        if (touched) return;
        touched = true;
        goToError(0);
      });
      if (!touched && errors.length) goToError(0);
    } else {
      await findErrors(null);
    }
  }
  guarded(open)();
}
