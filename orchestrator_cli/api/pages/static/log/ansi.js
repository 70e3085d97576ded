// Turns the bytes of a row into text with colours and links. Nothing of a log becomes HTML: all of
// it is set as text, and links lead to http and https only.

import { AnsiUp } from "../vendored/ansi_up.js";

const LINK = /\x1b\]8;[^;\x07\x1b]*;([^\x07\x1b]*)(?:\x07|\x1b\\)/;
const OTHER_COMMANDS = /\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[()*+][A-Za-z0-9]|[=>78cDEHMNOZ])/g;
// A sequence whose end is in the next row of the same line.
const UNFINISHED = /\x1b(?:\[[ -?]*|\][^\x07\x1b\n]*\x1b?|[PX^_][^\x1b\n]*\x1b?|[()*+])?$/;
const MAX_UNFINISHED = 2048;
// What begins no sequence that the parser knows would have it wait for an end that never comes.
const STRAY_ESCAPES = /\x1b(?!\[[<-?]?[\d;]*[ -/]?[@-~])/g;
// Newer programs separate the numbers of a colour by colons; the parser knows semicolons only.
const COLONS = /\x1b\[([\d;]*:[\d;:]*)m/g;
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const decoder = new TextDecoder("utf-8");

// A parser that collects pieces of text and their style, where AnsiUp would make HTML.
class PieceParser extends AnsiUp {
  constructor() {
    super();
    this.collected = [];
    this.inverse = false;
    this.strike = false;
  }

  // AnsiUp ignores two attributes: strike-through and inverse, which swaps the two colours.
  process_ansi(packet) {
    const numbers = packet.text.split(";").map((one) => parseInt(one, 10));
    for (let at = 0; at < numbers.length; at += 1) {
      if (numbers[at] === 38 || numbers[at] === 48) at += numbers[at + 1] === 5 ? 2 : 4;
      else if (numbers[at] === 7) this.inverse = true;
      else if (numbers[at] === 9) this.strike = true;
      if (!numbers[at] || numbers[at] === 27) this.inverse = false;
      if (!numbers[at] || numbers[at] === 29) this.strike = false;
    }
    super.process_ansi(packet);
  }

  with_state(packet) {
    return { ...super.with_state(packet), inverse: this.inverse, strike: this.strike };
  }

  transform_to_html(fragment) {
    this.collected.push(fragment);
    return "";
  }
}

const FRESH = Object.freeze({ fg: null, bg: null, bold: false, faint: false, italic: false, underline: false, inverse: false, strike: false, link: "", rest: "" });
const PLAIN = { class_name: "ansi-plain" };
const parser = new PieceParser();

export function freshState() {
  return FRESH;
}

// Returns the pieces of a text. Takes the style that is set before it, and returns the one after it.
// A sequence whose end is not in the same line, or not near, is broken: it is shown as text.
export function parse(text, state, endsLine = false) {
  const { link, rest, ...style } = state;
  Object.assign(parser, style);
  const pieces = [];
  let href = link;
  const known = (rest + text).replace(COLONS, withSemicolons);
  const commands = known.replace(OTHER_COMMANDS, (found) => (LINK.test(found) ? found : ""));
  const [found = ""] = commands.match(UNFINISHED) ?? [];
  const unfinished = endsLine || found.length > MAX_UNFINISHED ? "" : found;
  commands.slice(0, commands.length - unfinished.length).split(LINK).forEach((part, at) => {
    if (at % 2) {
      href = part;
      return;
    }
    parser.collected = [];
    parser.ansi_to_html(part.replace(STRAY_ESCAPES, ""));
    for (const one of parser.collected) pieces.push({ ...one, link: href });
  });
  const after = Object.fromEntries(Object.keys(style).map((name) => [name, parser[name]]));
  return { pieces, state: { ...after, link: href, rest: unfinished } };
}

function withSemicolons(found, numbers) {
  const known = numbers.split(";").map(semicolons).filter(Boolean);
  return known.length ? `\x1b[${known.join(";")}m` : "";
}

function semicolons(number) {
  const [kind, form, ...rest] = number.split(":");
  if (form === undefined) return kind || "0";
  if (kind === "4") return form === "0" ? "24" : "4";
  if (kind !== "38" && kind !== "48") return "";
  return [kind, form, ...rest.slice(form === "2" ? -3 : 0)].join(";");
}

// Returns the style that is set after some bytes that are not shown.
export function stateAfter(bytes, state) {
  return parse(decoder.decode(bytes), state).state;
}

// Fills an element with a row. A line that overwrites itself, like a progress bar, shows only its
// last version.
export function fillRow(element, bytes, state) {
  const whole = bytes.at(-1) === 10;
  let text = decoder.decode(whole ? bytes.subarray(0, -1) : bytes);
  if (text.endsWith("\r")) text = text.slice(0, -1);
  const written = text.split("\r");
  let now = state;
  while (written.length > 1) {
    const before = written.shift();
    if (written.every((one) => one === "")) {
      written[0] = before;
      written.length = 1;
    } else {
      now = parse(before, now).state;
    }
  }
  const { pieces, state: after } = parse(written[0], now, whole);
  element.replaceChildren(...pieces.map(renderPiece));
  return after;
}

function renderPiece(piece) {
  const text = visibleText(piece.text);
  const href = /^https?:\/\//i.test(piece.link) ? piece.link : "";
  const plain = !(piece.fg || piece.bg || piece.bold || piece.faint || piece.italic || piece.underline || piece.inverse || piece.strike);
  if (plain && !href) return document.createTextNode(text);
  const element = document.createElement(href ? "a" : "span");
  element.textContent = text;
  if (href) {
    element.href = href;
    element.rel = "noopener noreferrer nofollow";
    element.target = "_blank";
    element.title = href;
  }
  const [fg, bg] = piece.inverse ? [piece.bg, piece.fg ?? PLAIN] : [piece.fg, piece.bg];
  setColour(element, "fg", fg);
  setColour(element, "bg", bg);
  for (const name of ["bold", "faint", "italic", "underline", "strike"]) {
    if (piece[name]) element.classList.add(`ansi-${name}`);
  }
  return element;
}

// The 16 standard colours come from the theme. The style sheet makes all others readable.
function setColour(element, kind, value) {
  if (!value) return;
  if (value.class_name !== "truecolor") {
    element.classList.add(`${value.class_name}-${kind}`);
    return;
  }
  element.classList.add(`ansi-own-${kind}`);
  element.style.setProperty(`--own-${kind}`, `rgb(${value.rgb.join(",")})`);
  if (kind === "bg") element.classList.add(luminance(value.rgb) > 0.18 ? "ansi-on-light" : "ansi-on-dark");
}

function luminance(rgb) {
  const [red, green, blue] = rgb.map((one) => (one / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

// Returns a text as a terminal shows it: a backspace removes the character before it. Control
// characters become visible.
function visibleText(text) {
  if (!text.includes("\b")) return text.replace(CONTROLS, controlSymbol);
  const kept = [];
  for (const character of text) {
    if (character === "\b") kept.pop();
    else kept.push(character);
  }
  return kept.join("").replace(CONTROLS, controlSymbol);
}

function controlSymbol(character) {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : "\ufffd";
}

export function plainText(bytes) {
  let state = FRESH;
  const lines = decoder.decode(bytes).split("\n").map((line) => {
    const text = line.replace(/\r+$/, "");
    const { pieces } = parse(text.slice(text.lastIndexOf("\r") + 1), state, true);
    return pieces.map((piece) => visibleText(piece.text)).join("");
  });
  return lines.join("\n");
}
