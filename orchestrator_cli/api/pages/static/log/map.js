// The map beside the scroll bar: it shows where in the log errors and search hits are.

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
