// Elements and text. Nothing here takes HTML: text from outside can only become text.

import { visible, visible_parts } from "./format.js";

export const by_id = (id) => document.getElementById(id);

/** el("p", { class: "note" }, "text", child, null): null attributes and children are left out. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Foreign text, isolated from the direction of its surroundings; characters that would be invisible are spelled out. */
export function foreign(text, attributes = {}) {
  const parts = visible_parts(String(text)).map(({ text: part, code }) =>
    code ? el("bdi", { class: "spelled", dir: "ltr", title: code }, part) : part,
  );
  return el("bdi", attributes, ...parts);
}

/** A path as two lines: what it is called, and where; the whole of it as the title. */
export function path_name({ path, name_is_lossy }) {
  const whole = String(path);
  const slash = whole.lastIndexOf("/");
  return el(
    "span",
    { class: "path", title: visible(whole) },
    foreign(whole.slice(slash + 1) || whole, { class: "base" }),
    name_is_lossy ? lossy_mark() : null,
    foreign(slash > 0 ? whole.slice(0, slash) : "/", { class: "dir" }),
  );
}

export function lossy_mark() {
  return el("abbr", { class: "lossy", title: "Some bytes are not valid UTF-8; each is shown as �" }, "not UTF-8");
}

/** Changes a node's text only when it differs: no needless layout, no needless announcement. */
export function set_text(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows or hides; a hidden element takes no part in tabbing or reading. */
export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/** A bar to see and to hear: set(fraction or null, text). */
export class progress_bar {
  constructor(label, role = "progressbar") {
    const attributes = { role, "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" };
    this.fill = el("span", { class: "fill" });
    this.element = el("span", { class: "progress", ...attributes }, this.fill);
  }

  set(fraction, text) {
    const known = typeof fraction === "number" && fraction >= 0;
    const clamped = known ? Math.min(fraction, 1) : null;
    this.element.classList.toggle("indeterminate", !known);
    this.fill.style.setProperty("--value", known ? clamped.toFixed(4) : "0");
    if (known) this.element.setAttribute("aria-valuenow", String(Math.round(clamped * 100)));
    else this.element.removeAttribute("aria-valuenow");
    if (text) this.element.setAttribute("aria-valuetext", text);
    else this.element.removeAttribute("aria-valuetext");
  }
}
