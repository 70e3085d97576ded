// The scroll bar that stands for the whole log. A browser can neither lay out 10 GiB nor count its
// lines, so the bar has a height of its own, and its position is a share of the log's bytes.

const SETTLE_MS = 60;

export class ScrollBar {
  // `onMoved` is told the share to which somebody has moved it, once it rests.
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

  // Whether somebody is moving it.
  get isHeld() {
    return this.timer !== null || this.wasMoved;
  }

  get wasMoved() {
    return this.shown !== null && Math.abs(this.element.scrollTop - this.shown) >= 2;
  }

  // Shows where in the log the screen is.
  show(share) {
    this.shown = Math.round(Math.min(1, share) * this.room);
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
