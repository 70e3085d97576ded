// The log viewer: where it opens, its status line, its buttons and its keys.

import { LogBytes, formatSize } from "./bytes.js";
import { Errors } from "./errors.js";
import { follow } from "./follow.js";
import { SearchPanel } from "./search-panel.js";
import { LineSelection } from "./selection.js";
import { LogView } from "./view.js";

const SMALL_BYTES = 2 * 1024 * 1024;
const STATES = { final: "", growing: ", running", lost: ", incomplete: its writer is lost" };
const dateFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const $ = (id) => document.getElementById(id);
const lines = $("lines");

const status = { log: "", where: "", search: "", problem: "" };
function setStatus(part, text) {
  status[part] = text;
  $("status").textContent = Object.values(status).filter(Boolean).join(" · ");
}

function showError(error) {
  if (error.name === "AbortError") return;
  setStatus("problem", error.hint ? `${error.message}: ${error.hint}` : error.message);
}

class Viewer {
  constructor() {
    this.log = new LogBytes(lines.dataset.api, (text) => setStatus("problem", text));
    this.view = new LogView(lines, $("proxy"), this.log, (top) => this.showPosition(top));
    this.selection = new LineSelection(this.log, this.view, setStatus);
    this.errors = new Errors(this.log, this.view, this.selection, setStatus);
    this.search = new SearchPanel(this.log, this.view, this.selection, setStatus, showError);
    // Once the reader has done anything, the viewer does not scroll by itself to the first error.
    this.isInUse = false;
  }

  // Opens at the lines that the URL names, else at the first error of a failed run, else at the end.
  async open() {
    await this.log.fetch(0, 0);
    this.showSize();
    if (!this.log.size && this.log.state === "final") {
      setStatus("where", "empty");
      return;
    }
    if (this.log.size <= SMALL_BYTES) await this.log.fetchWhole();
    lines.focus({ preventScroll: true });
    this.isInUse = await this.selection.goToHash();
    if (!this.isInUse) await this.view.goToEnd();
    if (this.log.state === "growing") await this.follow();
    else await this.findErrors(["fail", "error"].includes(lines.dataset.state));
  }

  async findErrors(hasFailed) {
    await this.errors.find(hasFailed ? () => this.showFirstError() : null);
    if (hasFailed) await this.showFirstError();
  }

  async showFirstError() {
    if (this.isInUse || !this.errors.offsets.length) return;
    this.isInUse = true;
    await this.errors.goToFirst();
  }

  async follow() {
    await follow(this.log, this.view, () => this.showSize());
    this.showSize();
    if (this.log.state !== "final") return;
    setStatus("search", "the test has ended");
    const { result } = await (await this.log.request(lines.dataset.execution)).json();
    if (result) setStatus("search", `the test has ended: ${result}`);
  }

  showSize() {
    setStatus("log", formatSize(this.log.size) + STATES[this.log.state]);
  }

  showPosition(top) {
    const line = top.line === null ? "" : `, line ${(top.line + 1).toLocaleString()}`;
    const percent = this.log.size ? Math.floor((top.start / this.log.size) * 100) : 0;
    const time = this.log.timeAt(top.start);
    const arrived = time ? `, arrived ${dateFormat.format(time)}` : "";
    setStatus("where", `${this.view.atEnd ? "end" : `${percent} %`}${line}${arrived}`);
    if (this.view.atEnd) $("new-lines").hidden = true;
  }

  copy() {
    return this.selection.copy(lines.dataset.title);
  }
}

// Returns a function that calls `work`, which may be async, and shows its errors.
function showingErrors(work) {
  return (...args) => Promise.resolve(work(...args)).catch(showError);
}

function listen(viewer) {
  const { view, selection, errors, search } = viewer;
  for (const kind of ["wheel", "touchstart", "pointerdown", "keydown"]) {
    addEventListener(kind, () => (viewer.isInUse = true), { passive: true });
  }
  const clicks = {
    "error-first": () => errors.goToFirst(),
    "error-next": () => errors.goToNext(),
    "error-previous": () => errors.goToPrevious(),
    "to-start": () => view.goTo(0, "top"),
    "to-end": () => view.goToEnd(),
    "new-lines": () => view.goToEnd(),
    copy: () => viewer.copy(),
  };
  for (const [id, work] of Object.entries(clicks)) $(id).addEventListener("click", showingErrors(work));
  lines.addEventListener("click", showingErrors((event) => selection.click(event)));
  addEventListener("hashchange", showingErrors(() => selection.goToHash()));
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    search.run().catch(showError);
  });
  $("query").addEventListener("search", () => $("query").value || search.run().catch(showError));
  $("wrap").addEventListener("change", () => {
    lines.classList.toggle("nowrap", !$("wrap").checked);
    view.scrolled();
  });
}

function listenToKeys(viewer) {
  const { view, selection, errors } = viewer;
  const keys = {
    "/": () => $("query").focus(),
    e: () => errors.goToFirst(),
    n: () => errors.goToNext(),
    p: () => errors.goToPrevious(),
    c: () => viewer.copy(),
    j: () => selection.move(1, false),
    k: () => selection.move(-1, false),
    J: () => selection.move(1, true),
    K: () => selection.move(-1, true),
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
    showingErrors(keys[event.key])();
  });
}

if (lines) {
  const viewer = new Viewer();
  listen(viewer);
  listenToKeys(viewer);
  viewer.open().catch(showError);
}
