// Four small graphs of the last ten minutes.

import { count, decimal, duration, el, set_text } from "./text.js";

const most_ms = 600_000;
const least_ms = 60_000;
const ns = "http://www.w3.org/2000/svg";

const per_second = (a, b, of) => (Math.max(of(b) - of(a), 0) * 1e9) / (b.at_ns - a.at_ns);
const rate = (of) => (a, b) => per_second(a, b, of);

const kinds = [
  { name: "Opened a second", lines: [{ colour: "accent", of: rate((s) => s.opened) }], text: (v) => decimal(v, v < 10 ? 1 : 0) },
  {
    name: "Ended a second",
    lines: [
      { colour: "good", label: "by itself", of: rate((s) => s.ended.living) },
      { colour: "accent", label: "canceled", of: rate((s) => s.ended.canceled) },
      { colour: "warn", label: "deadline", of: rate((s) => s.ended.deadline_exceeded) },
    ],
    text: (v) => decimal(v, v < 10 ? 1 : 0),
  },
  { name: "Zombies", lines: [{ colour: "dead", of: (a, b) => b.zombies }], text: count },
  {
    name: "CPU for nobody, of a core",
    lines: [{ colour: "dead", of: rate((s) => s.cpu_for_nobody_ms / 10) }],
    text: (v) => `${decimal(v, v < 10 ? 1 : 0)} %`,
  },
];

class graph {
  constructor(kind) {
    this.kind = kind;
    this.now = el("strong", {}, "–");
    this.top = el("span", {}, "");
    this.width = el("span", {}, "");
    this.svg = document.createElementNS(ns, "svg");
    this.svg.setAttribute("viewBox", "0 0 600 100");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    this.paths = kind.lines.map(({ colour }) => {
      const make = (name) => {
        const path = document.createElementNS(ns, "path");
        path.setAttribute("class", `${name} of-${colour}`);
        this.svg.append(path);
        return path;
      };
      return { area: kind.lines.length === 1 ? make("area") : null, line: make("line") };
    });
    const keys = kind.lines.filter(({ label }) => label).map(({ colour, label }) => el("span", { class: `key of-${colour}` }, label));
    const scale = el("p", { class: "scale" }, this.top, keys.length ? el("span", { class: "keys" }, keys) : this.width);
    this.element = el("figure", { class: "graph" }, el("figcaption", {}, kind.name, this.now), this.svg, scale);
    this.element.style.margin = 0;
  }

  draw(samples) {
    const last = samples.at(-1);
    const points = this.kind.lines.map(({ of }) => samples.slice(1).map((s, i) => [s.at_ns, of(samples[i], s)]));
    const top = Math.max(...points.flat().map(([, value]) => value), 0);
    const scale = top > 0 ? 96 / top : 0;
    const there = (last.at_ns - samples[0].at_ns) / 1e6;
    const width_ms = Math.min(Math.max(there, least_ms), most_ms);
    const x = (at) => 600 - ((last.at_ns - at) / 1e6 / width_ms) * 600;
    points.forEach((line, i) => {
      const d = line.map(([at, v], n) => `${n === 0 ? "M" : "L"}${x(at).toFixed(1)} ${(100 - v * scale).toFixed(1)}`).join("");
      this.paths[i].line.setAttribute("d", d);
      if (this.paths[i].area && line.length) this.paths[i].area.setAttribute("d", `${d}L600 100L${x(line[0][0]).toFixed(1)} 100Z`);
    });
    const now = points.map((line) => line.at(-1)?.[1] ?? 0);
    const text = this.kind.text(now.reduce((a, b) => a + b, 0));
    set_text(this.now, text);
    set_text(this.top, `up to ${this.kind.text(top)}`);
    this.svg.setAttribute("aria-label", `${this.kind.name}: now ${text}, up to ${this.kind.text(top)} in the last ${duration(there)}`);
    set_text(this.width, duration(width_ms).replace(" 00 s", ""));
  }
}

export class graphs {
  constructor(parent) {
    this.all = kinds.map((kind) => new graph(kind));
    parent.append(...this.all.map(({ element }) => element));
    this.samples = [];
  }

  begin(samples) {
    this.samples = samples;
    this.draw();
  }

  /** At most one a second is kept. */
  add(now_ns, totals) {
    const last = this.samples.at(-1);
    if (last && now_ns - last.at_ns < 1e9) return;
    this.samples.push({ at_ns: now_ns, ...totals });
    while (this.samples.length > 2 && now_ns - this.samples[0].at_ns > most_ms * 1e6) this.samples.shift();
    this.draw();
  }

  draw() {
    if (this.samples.length < 2) return;
    for (const each of this.all) each.draw(this.samples);
  }
}
