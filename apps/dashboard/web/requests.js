// The requests in detail: what lives, what of it is still waited for, and what became of the rest.
//
// Each event is the whole state. The newest one is drawn in the next frame, over the rows that are already there;
// between events, ages and budgets go on by the page's own clock. Rows beyond the cap are counted, not drawn.

import { by_id, el, foreign, progress_bar, set_text, show } from "./dom.js";
import { count, cpu_seconds, duration, place, request_name, ticking, visible } from "./format.js";
import { stack_view } from "./stack.js";

const most_roots = 40;
const most_children = 10;
const most_ended = 8;
const least_cpu_ms = 5; // less is 0.00 s
const stopping_ms = 250; // work that is just about to stop is counted, but its coming and going would only flicker
const retry_ms = [500, 1000, 2000, 4000];

const counters = [
  ["living", "at work", count],
  ["started", "started", count],
  ["answered", "answered", count],
  ["ended_by_client", "ended by the client", count],
  ["ended_by_deadline", "ended by the deadline", count],
  ["cpu_s", "CPU spent", (value) => cpu_seconds(value * 1000)],
  ["cpu_s_unwanted", "CPU spent for nobody", (value) => cpu_seconds(value * 1000)],
];

export class requests_view {
  /** `on_event` hears of each event. */
  constructor({ on_event }) {
    this.on_event = on_event;
    this.cpu_before = 0; // seconds spent for nobody before the last reset
    this.latest = null;
    this.received = 0;
    this.attempt = 0;
    this.wanted = new request_list(by_id("wanted"), by_id("wanted-more"));
    this.unwanted = new request_list(by_id("unwanted"), by_id("unwanted-more"));
    this.ended = new Map();
  }

  connect() {
    this.close();
    this.source = new EventSource("/api/requests/events");
    this.source.addEventListener("open", () => {
      this.attempt = 0;
      this.#connection("live", "live");
    });
    this.source.addEventListener("requests", (event) => this.#take(event.data));
    this.source.addEventListener("error", () => {
      this.#connection("lost", "connection lost, trying again");
      // The browser tries again by itself, but not after an answer that was no event stream; one rule for both.
      this.source.close();
      this.retry = setTimeout(() => this.connect(), retry_ms[Math.min(this.attempt++, retry_ms.length - 1)]);
    });
  }

  close() {
    clearTimeout(this.retry);
    this.source?.close();
  }

  #connection(state, text) {
    const node = by_id("connection");
    node.dataset.state = state;
    set_text(node, text);
    by_id("truth").classList.toggle("stale", state !== "live");
  }

  #take(text) {
    let event;
    try {
      event = JSON.parse(text);
      if (!Array.isArray(event.tree) || !Array.isArray(event.services)) throw new TypeError("no tree");
    } catch {
      this.#connection("lost", "an event could not be read");
      return;
    }
    this.#connection("live", "live");
    this.latest = event;
    this.received = performance.now();
    this.#draw_soon();
    this.on_event(event);
  }

  #draw_soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.#draw();
    });
  }

  /** Whether there has been unwanted work for long enough to show it. */
  #lasting(unwanted) {
    clearTimeout(this.again);
    if (unwanted.length === 0) this.unwanted_since = undefined;
    else this.unwanted_since ??= performance.now();
    const wait = this.unwanted_since + stopping_ms - performance.now();
    if (wait > 0) this.again = setTimeout(() => this.#draw_soon(), wait);
    return wait <= 0;
  }

  #draw() {
    const { tree, orphans = [], services, totals = {} } = this.latest;
    const lives = (request) => request.state === "running";
    const unwanted = [...tree.filter((request) => !lives(request)), ...orphans];
    const wanted = tree.filter(lives);

    this.wanted.draw(wanted);
    this.unwanted.draw(unwanted);
    this.tick();
    show(by_id("wanted-empty"), wanted.length === 0);
    set_text(by_id("wanted-count"), wanted.length ? count(wanted.length) : "");
    show(by_id("unwanted-section"), this.#lasting(unwanted));
    set_text(by_id("unwanted-count"), count(unwanted.length));

    // The tiles count what the lists below show: a request of the front stands for what it asks of its service.
    this.#tile("tile-wanted", count(wanted.length), false);
    this.#tile("tile-unwanted", count(unwanted.length), totals.ignored > 0);
    if (totals.cpu_s_unwanted < this.cpu_before) this.cpu_before = 0; // a service was started again
    this.#tile("tile-cpu", cpu_seconds((totals.cpu_s_unwanted - this.cpu_before) * 1000), totals.ignored > 0);
    document.title = totals.ignored > 0 ? `(${count(totals.ignored)} for nobody) curfew dashboard` : "curfew dashboard";

    this.#draw_counters(services, totals);
    this.#draw_ended(services);
  }

  /** From now on the tile counts from nought. */
  reset_cpu() {
    this.cpu_before = this.latest?.totals?.cpu_s_unwanted ?? 0;
    if (this.latest) this.#draw_soon();
  }

  #tile(id, text, alarm) {
    const tile = by_id(id);
    tile.classList.toggle("alarm", alarm);
    set_text(tile.lastElementChild, text);
  }

  #draw_counters(services, totals) {
    const names = services.map((service) => String(service.service));
    const shape = names.join("\n");
    const [head, body] = by_id("counters").children;
    if (this.shape !== shape) {
      this.shape = shape;
      head.replaceChildren(
        el(
          "tr",
          {},
          el("td"),
          names.map((name) => el("th", { scope: "col" }, foreign(name))),
          el("th", { scope: "col" }, "all"),
        ),
      );
      body.replaceChildren(
        ...counters.map(([key, title]) =>
          el(
            "tr",
            { "data-counter": key },
            el("th", { scope: "row" }, title),
            [...names, null].map(() => el("td", { class: "n" })),
          ),
        ),
      );
    }
    const columns = [...services.map((service) => service.counters), totals];
    for (const [row, [key, , format]] of counters.entries()) {
      columns.forEach((column, i) => set_text(body.rows[row].cells[i + 1], format(column?.[key])));
    }
    const errors = services.filter((service) => service.error);
    by_id("service-errors").replaceChildren(
      ...errors.map((service) => el("li", { class: "message" }, visible(String(service.error)))),
    );
  }

  /** The last that ended before their answer, and how long their work went on after that. */
  #draw_ended(services) {
    const ended = services
      .flatMap((service) => service.recent ?? [])
      .filter((request) => request.state !== "answered")
      .sort((a, b) => b.home_ns - a.home_ns)
      .slice(0, most_ended);
    const list = by_id("ended");
    const rows = new Map();
    for (const request of ended) rows.set(request.id, this.ended.get(request.id) ?? ended_row(request));
    this.ended = rows;
    arrange(list, [...rows.values()]);
    show(by_id("ended-empty"), ended.length === 0);
  }

  /** Called as time passes. */
  tick() {
    if (by_id("truth").classList.contains("stale")) return; // what is not known does not age
    const passed = performance.now() - this.received;
    this.wanted.tick(passed);
    this.unwanted.tick(passed);
  }
}

/** The rows of a list of requests, kept from event to event by the requests' ids. */
class request_list {
  constructor(list, more, most = most_roots) {
    this.list = list;
    this.more = more;
    this.most = most;
    this.rows = new Map();
  }

  draw(requests) {
    const rows = new Map();
    for (const request of requests.slice(0, this.most)) {
      const row = this.rows.get(request.id) ?? new request_row(request);
      row.draw(request);
      rows.set(request.id, row);
    }
    this.rows = rows;
    arrange(
      this.list,
      [...rows.values()].map((row) => row.element),
    );
    const left_out = requests.length - rows.size;
    show(this.more, left_out > 0);
    set_text(this.more, left_out > 0 ? `and ${count(left_out)} more` : "");
  }

  tick(passed) {
    for (const row of this.rows.values()) row.tick(passed);
  }
}

class request_row {
  constructor({ id, service, target, where }) {
    const name = request_name({ service, id });
    this.age = el("span", { class: "age" });
    this.bar = new progress_bar(`Budget left of ${visible(name)}`, "meter");
    this.left = el("span", { class: "left" });
    this.state = el("span", { class: "state" });
    this.cpu = el("span", { class: "cpu" });
    const children = el("ul");
    const more = el("p", { class: "more", hidden: true });
    this.children = new request_list(children, more, most_children);
    this.place = this.#make_place(name, id, service, where);
    this.element = el(
      "li",
      { class: "request", "data-id": id, "data-service": service },
      el(
        "div",
        { class: "card" },
        el(
          "span",
          { class: "who" },
          foreign(name, { class: "id", title: visible(String(id)) }),
          foreign(decoded(target), { class: "target", title: visible(String(target)) }),
        ),
        this.state,
        el("span", { class: "budget" }, this.bar.element, this.left),
        el("span", { class: "spent" }, this.cpu, this.age),
        this.place,
      ),
      children,
      more,
    );
  }

  /** The line that opened the work, and on request what its threads are at. */
  #make_place(name, id, service, where) {
    if (!where) return null;
    const line = foreign(place(where), { title: visible(`${where.file}:${where.line}`) });
    // The front has no threads for its requests.
    const stack = service === "front" ? null : new stack_view(name, id, service, where);
    this.opened = el("span");
    return el("div", { class: "place", hidden: true }, this.opened, line, stack?.button, stack?.element);
  }

  draw(request) {
    this.request = request;
    this.element.dataset.state = request.state;
    const dead = request.state !== "running";
    set_text(this.state, dead ? `${request.state}, still working` : "running");
    const cpu_ms = dead ? request.cpu_ms_unwanted : request.cpu_ms;
    set_text(this.cpu, `${cpu_seconds(cpu_ms)} ${dead ? "CPU for nobody" : "CPU"}`);
    show(this.cpu, cpu_ms >= least_cpu_ms);
    if (this.place) {
      show(this.place, dead);
      show(this.age, !dead);
    }
    this.children.draw(request.children ?? []);
  }

  tick(passed) {
    const { age_ms, remaining_ms, budget_ms, state, unwanted_ms } = this.request;
    set_text(this.age, `${ticking(age_ms + passed)} old`);
    if (this.opened) set_text(this.opened, `opened ${ticking(age_ms + passed)} ago at`);
    if (state !== "running") {
      // Its budget says nothing any more: it does not obey it.
      show(this.bar.element, false);
      set_text(this.left, unwanted_ms === null ? "nobody waits" : `nobody has waited for ${ticking(unwanted_ms + passed)}`);
    } else if (typeof remaining_ms === "number" && budget_ms > 0) {
      const remaining = remaining_ms - passed;
      const text = remaining > 0 ? `${ticking(remaining)} left` : `${ticking(-remaining)} over`;
      this.bar.set(Math.max(remaining, 0) / budget_ms, text);
      set_text(this.left, text);
    } else {
      show(this.bar.element, false);
      set_text(this.left, "no deadline");
    }
    this.children.tick(passed);
  }
}

function ended_row({ id, service, state, ended_ns, home_ns, cpu_ms_unwanted }) {
  const after_ms = (home_ns - ended_ns) / 1e6;
  const long = after_ms > 100;
  const went_on = long ? `worked on for ${duration(after_ms)}` : `work stopped ${duration(after_ms)} later`;
  return el(
    "li",
    { "data-id": id, class: long ? "late" : null },
    foreign(request_name({ service, id }), { class: "id", title: visible(String(id)) }),
    el("span", {}, state),
    el("span", { class: "after", title: `${duration(cpu_ms_unwanted)} of CPU for nobody` }, went_on),
  );
}

function decoded(target) {
  try {
    return decodeURIComponent(String(target).replaceAll("+", " "));
  } catch {
    return String(target);
  }
}

/** Makes `nodes` the children of `list`, moving only what is not in its place. */
function arrange(list, nodes) {
  const kept = new Set(nodes);
  for (const child of [...list.children]) if (!kept.has(child)) child.remove();
  nodes.forEach((node, i) => {
    if (list.children[i] !== node) list.insertBefore(node, list.children[i] ?? null);
  });
}
