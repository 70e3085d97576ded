// Splits a log into rows. A row is a line, or a piece of a line longer than 8 KiB. Where a long line
// is folded depends on the nearby bytes only, so any part of a log can be split without reading what
// comes before it.

export const FOLD_BYTES = 8 * 1024;
const NEWLINE = 10;
const ESCAPE = 27;
const MAX_ESCAPE_BYTES = 64;

// Returns the offsets in (from, to] at which rows begin or the log ends. `base` is the offset of the
// first byte of `data`, a multiple of FOLD_BYTES. `isEnd` says that the log ends with `data`.
export function rowBoundaries(data, base, from, to, isEnd) {
  const found = [];
  const end = base + data.length;
  const add = (offset) => {
    if (offset > from && offset <= to && offset !== found.at(-1)) found.push(offset);
  };
  const first = Math.max(base, Math.floor(from / FOLD_BYTES) * FOLD_BYTES);
  for (let block = first; block < Math.min(end, to); block += FOLD_BYTES) {
    const blockEnd = Math.min(block + FOLD_BYTES, end);
    let newline = data.indexOf(NEWLINE, block - base);
    let hasNewline = false;
    while (newline >= 0 && newline < blockEnd - base) {
      hasNewline = true;
      add(base + newline + 1);
      newline = data.indexOf(NEWLINE, newline + 1);
    }
    if (!hasNewline && blockEnd === block + FOLD_BYTES && blockEnd < end) add(foldAt(data, base, blockEnd));
  }
  if (isEnd && end <= to) add(end);
  return found;
}

// Returns where to fold a long line at about an offset: not inside a character or escape sequence.
function foldAt(data, base, offset) {
  let at = offset - base;
  for (let back = at - 1; back >= Math.max(0, at - MAX_ESCAPE_BYTES); back -= 1) {
    if (data[back] === ESCAPE) {
      const after = endOfEscape(data, back);
      if (after > at && after <= at + MAX_ESCAPE_BYTES) at = after;
      break;
    }
  }
  for (let more = 0; more < 3 && at < data.length && (data[at] & 0xc0) === 0x80; more += 1) at += 1;
  // Folding right before the end of the line would make an empty row.
  if (data[at] === 13 && data[at + 1] === NEWLINE) return base + at + 2;
  return data[at] === NEWLINE ? base + at + 1 : base + at;
}

function endOfEscape(data, start) {
  const kind = data[start + 1];
  for (let at = start + 2; at < Math.min(data.length, start + 2 * MAX_ESCAPE_BYTES); at += 1) {
    if (kind === 0x5d ? data[at] === 7 : data[at] >= 0x40 && data[at] <= 0x7e) return at + 1;
    if (kind === 0x5d && data[at] === ESCAPE && data[at + 1] === 0x5c) return at + 2;
  }
  return start;
}
