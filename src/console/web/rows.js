// A task as a row: made once, filled anew by each look, and drawn on between two of them.

import { its_clock, several } from "./processes.js";
import { duration, el, foreign, set_attribute, set_text, short_place, show, spelled, ticking } from "./text.js";

export const title_of = (task) => (task.name === "" ? task.kind : task.name);

export function link_to(task, ...content) {
  const at = task.process?.name ? `&at=${task.process.name}` : "";
  return el("a", { href: `?task=${task.id}${at}`, "data-inner": true }, content.length ? content : foreign(title_of(task)));
}

export class budget_bar {
  constructor() {
    this.fill = el("span", { class: "fill" });
    this.bar = el("span", { class: "progress", role: "progressbar", "aria-label": "Budget used", "aria-valuemin": 0, "aria-valuemax": 100 }, this.fill);
    this.left = el("span", { class: "left" });
    this.element = el("div", { class: "budget" }, this.bar, this.left);
  }

  draw(task, now_ms) {
    const opened = task.opened_ns / 1e6;
    if (task.told) {
      show(this.bar, true);
      this.set(1);
      set_attribute(this.bar, "data-dead", true);
      set_attribute(this.bar, "data-low", null);
      set_text(this.left, `${ticking(now_ms - task.told.at_ns / 1e6)} past its end`);
      return;
    }
    set_attribute(this.bar, "data-dead", null);
    show(this.bar, task.remaining_ms !== null);
    if (task.remaining_ms === null) {
      set_text(this.left, task.detached ? "cannot end" : "no deadline");
      return;
    }
    const remaining = Math.max(task.remaining_ms - (now_ms - task.seen_ms), 0);
    const whole = task.seen_ms + task.remaining_ms - opened;
    const used = whole > 0 ? Math.min((now_ms - opened) / whole, 1) : 1;
    this.set(used);
    set_attribute(this.bar, "data-low", used > 0.8);
    set_text(this.left, `${ticking(remaining)} left`);
  }

  set(fraction) {
    this.fill.style.setProperty("--value", Math.max(fraction, 0).toFixed(3));
    set_attribute(this.bar, "aria-valuenow", Math.round(fraction * 100));
  }
}

/** Knows which rows can be seen: the others need not be drawn on. */
const sight = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    target.in_sight = isIntersecting;
    if (!target.isConnected) sight.unobserve(target);
  }
});

/** Which process it is in, where there are several. */
export const process_label = (task) => (several() ? el("span", { class: "process" }, task.process.title) : null);

export function make_row(task) {
  const budget = new budget_bar();
  const parts = {
    state: el("span", { class: "state" }),
    kind: el("span", { class: "kind" }),
    name: link_to(task),
    process: process_label(task),
    below: el("span", { class: "unseen" }),
    age: el("span", { class: "age" }),
    cpu: el("span", { class: "cpu" }),
    where: el("p", { class: "where" }),
    budget,
  };
  const label = el("div", { class: "name" }, parts.kind, parts.name, parts.process, parts.below);
  const row = el("li", { class: "row", "data-id": task.id }, parts.state, label, budget.element, parts.age, parts.cpu, parts.where);
  row.parts = parts;
  sight.observe(row);
  return row;
}

/** "channel receive; server/exchange.cpp:71", with what matters most first. */
function story(task) {
  const parts = [];
  if (task.told) parts.push(`told: ${spelled(task.told.cause)}`, `${duration(task.told.cpu_ms)} of CPU since`);
  if (task.waits) parts.push(`waits for ${spelled(task.waits.what)}`);
  if (task.thread !== 0) parts.push(`thread ${task.thread}`);
  parts.push(spelled(short_place(task.where)));
  return parts.join(" · ");
}

export function fill_row(row, { task, depth = 0, above = false, parent = null }) {
  const { parts } = row;
  row.task = task;
  set_attribute(row, "data-state", task.state);
  set_attribute(row, "data-depth", depth);
  set_attribute(row, "data-above", above);
  row.style.setProperty("--depth", depth);
  set_attribute(parts.state, "data-state", task.state);
  set_text(parts.state, task.state);
  set_text(parts.kind, task.name === "" ? "" : spelled(task.kind));
  set_text(parts.below, parent ? ` (below ${spelled(title_of(parent))})` : "");
  set_text(parts.cpu, duration(task.cpu_ms));
  set_text(parts.where, story(task));
  draw_row(row, its_clock.now_ms());
}

export function draw_row(row, now_ms) {
  set_text(row.parts.age, ticking(now_ms - row.task.opened_ns / 1e6));
  row.parts.budget.draw(row.task, now_ms);
}

/**
 * Parents before their children, siblings and roots by age: an order that does not change while they live. A parent comes
 * with a request, from outside: what would be a circle begins with its oldest.
 */
export function as_tree(tasks, matching) {
  const known = new Map(tasks.map((task) => [task.id, task]));
  const children = new Map();
  const roots = [];
  for (const task of tasks) {
    if (known.has(task.parent)) {
      if (!children.has(task.parent)) children.set(task.parent, []);
      children.get(task.parent).push(task);
    } else {
      roots.push(task);
    }
  }
  const flat = [];
  const by_age = (a, b) => a.opened_ns - b.opened_ns || (a.id < b.id ? -1 : 1);
  const seen = new Set();
  const add = (list, depth, parent) => {
    for (const task of list.sort(by_age)) {
      if (seen.has(task.id)) continue;
      seen.add(task.id);
      flat.push({ task, depth, parent, above: !matching.has(task.id) });
      add(children.get(task.id) ?? [], depth + 1, task);
    }
  };
  add(roots, 0, null);
  for (const task of tasks.toSorted(by_age)) add([task], 0, null);
  return flat;
}
