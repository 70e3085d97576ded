// The log viewer: how it opens, its buttons and its keys.

import { LogBytes, size } from "./bytes.js";
import { Errors } from "./errors.js";
import { follow } from "./follow.js";
import { Places } from "./places.js";
import { SearchPanel } from "./search-panel.js";
import { LogView } from "./view.js";

const SMALL_BYTES = 2 * 1024 * 1024;
const STATES = { final: "", growing: ", running", lost: ", lost: its writer is gone" };
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const $ = (id) => document.getElementById(id);
const lines = $("lines");

const status = { log: "", where: "", search: "", trouble: "" };
function tell(part, text) {
  status[part] = text;
  $("status").textContent = Object.values(status).filter(Boolean).join(" · ");
}

function fail(error) {
  if (error.name === "AbortError") return;
  tell("trouble", error.hint ? `${error.message}: ${error.hint}` : error.message);
}

class Viewer {
  constructor() {
    this.log = new LogBytes(lines.dataset.api, (text) => tell("trouble", text));
    this.view = new LogView(lines, $("proxy"), this.log, (top) => this.moved(top));
    this.places = new Places(this.log, this.view, tell);
    this.errors = new Errors(this.log, this.view, this.places, tell);
    this.searching = new SearchPanel(this.log, this.view, this.places, tell, fail);
    // Whoever has begun to read is not taken elsewhere.
    this.isRead = false;
  }

  // Opens where the address says, else at the first error of a failed run, else at the end.
  async open() {
    await this.log.fetch(0, 0);
    this.tellSize();
    if (!this.log.size && this.log.state === "final") {
      tell("where", "empty");
      return;
    }
    if (this.log.size <= SMALL_BYTES) await this.log.readWhole();
    lines.focus({ preventScroll: true });
    this.isRead = await this.places.goToHash();
    if (!this.isRead) await this.view.goToEnd();
    if (this.log.state === "growing") await this.follow();
    else await this.findErrors(["fail", "error"].includes(lines.dataset.state));
  }

  async findErrors(hasFailed) {
    await this.errors.find(hasFailed ? () => this.showFirstError() : null);
    if (hasFailed) await this.showFirstError();
  }

  async showFirstError() {
    if (this.isRead || !this.errors.offsets.length) return;
    this.isRead = true;
    await this.errors.goToFirst();
  }

  async follow() {
    await follow(this.log, this.view, () => this.tellSize());
    this.tellSize();
    if (this.log.state !== "final") return;
    tell("search", "the test has ended");
    const { result } = await (await this.log.request(lines.dataset.execution)).json();
    if (result) tell("search", `the test has ended: ${result}`);
  }

  tellSize() {
    tell("log", size(this.log.size) + STATES[this.log.state]);
  }

  moved(top) {
    const line = top.line === null ? "" : `, line ${(top.line + 1).toLocaleString()}`;
    const share = this.log.size ? Math.floor((top.start / this.log.size) * 100) : 0;
    const time = this.log.timeAt(top.start);
    const arrived = time ? `, arrived ${moment.format(time)}` : "";
    tell("where", `${this.view.atEnd ? "end" : `${share} %`}${line}${arrived}`);
    if (this.view.atEnd) $("new-lines").hidden = true;
  }

  copy() {
    return this.places.copy(lines.dataset.title);
  }
}

// Returns what does a work and shows what goes wrong with it.
function guarded(work) {
  return (...given) => Promise.resolve(work(...given)).catch(fail);
}

function listen(viewer) {
  const { view, places, errors, searching } = viewer;
  for (const kind of ["wheel", "touchstart", "pointerdown", "keydown"]) {
    addEventListener(kind, () => (viewer.isRead = true), { passive: true });
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
  for (const [id, work] of Object.entries(clicks)) $(id).addEventListener("click", guarded(work));
  lines.addEventListener("click", guarded((event) => places.click(event)));
  addEventListener("hashchange", guarded(() => places.goToHash()));
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    searching.run().catch(fail);
  });
  $("query").addEventListener("search", () => $("query").value || searching.run().catch(fail));
  $("wrap").addEventListener("change", () => {
    lines.classList.toggle("nowrap", !$("wrap").checked);
    view.scrolled();
  });
}

function listenToKeys(viewer) {
  const { view, places, errors } = viewer;
  const keys = {
    "/": () => $("query").focus(),
    e: () => errors.goToFirst(),
    n: () => errors.goToNext(),
    p: () => errors.goToPrevious(),
    c: () => viewer.copy(),
    j: () => places.move(1, false),
    k: () => places.move(-1, false),
    J: () => places.move(1, true),
    K: () => places.move(-1, true),
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
}

if (lines) {
  const viewer = new Viewer();
  listen(viewer);
  listenToKeys(viewer);
  viewer.open().catch(fail);
}
