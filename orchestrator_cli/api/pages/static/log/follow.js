// Follows a log while its test runs. New lines scroll into view while the reader is at the end.

const WAIT_SECONDS = 20;
const POLL_MS = 2000;
const PART_BYTES = 256 * 1024;

// Shows new bytes until the log is final or lost. `onPart` is called after each part.
export async function follow(log, view, onPart) {
  const button = document.getElementById("new-lines");
  let unseen = 0;
  while (log.state === "growing") {
    const started = performance.now();
    const before = log.size;
    const part = await log.fetch(before, PART_BYTES, WAIT_SECONDS);
    if (part.data.length) {
      const isAtEnd = view.wasAtEnd(before);
      log.append(part);
      onPart();
      unseen = isAtEnd ? 0 : unseen + part.data.filter((byte) => byte === 10).length;
      await view.grow(before);
      button.hidden = isAtEnd;
      button.textContent = `${unseen.toLocaleString()} new lines ↓`;
    } else if (performance.now() - started < POLL_MS) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
