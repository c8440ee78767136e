// The processes whose tasks the page shows: the console's own first, then its peers.

import { spelled } from "./text.js";

/** The own process's CLOCK_MONOTONIC now, in milliseconds, by what it said last. */
export const its_clock = {
  offset_ms: 0,
  heard(now_ns) {
    this.offset_ms = now_ns / 1e6 - performance.now();
  },
  now_ms() {
    return performance.now() + this.offset_ms;
  },
};

async function get(path) {
  const response = await fetch(path, { cache: "no-store" });
  const got = await response.json();
  if (!response.ok) throw Object.assign(new Error(got.error), { status: response.status });
  return got;
}

class process {
  constructor(name) {
    this.name = name; // empty: the own one
    this.base = name ? `peers/${name}/` : "";
    this.title = name;
    this.shift_ns = name ? Infinity : 0; // from its clock to that of the own process
    this.look = null; // the latest
    this.state = "connecting";
    this.problem = null;
  }

  async read(path) {
    return this.take(await get(this.base + path));
  }

  /** Its times become those of the own process; each task knows where it is from, and when it was seen. */
  take(got) {
    // What takes longest on its way shows most: the shortest way is nearest to the truth.
    if (this.name) this.shift_ns = Math.min(this.shift_ns, its_clock.now_ms() * 1e6 - got.now_ns);
    got.now_ns += this.shift_ns;
    const move = (task) => {
      task.process = this;
      task.seen_ms = got.now_ns / 1e6;
      task.opened_ns += this.shift_ns;
      if (task.ended_ns) task.ended_ns += this.shift_ns;
      if (task.told) task.told.at_ns += this.shift_ns;
    };
    for (const list of ["tasks", "above", "below", "zombies", "ended"]) got[list]?.forEach(move);
    if (got.task) move(got.task);
    got.samples?.forEach((sample) => (sample.at_ns += this.shift_ns));
    return got;
  }
}

export const own = new process("");
export const processes = [own];

export async function meet() {
  const about = await get("about");
  its_clock.heard(about.now_ns);
  own.title = spelled(about.program);
  processes.push(...about.peers.map(({ name }) => new process(name)));
  return about;
}

export const several = () => processes.length > 1;
export const process_of = (name) => processes.find((each) => each.name === (name ?? "")) ?? own;

/** What each process answers, as far as it does; the own one has to. */
export async function read_all(path) {
  const answers = await Promise.all(processes.map((each) => each.read(path).catch((error) => (each === own ? Promise.reject(error) : null))));
  return answers.filter((got) => got !== null);
}

const plus = (a, b) => {
  if (typeof a === "number") return a + b;
  return Object.fromEntries(Object.entries(a).map(([key, value]) => [key, plus(value, b[key])]));
};

/** Of all processes together. One that is away counts as it was. */
export const all_totals = () => processes.filter(({ look }) => look).map(({ look }) => look.totals).reduce(plus);

/** The histories as one; before its first sample a process counts as in that. */
export function all_histories(histories) {
  const lists = histories.map(({ samples }) => samples).filter((samples) => samples.length > 0);
  if (lists.length === 0) return [];
  const longest = lists.reduce((a, b) => (b.length > a.length ? b : a));
  return longest.map(({ at_ns }, i) => {
    const back = longest.length - i;
    const then = lists.map((samples) => samples[Math.max(samples.length - back, 0)]).map(({ at_ns: _, ...counts }) => counts);
    return { at_ns, ...then.reduce(plus) };
  });
}
