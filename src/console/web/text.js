// Elements, numbers and foreign text. Nothing here takes HTML: text from outside can only become text.

export const by_id = (id) => document.getElementById(id);

/** el("p", { class: "note" }, "text", child, null): null attributes and children are left out. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Changes a node's text only when it differs: no needless layout, no needless announcement. */
export function set_text(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

export function set_attribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, String(value));
  }
}

/** Makes the children of `parent` those of `items`, in their order; a child of the same key stays the same element. */
export function reconcile(parent, items, key, make, update) {
  parent.kept ??= new Map();
  const names = new Set(items.map(key));
  // What goes, goes first: what stays need not move then.
  for (const [name, child] of parent.kept) if (!names.has(name)) child.remove();
  const kept = new Map();
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const child = parent.kept.get(name) ?? make(item);
    update(child, item);
    kept.set(name, child);
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  parent.kept = kept;
}

const in_a_slice = 40;
const next_slice = () => new Promise((resolve) => setTimeout(resolve));

/** The same for many items: the browser draws, and hears its user, in between. One at a time for a parent. */
export async function reconcile_in_slices(parent, items, key, make, update) {
  const made = new Map(parent.kept);
  for (let i = 0; i < items.length; ++i) {
    const name = key(items[i]);
    if (!made.has(name)) made.set(name, make(items[i]));
    update(made.get(name), items[i]);
    if (i % in_a_slice === in_a_slice - 1) await next_slice();
  }
  reconcile(parent, items, key, (item) => made.get(key(item)), () => {});
}

// Characters that show nothing or that reorder what is around them. Joiners (U+200C, U+200D) stay: scripts need them.
const invisible =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udfff]|\p{Cn}/gu;

function spell_out(character) {
  const value = character.codePointAt(0);
  const short = { 9: "\\t", 10: "\\n", 13: "\\r" }[value];
  if (short) return short;
  return value < 0x100 ? `\\x${value.toString(16).padStart(2, "0")}` : `\\u{${value.toString(16)}}`;
}

/** Foreign text, isolated from the direction of its surroundings; what would be invisible is spelled out. */
export function foreign(text, attributes = {}) {
  const whole = String(text);
  const parts = [];
  let from = 0;
  for (const match of whole.matchAll(invisible)) {
    parts.push(whole.slice(from, match.index), el("span", { class: "spelled", dir: "ltr" }, spell_out(match[0])));
    from = match.index + match[0].length;
  }
  parts.push(whole.slice(from));
  return el("bdi", attributes, ...parts);
}

export const spelled = (text) => String(text).replace(invisible, spell_out);

// ---- numbers ----

const formats = new Map();

function number_format(digits) {
  if (!formats.has(digits)) {
    const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    formats.set(digits, new Intl.NumberFormat(undefined, options));
  }
  return formats.get(digits);
}

export const decimal = (value, digits) => number_format(digits).format(value);
export const count = (value) => decimal(value, 0);

/** 250 µs, 2.1 ms, 312 ms, 1.50 s, 59.9 s, 2 min 05 s, 3 h 12 min */
export function duration(ms) {
  if (ms < 0.0005) return "0";
  if (ms < 0.9995) return `${decimal(ms * 1000, 0)} µs`;
  if (ms < 9.95) return `${decimal(ms, 1)} ms`;
  if (ms < 999.5) return `${decimal(ms, 0)} ms`;
  if (ms < 9995) return `${decimal(ms / 1000, 2)} s`;
  if (ms < 59950) return `${decimal(ms / 1000, 1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  const minutes = Math.round(seconds / 60);
  return `${count(Math.floor(minutes / 60))} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** For what is redrawn all the time: one decimal of a second, so that the digits do not dance. */
export const ticking = (ms) => (ms < 59950 ? `${decimal(Math.max(ms, 0) / 1000, 1)} s` : duration(ms));

/** The last parts of a path, "http/server/exchange.cpp:71". */
export function short_place({ file, line }) {
  const parts = file.split("/");
  return `${parts.slice(-2).join("/")}:${line}`;
}
