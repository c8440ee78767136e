// One panel: its request, from the click to the result, the error or the cancel.
//
// A panel has at most one request. Starting a new one or canceling aborts the old, and whatever the old one still
// delivers is dropped: `run` tells them apart.

import { el, foreign, progress_bar, set_text, show } from "./dom.js";
import { ago, duration, ticking, visible } from "./format.js";
import { GarbageError, read_ndjson } from "./ndjson.js";
import { render_report } from "./reports.js";

const headings = {
  deadline_exceeded: "Budget used up",
  canceled: "Canceled",
  unreachable: "Not reachable",
  unavailable: "Not available",
  refused: "Refused",
  bad_response: "Unreadable answer",
  too_large: "Answer too large",
  truncated: "Answer cut off",
  internal: "Something is broken",
};
const grace_ms = 3000; // what the front gets beyond the budget to say that it is used up
const typing_pause_ms = 300;

class panel_error extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class panel {
  /**
   * `budget` gives the budget in ms, or null when the field is invalid; `announce` tells screen readers;
   * `on_refresh` is called when the panel's own search or choice asks anew.
   */
  constructor(config, { budget, announce, on_refresh }) {
    this.config = config;
    this.budget = budget;
    this.announce = announce;
    this.on_refresh = on_refresh;
    this.run = null;
    this.shown = null; // { at, took } of the result on the page
    this.#build();
  }

  #build() {
    const { name, title } = this.config;
    const id = `panel-${name.replace(/[^\w-]/g, "_")}`;
    this.bar = new progress_bar(`Progress of ${title}`);
    this.elapsed = el("p", { class: "elapsed" });
    this.line = el("p", { class: "line" }); // what it does now, or of when the result is
    this.problem = el("div", { class: "message", hidden: true });
    this.body = el("div", { class: "body" });
    this.element = el(
      "section",
      { class: `panel ${this.config.kind}`, "data-panel": name, "data-state": "idle", "aria-labelledby": id },
      this.bar.element,
      el("div", { class: "panel-head" }, el("h2", { id }, foreign(title)), this.elapsed, this.line),
      this.#options(),
      this.problem,
      this.body,
    );
  }

  /** What belongs to the panel's own question: a search, a directory. */
  #options() {
    const { kind, roots = [] } = this.config;
    if (kind === "packages") {
      this.query = el("input", {
        id: "package-search",
        type: "text",
        placeholder: "Search",
        autocomplete: "off",
        spellcheck: "false",
        maxlength: "100",
        "aria-label": "Search the packages",
      });
      this.query.addEventListener("input", () => {
        clearTimeout(this.typing);
        this.typing = setTimeout(() => this.#ask(), typing_pause_ms);
      });
      this.query.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && !event.isComposing) this.#ask();
      });
      return el("div", { class: "options" }, this.query);
    }
    if (kind === "disk" && roots.length > 1) {
      this.root = el(
        "select",
        { id: "disk-root" },
        roots.map((root) => el("option", { value: root }, visible(root))),
      );
      this.root.addEventListener("change", () => this.#ask());
      return el("div", { class: "options" }, el("label", { for: "disk-root" }, "Directory"), this.root);
    }
    return null;
  }

  get state() {
    return this.element.dataset.state;
  }

  #set_state(state) {
    this.element.dataset.state = state;
    this.body.setAttribute("aria-busy", String(state === "running"));
    show(this.bar.element, state === "running");
    if (state !== "running") this.line.removeAttribute("title");
    this.tick();
  }

  #ask() {
    const budget_ms = this.budget();
    if (budget_ms === null) return;
    this.on_refresh();
    this.refresh(budget_ms);
  }

  /** Ends the request that runs and starts a new one. */
  refresh(budget_ms) {
    clearTimeout(this.typing);
    this.run?.abort();
    const controller = new AbortController();
    const run = { started: performance.now(), abort: () => controller.abort() };
    this.run = run;
    show(this.problem, false);
    this.#progress(null, "Asking…");
    this.#set_state("running");
    const watchdog = setTimeout(() => {
      run.late = true;
      controller.abort();
    }, budget_ms + grace_ms);
    this.#work(run, budget_ms, controller.signal)
      .catch((error) => this.#fail(run, error))
      .finally(() => clearTimeout(watchdog));
  }

  /** Ends the request that runs, if any; says whether there was one. */
  cancel() {
    clearTimeout(this.typing);
    const run = this.run;
    if (!run) return false;
    this.run = null;
    run.abort();
    this.#say("canceled", `You ended it after ${duration(performance.now() - run.started)}.`);
    this.#set_state("canceled");
    return true;
  }

  async #work(run, budget_ms, signal) {
    const data = await this.#result(run, budget_ms, signal);
    if (this.run !== run) return;
    const report = render_report(this.config.kind, data); // before anything changes: it may not like the data
    this.run = null;
    this.body.replaceChildren(report);
    this.shown = { at: performance.now(), took: performance.now() - run.started };
    this.#set_state("done");
    this.announce(`${this.config.title}: done after ${duration(this.shown.took)}.`);
  }

  async #result(run, budget_ms, signal) {
    const parameters = new URLSearchParams({ budget_ms });
    if (this.query?.value.trim()) parameters.set("q", this.query.value.trim());
    if (this.root) parameters.set("root", this.root.value);
    const url = `/api/panels/${encodeURIComponent(this.config.name)}?${parameters}`;
    const response = await fetch(url, { signal, cache: "no-store", headers: { Accept: "application/x-ndjson" } });
    if (!response.ok) throw new panel_error("refused", await refusal(response));
    if (!response.headers.get("content-type")?.startsWith("application/x-ndjson") || !response.body) {
      throw new panel_error("bad_response", "What arrived is not what this page asked for.");
    }
    for await (const line of read_ndjson(response.body)) {
      if (this.run !== run) return undefined;
      if (line.type === "progress") this.#progress(line.fraction, String(line.text ?? ""));
      else if (line.type === "result") return line.data;
      else if (line.type === "error") throw new panel_error(String(line.code), String(line.message));
      else throw new GarbageError(`a line has the unknown type ${visible(String(line.type)).slice(0, 40)}`);
    }
    throw new panel_error("truncated", "The answer ended before its result.");
  }

  #progress(fraction, text) {
    this.bar.set(fraction, visible(text));
    set_text(this.line, visible(text));
    this.line.title = visible(text);
  }

  #fail(run, error) {
    if (this.run !== run) return;
    this.run = null;
    const took = duration(performance.now() - run.started);
    if (run.late) this.#say("deadline_exceeded", `No answer within the budget; given up after ${took}.`);
    else if (error instanceof panel_error) this.#say(error.code, error.message);
    else if (error instanceof GarbageError)
      this.#say("bad_response", `This page cannot read the answer: ${error.message}.`);
    else this.#say("unreachable", "The dashboard does not answer. Is the program still running?");
    this.#set_state("error");
  }

  #say(code, message) {
    const heading = headings[code] ?? "Failed";
    this.problem.dataset.code = code;
    this.problem.replaceChildren(el("strong", {}, heading), " ", el("span", {}, visible(message)));
    show(this.problem, true);
    this.announce(`${this.config.title}: ${heading}. ${visible(message)}`);
  }

  /** Called as time passes: how long it has run, how old the result is. */
  tick() {
    const now = performance.now();
    const running = this.state === "running";
    set_text(this.elapsed, running ? ticking(now - this.run.started) : "");
    if (running) return;
    const age = this.shown && ago(now - this.shown.at);
    if (this.state === "done") set_text(this.line, `${age}, took ${duration(this.shown.took)}`);
    else set_text(this.line, this.shown ? `Below is the result of ${age}.` : "No result yet.");
  }
}

async function refusal(response) {
  const body = await response.json().catch(() => null);
  return typeof body?.error === "string" ? body.error : `The dashboard answered ${response.status}.`;
}
