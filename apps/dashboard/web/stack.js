// The stacks of the threads that work for a request, when they are asked for: where work is that does not stop.

import { el, foreign } from "./dom.js";
import { place, visible } from "./format.js";

export class stack_view {
  /** `button` opens and closes `element`. */
  constructor(name, id, service) {
    this.url = `/api/requests/${encodeURIComponent(service)}/${encodeURIComponent(id)}/stack`;
    const label = `Stack of ${visible(name)}`;
    this.button = el("button", { class: "quiet", type: "button", "aria-expanded": "false", "aria-label": label }, "Stack");
    this.element = el("div", { class: "stack", role: "region", "aria-label": label, tabindex: "0", hidden: true });
    this.button.addEventListener("click", () => this.#toggle());
  }

  #toggle() {
    const open = this.element.hidden;
    this.element.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (open) this.#look();
  }

  async #look() {
    this.element.replaceChildren(el("p", {}, "Looking…"));
    this.element.replaceChildren(...(await look(this.url)));
  }
}

/** What there is to show. */
async function look(url) {
  try {
    const response = await fetch(url);
    const answer = await response.json();
    if (!response.ok) return [el("p", {}, foreign(answer.error))];
    if (answer.threads.length === 0) return [el("p", {}, "No thread is at it now.")];
    return answer.threads.map(thread_of);
  } catch {
    return [el("p", {}, "The stack cannot be read.")];
  }
}

function thread_of({ thread, frames, error }) {
  return el(
    "section",
    {},
    el("p", { class: "caption" }, `thread ${thread}`),
    error ? el("p", {}, foreign(error)) : null,
    el("ol", {}, frames.map(frame_of)),
  );
}

function frame_of({ function: name, file, line, module, address }) {
  const at = file ? place({ file, line }) : String(module).split("/").at(-1);
  return el(
    "li",
    {},
    foreign(name ?? address, { class: "function" }),
    " ",
    foreign(at, { class: "at", title: visible(file ? `${file}:${line}` : String(module)) }),
  );
}
