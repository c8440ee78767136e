// The stacks of the threads that work for a request, when they are asked for: where work is that does not stop.

import { el, foreign } from "./dom.js";
import { count, file_name, function_name, place, visible } from "./format.js";

export class stack_view {
  /** `button` opens and closes `element`. `where`: the line that opened the work; what called it is left out. */
  constructor(name, id, service, where) {
    this.url = `/api/requests/${encodeURIComponent(service)}/${encodeURIComponent(id)}/stack`;
    this.where = where;
    const label = `Stack of ${visible(name)}`;
    this.button = el("button", { class: "quiet", type: "button", "aria-expanded": "false", "aria-label": label }, "Stack");
    this.element = el("div", { class: "stack", role: "region", "aria-label": label, tabindex: "0", hidden: true });
    this.button.addEventListener("click", () => this.#toggle());
  }

  async #toggle() {
    const open = this.element.hidden;
    this.element.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (open) this.element.replaceChildren(...(await this.#look()));
  }

  /** What there is to show. */
  async #look() {
    try {
      const response = await fetch(this.url);
      const answer = await response.json();
      if (!response.ok) return [el("p", {}, foreign(answer.error))];
      if (answer.threads.length === 0) return [el("p", {}, "No thread is at it now.")];
      return answer.threads.map((thread) => this.#thread(thread));
    } catch {
      return [el("p", {}, "The stack cannot be read.")];
    }
  }

  #thread({ thread, frames, error }) {
    const own = 1 + frames.findLastIndex(({ file }) => file && file_name(file) === file_name(this.where.file));
    const shown = own > 0 ? frames.slice(0, own) : frames;
    const left_out = frames.length - shown.length;
    return el(
      "section",
      {},
      el("p", { class: "caption" }, `thread ${thread}`),
      error ? el("p", {}, foreign(error)) : null,
      el("ol", {}, shown.map(frame_of)),
      left_out > 0 ? el("p", {}, `called by ${count(left_out)} more`) : null,
    );
  }
}

function frame_of({ function: name, file, line, module, address }) {
  const at = file ? place({ file, line }) : file_name(module ?? "");
  const title = [name, file ? `${file}:${line}` : module].filter(Boolean).map(visible).join("\n");
  return el(
    "li",
    { title },
    foreign(name ? function_name(name) : address, { class: "function" }),
    " ",
    foreign(at, { class: "at" }),
  );
}
