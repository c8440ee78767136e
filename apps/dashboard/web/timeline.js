// Draws the timeline: timeline_model says what, this says where.
//
// Bars are buttons, a finger wide where fingers are used; the keyboard reaches them as one stop, with the arrow keys
// inside. An element is kept as long as its bar is in view, and nothing is written while nothing moves.

import { el, foreign, set_text, show } from "./dom.js";
import { count, cpu_seconds, request_name, ticking, visible } from "./format.js";

const thinnest_px = 3;
const symbols = { refresh: "↻", cancel: "✕" };
const band_names = { obeyed: "contexts obeyed", ignored: "contexts ignored" };

export class timeline {
  /** `element` gets the drawing, `detail` a sentence about the bar that is selected. */
  constructor(model, element, detail) {
    this.model = model;
    this.detail = detail;
    this.hint = detail.textContent;
    this.lanes = new Map(); // by service: { element, list, more }
    this.buttons = new Map(); // by the bar's key
    this.layers = { bands: el("div", { class: "bands" }), marks: el("div", { class: "marks", "aria-hidden": "true" }) };
    this.list = el("div", { class: "lanes" });
    this.element = element;
    this.element.replaceChildren(this.layers.bands, this.layers.marks, this.list);
    this.selected = null; // the key
    this.element.addEventListener("keydown", (event) => this.#move(event));
    this.element.addEventListener("focusin", (event) => this.#select(event.target.closest(".slot")?.dataset.key));
    this.element.addEventListener("click", (event) => this.#select(event.target.closest(".slot")?.dataset.key));
    new ResizeObserver(() => this.#measure()).observe(this.layers.marks);
    this.#measure();
  }

  #measure() {
    this.width = this.layers.marks.clientWidth;
    this.hit_px = parseFloat(getComputedStyle(this.element).getPropertyValue("--hit")) || 24;
    this.drawn_until = undefined;
    this.draw(performance.now());
  }

  /** Something has happened: an event, a click. */
  changed() {
    this.drawn_until = undefined;
  }

  /** Called as time passes. */
  draw(now) {
    if (this.width === 0) return;
    const least_ms = (this.hit_px / this.width) * (this.span ?? 20_000);
    const view = this.model.view(now, least_ms);
    if (view.until === this.drawn_until) return;
    this.drawn_until = view.until;
    this.span = view.to - view.from;
    const px = (time) => ((Math.min(Math.max(time, view.from), view.to) - view.from) / this.span) * this.width;
    this.element.style.setProperty("--five-seconds", `${(5000 / this.span) * this.width}px`);

    this.#draw_lanes(view, px);
    repeat(this.layers.marks, view.marks, make_mark, (node, mark) => {
      node.dataset.kind = mark.kind;
      set_text(node.firstElementChild, symbols[mark.kind]);
      node.style.translate = `${px(mark.at).toFixed(1)}px`;
    });
    repeat(this.layers.bands, view.bands, make_band, (node, band) => {
      node.dataset.kind = band.kind;
      set_text(node.firstElementChild, band_names[band.kind]);
      node.style.translate = `${px(band.from).toFixed(1)}px`;
      node.style.width = `${(px(band.to) - px(band.from)).toFixed(1)}px`;
    });
    this.#tell();
  }

  #draw_lanes(view, px) {
    const names = view.lanes.map((lane) => lane.service);
    if (names.join("\n") !== [...this.lanes.keys()].join("\n")) this.#make_lanes(names);
    const kept = new Set();
    for (const lane of view.lanes) {
      const { element, list, more } = this.lanes.get(lane.service);
      element.style.setProperty("--rows", lane.rows);
      show(more, lane.left_out > 0);
      set_text(more, lane.left_out > 0 ? `and ${count(lane.left_out)} more` : "");
      for (const bar of lane.bars) {
        kept.add(bar.key);
        let button = this.buttons.get(bar.key);
        if (!button) this.buttons.set(bar.key, (button = new bar_button(bar)));
        if (button.element.parentElement !== list) list.append(button.element);
        button.draw(bar, px, view.until, this.width, this.hit_px, this.model.click_of(bar));
      }
    }
    for (const [key, button] of this.buttons) {
      if (kept.has(key)) continue;
      if (button.element.contains(document.activeElement)) this.refocus = true;
      button.element.remove();
      this.buttons.delete(key);
      if (this.selected === key) this.selected = null;
    }
    this.#keep_one_stop();
  }

  #make_lanes(names) {
    this.buttons.clear();
    this.lanes = new Map(
      names.map((service) => {
        const list = el("div", { class: "bars", role: "group", "aria-label": `Requests of ${visible(service)}` });
        const more = el("p", { class: "more", hidden: true });
        const name = el("div", { class: "lane-name" }, foreign(service), more);
        return [service, { element: el("div", { class: "lane", "data-service": service }, name, list), list, more }];
      }),
    );
    this.list.replaceChildren(...[...this.lanes.values()].map((lane) => lane.element));
  }

  /** One bar is in the order of the tab key: the selected one, else the newest. */
  #keep_one_stop() {
    const newest = [...this.buttons.values()].reduce((a, b) => (a && a.bar.start > b.bar.start ? a : b), null);
    const stop = this.buttons.get(this.selected) ?? newest;
    for (const button of this.buttons.values()) button.element.tabIndex = button === stop ? 0 : -1;
    if (this.refocus && stop) stop.element.focus({ preventScroll: true });
    this.refocus = false;
  }

  #select(key) {
    if (key === undefined || key === this.selected) return;
    this.selected = key;
    for (const [each, button] of this.buttons) button.element.classList.toggle("selected", each === key);
    this.#keep_one_stop();
    this.#tell();
  }

  #move(event) {
    const from = this.buttons.get(event.target.closest(".slot")?.dataset.key);
    if (!from || event.ctrlKey || event.metaKey || event.altKey) return;
    const of_lane = (service) =>
      [...this.buttons.values()].filter(({ bar }) => bar.service === service).sort((a, b) => a.bar.start - b.bar.start);
    const lane = of_lane(from.bar.service);
    const services = [...this.lanes.keys()].filter((service) => of_lane(service).length > 0);
    const beside = (step) => of_lane(services[services.indexOf(from.bar.service) + step]);
    const nearest = (bars) =>
      bars.reduce((a, b) => {
        const distance = ({ bar }) => Math.abs(bar.start - from.bar.start);
        return a && distance(a) <= distance(b) ? a : b;
      }, undefined);
    const to = {
      ArrowRight: () => lane[lane.indexOf(from) + 1],
      ArrowLeft: () => lane[lane.indexOf(from) - 1],
      ArrowDown: () => nearest(beside(1)),
      ArrowUp: () => nearest(beside(-1)),
      Home: () => lane[0],
      End: () => lane.at(-1),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    to()?.element.focus();
  }

  #tell() {
    const button = this.buttons.get(this.selected);
    set_text(this.detail, button ? sentence(button.bar, this.drawn_until, this.model.click_of(button.bar)) : this.hint);
  }
}

class bar_button {
  constructor(bar) {
    this.wanted = el("span", { class: "wanted" });
    this.unwanted = el("span", { class: "unwanted" });
    this.element = el("button", { class: "slot", type: "button", "data-key": bar.key }, this.wanted, this.unwanted);
  }

  draw(bar, px, until, width, hit_px, click) {
    this.bar = bar;
    const left = px(bar.start);
    const right = Math.max(px(bar.home ?? until), left + thinnest_px);
    const turned = bar.state === "answered" || bar.end === null ? right : Math.min(Math.max(px(bar.end), left), right);
    const slot = Math.max(right - left, hit_px);
    const slot_left = Math.max(0, Math.min(left, width - slot));
    const set = (node, property, value) => {
      const text = `${value.toFixed(1)}px`;
      if (node.style[property] !== text) node.style[property] = text;
    };
    set(this.element, "left", slot_left);
    set(this.element, "width", slot);
    this.element.style.setProperty("--row-of", bar.row);
    set(this.wanted, "left", left - slot_left);
    set(this.wanted, "width", Math.max(turned - left, 0));
    set(this.unwanted, "left", turned - slot_left);
    set(this.unwanted, "width", right - turned);
    const doing = state_of(bar);
    if (this.element.dataset.state === doing) return;
    this.element.dataset.state = doing;
    this.element.setAttribute("aria-label", sentence(bar, until, click));
  }
}

/** working, unwanted (and working), answered, stopped. */
function state_of(bar) {
  if (bar.home === null) return bar.end === null ? "working" : "unwanted";
  return bar.state === "answered" ? "answered" : "stopped";
}

/** What there is to say about a bar. */
function sentence(bar, until, click) {
  const name = visible(request_name(bar));
  const who = click > 0 ? `${name}, of Refresh ${count(click)}` : name;
  const cpu = cpu_seconds(bar.cpu_ms);
  const wasted = cpu_seconds(bar.cpu_ms_unwanted);
  const lasted = (to) => ticking(Math.max(0, to - bar.start));
  switch (state_of(bar)) {
    case "working":
      return `${who}: at work for ${lasted(until)}, and somebody waits.`;
    case "unwanted":
      return `${who}: ${bar.state} after ${lasted(bar.end)}. Nobody waits any more, and it goes on: ${wasted} of CPU for nobody so far.`;
    case "answered":
      return `${who}: answered after ${lasted(bar.end)}, ${cpu} of CPU.`;
    default: {
      const after = Math.max(0, bar.home - bar.end);
      return `${who}: ${bar.state} after ${lasted(bar.end)}. Its work stopped ${
        after < 1000 ? `${count(after)} ms` : ticking(after)
      } later: ${wasted} of CPU for nobody.`;
    }
  }
}

const make_mark = () => el("div", { class: "mark" }, el("span", {}));
const make_band = () => el("div", { class: "band" }, el("span", {}));

/** Makes the children of `parent` as many as `items`, and draws each. */
function repeat(parent, items, make, draw) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(make());
  items.forEach((item, i) => draw(parent.children[i], item));
}
