// Following a log while its test runs, for as long as the reader is at its end.

const WAIT_SECONDS = 20;
const POLL_MS = 2000;
const PART_BYTES = 256 * 1024;

// Shows what comes until nothing more will. `onPart` is called after each part.
export async function follow(log, view, onPart) {
  const button = document.getElementById("new-lines");
  let unseen = 0;
  while (log.state === "growing") {
    const begun = performance.now();
    const before = log.size;
    const part = await log.fetch(before, PART_BYTES, WAIT_SECONDS);
    if (part.data.length) {
      const following = view.wasAtEnd(before);
      log.append(part);
      onPart();
      unseen = following ? 0 : unseen + part.data.filter((byte) => byte === 10).length;
      await view.grow(before);
      button.hidden = following;
      button.textContent = `${unseen.toLocaleString()} new lines ↓`;
    } else if (performance.now() - begun < POLL_MS) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
