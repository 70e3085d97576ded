// The scroll bar of the whole log, and the map beside it. A browser can neither lay out 10 GiB nor
// count its lines, so the bar scrolls an empty element of fixed height, and its position is a
// fraction of the log's bytes.

const SETTLE_MS = 60;

export class ScrollBar {
  // `onMoved` is called with the fraction that the reader has moved the bar to, once it rests.
  constructor(element, onMoved) {
    this.element = element;
    this.onMoved = onMoved;
    this.shown = null;
    this.timer = null;
    element.addEventListener("scroll", () => this.scrolled(), { passive: true });
  }

  get room() {
    return this.element.scrollHeight - this.element.clientHeight;
  }

  // True while the reader is moving the bar.
  get isHeld() {
    return this.timer !== null || this.wasMoved;
  }

  get wasMoved() {
    return this.shown !== null && Math.abs(this.element.scrollTop - this.shown) >= 2;
  }

  show(fraction) {
    this.shown = Math.round(Math.min(1, fraction) * this.room);
    this.element.scrollTop = this.shown;
  }

  scrolled() {
    if (!this.wasMoved) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.shown = this.element.scrollTop;
      this.onMoved(this.element.scrollTop / Math.max(1, this.room));
    }, SETTLE_MS);
  }
}

// --- the map beside the bar: where in the log errors and search hits are ---

const MAX_TICKS = 1000;

// `kind` is the CSS class of the tick: error or hit.
export function addTick(offset, size, kind) {
  const map = document.getElementById("map");
  if (map.childElementCount >= MAX_TICKS) return;
  const tick = document.createElement("i");
  tick.className = kind;
  tick.style.top = `min(${(offset / Math.max(1, size)) * 100}%, 100% - 3px)`;
  map.append(tick);
}

export function clearTicks(kind) {
  for (const tick of document.querySelectorAll(`#map .${kind}`)) tick.remove();
}
