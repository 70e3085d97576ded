// The small map beside the scroll bar: where errors and found lines are in the whole log.

const MAX_TICKS = 1000;

export function tick(offset, size, kind) {
  const map = document.getElementById("map");
  if (map.childElementCount >= MAX_TICKS) return;
  const mark = document.createElement("i");
  mark.className = kind;
  mark.style.top = `min(${(offset / Math.max(1, size)) * 100}%, 100% - 3px)`;
  map.append(mark);
}

export function clearTicks(kind) {
  for (const old of document.querySelectorAll(`#map .${kind}`)) old.remove();
}
