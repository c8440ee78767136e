// What the timeline shows: a bar for each request of each service, marks for the clicks, bands for the time in which
// the services ignore the context. Pure: no DOM, no clock; all times are milliseconds of the page's clock.
//
// The events carry times of the machine's monotonic clock. The smallest distance seen between an event's time and its
// arrival translates them: an event that arrives late does not move the bars.

const shortest_span_ms = 20_000;
const longest_span_ms = 60_000;
const lead_ms = 1000; // room before the first bar and after the last
const rest_ms = 3000; // after so long with nothing at work, the next click begins a new picture
const settling_ms = 250; // a bar gets its row after that, when the one before it in the row has had time to end
const slack_ms = 50; // the two clocks agree as well as the fastest event allows
const most_bars = 300;
const most_marks = 100;

export const most_rows = 6; // of a service; further bars are counted, not drawn

export class timeline_model {
  constructor() {
    this.bars = new Map(); // by key, oldest first
    this.marks = [];
    this.bands = []; // { kind: "obeyed" or "ignored", from, to: null while it lasts }
    this.services = [];
    this.offset = Infinity;
    this.began = undefined; // of the picture: the first thing that happened after a rest
    this.last = -Infinity; // when something was at work for the last time
  }

  /** Takes an event of /api/requests/events that arrived at `now`. */
  take(event, now) {
    const machine_now = event.front?.now_ns;
    if (typeof machine_now === "number") {
      const offset = now - machine_now / 1e6;
      // A leap is another machine, or one that has slept.
      if (offset < this.offset || offset > this.offset + 60_000) this.offset = offset;
    }
    const left = this.services;
    this.services = event.services.map((service) => String(service.service));
    for (const snapshot of event.services) this.#take_snapshot(snapshot, now);
    for (const service of left) if (!this.services.includes(service)) this.#take_snapshot({ service }, now);
    this.#take_switch(event.ignoring === true, now);
    this.#forget(now);
  }

  #take_snapshot({ service, requests = [], recent = [] }, now) {
    const seen = new Set();
    for (const request of [...recent, ...requests]) {
      const start = this.#time(request.started_ns);
      if (start === null) continue;
      const key = `${service} ${request.id}`;
      const home = this.#time(request.home_ns);
      seen.add(key);
      if (home !== null && home < now - longest_span_ms) continue;
      const known = this.bars.get(key);
      const bar = known ?? { key, service: String(service), id: String(request.id), row: null };
      if (!known) this.bars.set(key, bar);
      bar.start = start;
      bar.end = this.#time(request.ended_ns);
      bar.home = home;
      bar.state = String(request.state);
      bar.cpu_ms = request.cpu_ms;
      bar.cpu_ms_unwanted = request.cpu_ms_unwanted;
      if (!known && (this.began === undefined || start > this.last + rest_ms)) this.began = start;
      this.last = Math.max(this.last, home ?? now);
    }
    // A request that is listed no more is over, though how was not heard.
    for (const bar of this.bars.values()) {
      if (bar.service !== service || bar.home !== null || seen.has(bar.key)) continue;
      bar.home = now;
      bar.end ??= now;
      if (bar.state === "running") bar.state = "over";
    }
  }

  #take_switch(on, now) {
    if (on) this.begin_band("ignored", now);
    else this.end_band("ignored", now);
  }

  #open_band(kind) {
    return this.bands.find((band) => band.kind === kind && band.to === null);
  }

  begin_band(kind, now) {
    if (!this.#open_band(kind)) this.bands.push({ kind, from: now, to: null });
  }

  end_band(kind, now) {
    const band = this.#open_band(kind);
    if (band) band.to = now;
  }

  /** Begins a new picture: what was before is not drawn. */
  begin(now) {
    this.began = now;
    this.last = now;
  }

  #time(machine_ns) {
    return typeof machine_ns === "number" && this.offset !== Infinity ? machine_ns / 1e6 + this.offset : null;
  }

  #forget(now) {
    const old = now - 2 * longest_span_ms;
    for (const bar of [...this.bars.values()]) {
      const over = bar.home !== null && bar.home < old;
      if (over || this.bars.size > most_bars) this.bars.delete(bar.key);
    }
    this.marks = this.marks.filter((mark) => mark.at > old).slice(-most_marks);
    this.bands = this.bands.filter((band) => band.to === null || band.to > old);
  }

  /** A click: `kind` is "refresh" or "cancel". */
  mark(kind, now) {
    this.marks.push({ kind, at: now });
    if (this.began === undefined || now > this.last + rest_ms) this.began = now;
    this.last = Math.max(this.last, now);
  }

  /** The services' work that goes on. */
  get busy() {
    for (const bar of this.bars.values()) if (bar.home === null) return true;
    return false;
  }

  /**
   * What to draw: the times `from` and `to` of the edges, the `lanes` with their bars, the marks and bands between
   * the edges. Time stands still while nothing is at work. Bars of a row do not overlap, and take `least_ms` of
   * it at least; a bar keeps its row as long as it has room there.
   */
  view(now, least_ms = 0) {
    const until = this.busy ? now : Math.min(now, this.last + lead_ms);
    const begun = (this.began ?? now) - lead_ms;
    // The newest bar has room for its least: were it moved to the left for that, it would lie upon the one before.
    const newest = [...this.bars.values()].reduce((latest, bar) => Math.max(latest, bar.start), -Infinity);
    const last = Math.max(until, newest + least_ms);
    const span = Math.min(Math.max(last - begun, shortest_span_ms), longest_span_ms);
    const from = Math.max(begun, last - span);
    const to = from + span;
    const lanes = this.services.map((service) => this.#lane(service, from, to, now, least_ms));
    return {
      from,
      to,
      until,
      lanes,
      marks: this.marks.filter((mark) => mark.at >= Math.max(from, this.began - slack_ms) && mark.at <= to),
      bands: this.bands
        .map((band) => ({ kind: band.kind, from: Math.max(band.from, from), to: Math.min(band.to ?? until, to) }))
        .filter((band) => band.to > band.from),
    };
  }

  #lane(service, from, to, now, least_ms) {
    const occupied = new Array(most_rows).fill(-Infinity);
    const takes_until = (bar) => Math.max(bar.home ?? Infinity, bar.start + least_ms);
    const inside = [...this.bars.values()]
      .filter((bar) => bar.service === service && bar.start <= to && (bar.home ?? now) >= Math.max(from, this.began))
      .sort((a, b) => a.start - b.start);
    const has_room = (bar) => (until) => until <= bar.start + settling_ms;
    for (const bar of inside) {
      if (bar.row === null) continue;
      // The least grows with the picture: the bar before it in its row may need its place now.
      if (!has_room(bar)(occupied[bar.row])) bar.row = null;
      else occupied[bar.row] = takes_until(bar);
    }
    for (const bar of inside) {
      if (bar.row !== null || now - bar.start < settling_ms) continue;
      const free = occupied.findIndex(has_room(bar));
      if (free < 0) continue;
      bar.row = free;
      occupied[free] = takes_until(bar);
    }
    const bars = inside.filter((bar) => bar.row !== null);
    return {
      service,
      bars,
      rows: 1 + bars.reduce((most, bar) => Math.max(most, bar.row), 0),
      left_out: inside.filter((bar) => bar.row === null && now - bar.start >= settling_ms).length,
    };
  }

  /** Which Refresh of the picture asked for a bar: 1 is the first, 0 none. */
  click_of(bar) {
    const clicks = this.marks.filter((mark) => mark.kind === "refresh" && mark.at >= this.began - slack_ms);
    return clicks.filter((mark) => mark.at <= bar.start + slack_ms).length;
  }
}
