// What stands below the tabs: tasks, one task, places, what has ended. Each has element, load() and draw().

import { its_clock, own, process_of, processes, read_all, several } from "./processes.js";
import { as_tree, budget_bar, draw_row, fill_row, link_to, make_row, process_label, title_of } from "./rows.js";
import { count, duration, el, foreign, reconcile, reconcile_in_slices, set_attribute, set_text, short_place, show, spelled, ticking } from "./text.js";

const most_rows = 500;
const most_above = 200;
const states = ["zombie", "told", "running", "waiting", "queued"];

const row_head = () =>
  el(
    "li",
    { class: "row head", "aria-hidden": "true" },
    el("span", { class: "state-head" }, "state"),
    el("span", { class: "name" }, "task"),
    el("span", { class: "budget" }, "budget"),
    el("span", { class: "age" }, "age"),
    el("span", { class: "cpu" }, "CPU"),
  );

export class task_list {
  constructor(query, filter_changed) {
    this.query = query;
    const field = (name, label, attributes) => {
      const input = el("input", { name, type: "search", autocomplete: "off", spellcheck: "false", value: query.get(name) ?? "", ...attributes });
      input.addEventListener("input", () => this.changed());
      return [el("label", {}, label, input), input];
    };
    const [name_label, name] = field("name", "Name");
    const [path_label, path] = field("path", "Path of its context");
    const [age_label, age] = field("min_age_ms", "Older than, in ms", { inputmode: "numeric", pattern: "[0-9]*" });
    this.fields = { name, path, min_age_ms: age };
    const chosen = new Set((query.get("state") ?? "").split(",").filter(Boolean));
    this.boxes = states.map((state) => {
      const box = el("input", { type: "checkbox", name: "state", value: state, checked: chosen.has(state) });
      box.addEventListener("change", () => this.changed());
      return box;
    });
    const boxes = el("fieldset", {}, el("legend", {}, "State"), el("div", { class: "states" }, this.boxes.map((box) => el("label", {}, box, box.value))));
    this.form = el("form", { class: "filter", role: "search", "aria-label": "Filter", novalidate: true }, name_label, path_label, age_label, boxes);
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.count = el("p", { class: "count", role: "status" }, "");
    this.rows = el("ul", { class: "rows", "aria-label": "Tasks" });
    this.problem = el("p", { class: "message bad", role: "alert", hidden: true });
    this.element = [this.form, this.problem, this.count, this.rows];
    this.filter_changed = filter_changed;
    this.title = "Tasks";
  }

  changed() {
    for (const [name, input] of Object.entries(this.fields)) {
      if (input.value.trim()) this.query.set(name, input.value.trim());
      else this.query.delete(name);
    }
    const chosen = this.boxes.filter((box) => box.checked).map((box) => box.value);
    if (chosen.length) this.query.set("state", chosen.join(","));
    else this.query.delete("state");
    this.filter_changed(this.query);
  }

  async load() {
    const asked = new URLSearchParams(this.query);
    asked.set("limit", most_rows);
    asked.set("above", 1);
    const answers = await read_all(`tasks?${asked}`).catch((error) => {
      if (error.status !== 400) throw error;
      set_text(this.problem, error.message);
      return null;
    });
    show(this.problem, answers === null);
    if (answers === null) return;
    const chosen = answers.flatMap(({ tasks, matching }) => tasks.slice(0, Math.min(matching, most_rows)));
    const matching = new Set(chosen.map(({ id }) => id));
    const items = as_tree(answers.flatMap(({ tasks }) => tasks), matching);
    await reconcile_in_slices(
      this.rows,
      items.length ? [{ head: true }, ...items] : [],
      (item) => item.task?.id ?? "head",
      (item) => (item.head ? row_head() : make_row(item.task)),
      (row, item) => item.head || fill_row(row, item),
    );
    const sum = (of) => answers.reduce((all, got) => all + of(got), 0);
    set_text(this.count, this.say({ seen: sum((got) => got.seen), matching: sum((got) => got.matching) }, matching.size));
  }

  say({ seen, matching }, shown) {
    if (seen === 0) return "Nothing is open.";
    if (matching === 0) return `None of ${count(seen)} open tasks matches.`;
    const whole = matching === seen ? `${count(seen)} open tasks` : `${count(matching)} of ${count(seen)} open tasks`;
    return shown < matching ? `${whole}; the ${count(shown)} most urgent are shown. A filter narrows them.` : whole;
  }

  draw(now_ms) {
    for (const row of this.rows.children) if (row.in_sight) draw_row(row, now_ms);
  }
}

const fact = (name, ...value) => [el("dt", {}, name), el("dd", {}, ...value)];

/** The cause, behind the err where it says something else. */
const why = ({ err, cause }) => (cause === "" || cause === err ? [foreign(err)] : [foreign(err), ": ", foreign(cause)]);

function family(title, tasks) {
  const rows = el("ul", { class: "rows", "aria-label": title });
  reconcile(rows, tasks, ({ id }) => id, make_row, (row, task) => fill_row(row, { task }));
  return rows;
}

/** "dig_a_hole() +0x1f", and below it the line, or the program that it is in. */
function frame_item({ function: name, offset, file, line, module, address }) {
  const place = file ? short_place({ file, line }) : (module ?? address);
  const detail = [file && `${file}:${line}`, module, address].filter(Boolean).map(spelled).join("\n");
  return el(
    "li",
    { title: detail },
    name ? foreign(name, { class: "function" }) : el("span", { class: "light" }, address),
    name && offset ? el("span", { class: "light" }, ` +0x${offset.toString(16)}`) : null,
    el("span", { class: "place" }, foreign(place)),
  );
}

/** Where the threads are that work for a task, asked for by hand: that interrupts them. */
class stack_view {
  constructor(id, process) {
    this.id = id;
    this.process = process;
    this.button = el("button", { type: "button" }, "Where are its threads?");
    this.button.addEventListener("click", () => this.ask());
    this.list = el("div", { role: "status" });
    this.element = el("section", { class: "stacks", "aria-label": "Stacks" }, this.button, this.list);
  }

  async ask() {
    this.button.disabled = true;
    const got = await this.process.read(`tasks/${encodeURIComponent(this.id)}/stack`).catch((error) => ({ threads: [], problem: error.message }));
    this.button.disabled = false;
    const message = got.problem ?? (got.threads.length ? null : "No thread is at it, or at a task below it: it waits.");
    this.list.replaceChildren(...(message ? [el("p", { class: "message" }, message)] : got.threads.map((each) => this.thread(each))));
  }

  thread({ task, kind, name, thread, frames, error }) {
    const whose = task === this.id ? null : el("span", {}, " at ", link_to({ id: task, kind, name, process: this.process }));
    return el(
      "article",
      { class: "card stack" },
      el("h3", {}, `Thread ${thread}`, whose),
      error ? el("p", { class: "message bad" }, spelled(error)) : el("ol", {}, frames.map(frame_item)),
    );
  }
}

/** Survives the page's views, and goes with the page: never stored. */
let token = "";

export class one_task {
  constructor(id, at, can_cancel) {
    this.id = id;
    this.process = process_of(at);
    this.can_cancel = can_cancel;
    this.head = el("div", { class: "task-head" });
    this.crumbs = el("p", { class: "crumbs" });
    this.facts = el("dl", { class: "facts" });
    this.card = el("article", { class: "card", "aria-label": "The task" }, this.crumbs, this.head, this.facts);
    this.stacks = new stack_view(id, this.process);
    this.below = el("section", { "aria-label": "Below it" });
    this.form = can_cancel ? this.make_form() : null;
    this.element = [this.card, this.stacks.element, this.form, this.below].filter(Boolean);
    this.title = "Task";
    this.over = false;
  }

  make_form() {
    const reason = el("input", { name: "reason", required: true, maxlength: 150, autocomplete: "off", placeholder: "stuck since the deployment" });
    const secret = el("input", { name: "token", type: "password", required: true, autocomplete: "off", value: token });
    const problem = el("p", { class: "problem", role: "alert" });
    const form = el(
      "form",
      { class: "card cancel", "aria-label": "End it by hand" },
      el("label", { class: "reason" }, "Reason, which becomes the cause", reason),
      el("label", {}, "Token", secret),
      el("button", { class: "deadly" }, "End it, and all below it"),
      problem,
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      token = secret.value;
      set_text(problem, "");
      const response = await fetch(`${this.process.base}tasks/${this.id}/cancel`, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}` },
        body: reason.value,
      }).catch((error) => ({ ok: false, json: async () => ({ error: error.message }) }));
      if (response.ok) {
        show(form, false);
        await this.load();
      } else {
        set_text(problem, (await response.json()).error);
      }
    });
    return form;
  }

  async load() {
    if (this.over) return;
    const got = await this.process.read(`tasks/${encodeURIComponent(this.id)}`).catch((error) => {
      if (error.status !== 404) throw error;
      return null;
    });
    if (got === null) return this.show_end();
    const { task } = got;
    const above = [...got.above, ...(await this.above_elsewhere(got.above.at(-1) ?? task))];
    const elsewhere = await this.below_elsewhere(task);
    const below = [...got.below, ...elsewhere];
    const below_count = got.below_count + elsewhere.length;
    const waits_on = task.waits ? await this.waits_on(task.waits, [...above, ...below]) : null;
    this.task = task;
    this.title = title_of(task);
    set_attribute(this.card, "class", task.told ? "card dead" : "card");
    this.crumbs.replaceChildren(...above.reverse().flatMap((up) => [link_to(up), " › "]));
    this.head.replaceChildren(el("h2", {}, foreign(title_of(task))), el("span", { class: "state", "data-state": task.state }, task.state));
    if (this.form && task.told) show(this.form, false);
    this.budget = new budget_bar();
    this.age = el("dd", {});
    const facts = [
      ...fact("Kind", foreign(task.kind)),
      ...(several() ? fact("Process", task.process.title) : []),
      ...[el("dt", {}, "Age"), this.age],
      ...fact("Budget", this.budget.element),
      ...(task.told ? fact("Told to stop", ...why(task.told)) : []),
      ...(task.told ? fact("CPU for nobody", duration(task.told.cpu_ms)) : []),
      ...fact("CPU", duration(task.cpu_ms)),
      ...(task.waits ? fact("Waits for", foreign(task.waits.what), waits_on) : []),
      ...(task.thread ? fact("Thread", String(task.thread)) : []),
      ...fact("Opened at", foreign(`${task.where.file}:${task.where.line}`, { class: "mono" })),
      ...fact("In", foreign(task.where.function, { class: "mono" })),
      ...fact("Path", foreign(task.path, { class: "mono" })),
      ...task.values.flatMap(({ key, text }) => fact(spelled(key), foreign(text))),
      ...fact("Id", el("span", { class: "mono" }, task.id)),
    ];
    this.facts.replaceChildren(...facts);
    const children = below.length
      ? [el("h3", {}, `Below it (${count(below_count)})`), family("Below it", below)]
      : [];
    this.below.replaceChildren(...children);
    this.draw(its_clock.now_ms());
  }

  /** The way up from `top`, whose parent is a task of another process. */
  async above_elsewhere(top) {
    const way = [];
    for (let at = top; several() && at.parent && way.length < most_above; at = way.at(-1)) {
      const asked = processes.filter((each) => each !== at.process);
      const found = await Promise.all(asked.map((each) => each.read(`tasks/${at.parent}`).catch(() => null)));
      const got = found.find((each) => each !== null);
      if (!got) break;
      way.push(got.task, ...got.above);
    }
    return way;
  }

  /** What other processes do for it. */
  async below_elsewhere(task) {
    if (!several() || !task.trace) return [];
    const answers = await read_all(`tasks?trace=${task.trace}&limit=${most_rows}`);
    return answers.flatMap(({ tasks }) => tasks).filter((each) => each.parent === task.id && each.process !== task.process);
  }

  /** A number that is the id of a task, such as the one that holds the lock, leads to it. */
  async waits_on({ on }, near) {
    if (!on) return null;
    const other =
      near.find(({ id }) => id === on) ??
      (await this.process.read(`tasks/${on}`).then(
        ({ task }) => task,
        () => null,
      ));
    return other ? el("span", {}, " of ", link_to(other)) : null;
  }

  async show_end() {
    this.over = true;
    if (this.form) show(this.form, false);
    show(this.stacks.element, false);
    this.below.replaceChildren();
    this.budget = null;
    set_attribute(this.card, "class", "card");
    this.crumbs.replaceChildren();
    let last = null;
    for (const by of ["last", "dying", "slowest"]) {
      const { ended } = await this.process.read(`ended?by=${by}&most=1000`);
      last ??= ended.find(({ id }) => id === this.id) ?? null;
    }
    this.head.replaceChildren(el("h2", {}, last ? foreign(title_of(last)) : "This task"), el("span", { class: "state" }, "over"));
    if (!last) {
      this.facts.replaceChildren(...fact("", "It is over, and what became of it is not kept."));
      return;
    }
    this.facts.replaceChildren(
      ...fact("Kind", foreign(last.kind)),
      ...fact("Took", duration(took(last) / 1e6)),
      ...(last.told ? fact("Told to stop", ...why(last.told)) : []),
      ...(last.told ? fact("Went on for", duration(went_on(last) / 1e6)) : []),
      ...fact("CPU", duration(last.cpu_ms)),
      ...fact("Opened at", foreign(`${last.where.file}:${last.where.line}`, { class: "mono" })),
    );
  }

  draw(now_ms) {
    if (!this.budget) return;
    set_text(this.age, ticking(now_ms - this.task.opened_ns / 1e6));
    this.budget.draw(this.task, now_ms);
    for (const row of this.below.querySelectorAll(".row")) draw_row(row, now_ms);
  }
}

function table(head, rows, label) {
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    el("table", {}, el("thead", {}, el("tr", {}, head.map((each) => el("th", { scope: "col" }, each)))), el("tbody", {}, rows)),
  );
}

const cell = (value, bad = false) => el("td", bad ? { class: "bad" } : {}, value);

export class place_list {
  constructor() {
    this.body = el("div", {});
    this.element = [el("p", { class: "count" }, "Lines that open tasks, slowest to stop first: what took longest from being told to stop until it was over."), this.body];
    this.title = "Places";
  }

  async load() {
    const answers = await Promise.all(processes.map((each) => each.read("places").then(({ places }) => places.map((p) => ({ ...p, process: each })), () => [])));
    const places = answers.flat().sort((a, b) => b.longest_ms - a.longest_ms);
    const rows = places.map((place) =>
      el(
        "tr",
        {},
        el("td", {}, foreign(short_place(place.where), { title: spelled(place.where.file) }), " ", el("span", { class: "light" }, foreign(place.kind)), process_label(place)),
        cell(count(place.told)),
        cell(count(place.zombies), place.zombies > 0),
        cell(duration(place.longest_ms)),
        cell(place.told ? duration(place.total_ms / place.told) : "–"),
        cell(duration(place.cpu_for_nobody_ms)),
        cell(duration(place.longest_hold_ms)),
      ),
    );
    const head = ["Place", "Told", "Zombies", "Longest", "Mean", "CPU for nobody", "Longest hold"];
    this.body.replaceChildren(rows.length ? table(head, rows, "Places") : el("p", { class: "message" }, "No task was told to stop yet."));
  }

  draw() {}
}

const most_ended = 200;
const took = (task) => task.ended_ns - task.opened_ns;
const went_on = (task) => task.ended_ns - task.told.at_ns;
const orders = {
  last: { label: "Latest", first: (a, b) => b.ended_ns - a.ended_ns },
  slowest: { label: "Took longest", first: (a, b) => took(b) - took(a) },
  dying: { label: "Slowest to stop", first: (a, b) => went_on(b) - went_on(a) },
};

export class ended_list {
  constructor(by) {
    this.by = by in orders ? by : "last";
    this.body = el("div", {});
    const link = ([name, { label }]) =>
      el("a", { href: `?view=ended&by=${name}`, "data-inner": true, "aria-current": name === this.by ? "true" : null }, label);
    this.element = [el("nav", { class: "choices", "aria-label": "Order" }, Object.entries(orders).map(link)), this.body];
    this.title = "Ended";
  }

  async load() {
    const answers = await read_all(`ended?by=${this.by}&most=${most_ended}`);
    const { now_ns } = answers[0];
    const ended = answers.flatMap((got) => got.ended).sort(orders[this.by].first).slice(0, most_ended);
    const rows = ended.map((task) =>
      el(
        "tr",
        {},
        el("td", {}, foreign(title_of(task)), " ", el("span", { class: "light" }, foreign(task.kind), " ", foreign(short_place(task.where))), process_label(task)),
        cell(`${duration((now_ns - task.ended_ns) / 1e6)} ago`),
        cell(duration(took(task) / 1e6)),
        cell(task.told ? foreign(task.told.cause || task.told.err) : "–"),
        cell(task.told ? duration(went_on(task) / 1e6) : "–"),
        cell(duration(task.cpu_ms)),
      ),
    );
    const head = ["Task", "Over", "Took", "Told to stop", "Went on", "CPU"];
    this.body.replaceChildren(rows.length ? table(head, rows, "Ended tasks") : el("p", { class: "message" }, "Nothing yet."));
  }

  draw() {}
}
