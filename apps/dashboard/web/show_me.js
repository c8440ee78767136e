// "Show me": the page plays what it is about. Three refreshes and a cancel with the contexts obeyed, the same with the
// contexts ignored, and then what both have cost, by the services' own accounts.
//
// Each step waits for the services to say that it has happened, and then long enough to be seen.

const refreshes = 3;
const seen_ms = 1200; // how long a step is shown
const burning_ms = 5000; // how long the work that nobody waits for may go on, until it is stopped
const patience_ms = 60_000; // for a step to happen

/** Why the show could not go on; the message can be shown as it is. */
export class ShowError extends Error {
  name = "ShowError";
}

export class show_me {
  /**
   * `refresh()` and `cancel()` are the page's; `set_ignoring(on)` resolves when the services have been asked;
   * `on_step(step)` hears of "settling", "obeyed", "ignored", "burning" as the show goes on.
   */
  constructor({ refresh, cancel, set_ignoring, on_step }) {
    Object.assign(this, { refresh, cancel, set_ignoring, on_step });
    this.latest = null;
    this.waiting = new Set();
    this.controller = null;
  }

  get playing() {
    return this.controller !== null;
  }

  /** Takes each event of /api/requests/events. */
  take(event) {
    this.latest = event;
    for (const look of [...this.waiting]) look();
  }

  /** Resolves to { with_s, without_s, stopped }, or null if it was stopped. Throws ShowError. */
  async play() {
    const controller = new AbortController();
    this.controller = controller;
    const { signal } = controller;
    try {
      this.on_step("settling");
      this.cancel();
      await this.#switch(false, signal);
      await this.#nothing_works(signal);
      const obeyed = await this.#act("obeyed", signal);
      await this.#pause(seen_ms, signal);
      await this.#switch(true, signal);
      const ignored = await this.#act("ignored", signal);
      return { with_s: obeyed.spent, without_s: ignored.spent, stopped: ignored.stopped };
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    } finally {
      if (!signal.aborted) {
        this.controller = null;
        if (this.latest?.ignoring) await this.set_ignoring(false);
      }
    }
  }

  /** Ends the show where it is: everything is canceled, and the contexts are obeyed again. */
  stop() {
    if (!this.playing) return;
    this.controller.abort();
    this.controller = null;
    this.cancel();
    this.set_ignoring(false);
  }

  /** One half of the show: the CPU seconds spent for nobody, and how many requests had to be stopped. */
  async #act(name, signal) {
    const before = this.#spent();
    this.on_step(name);
    for (let i = 0; i < refreshes; ++i) {
      const started = this.#started();
      this.refresh();
      await this.#until(
        "a service did not get its request",
        () => [...this.#started()].every(([service, number]) => number > (started.get(service) ?? Infinity)),
        signal,
      );
      await this.#pause(seen_ms, signal);
    }
    this.cancel();
    let stopped = 0;
    if (name === "ignored") {
      this.on_step("burning");
      await this.#over_within(burning_ms, signal);
      stopped = this.latest.totals.ignored;
      await this.#switch(false, signal);
    }
    await this.#nothing_works(signal);
    return { spent: Math.max(0, this.#spent() - before), stopped };
  }

  #spent() {
    return this.latest.totals.cpu_s_unwanted;
  }

  #started() {
    return new Map(this.latest.services.map(({ service, counters }) => [service, counters?.started ?? -1]));
  }

  async #switch(on, signal) {
    if (!(await this.set_ignoring(on))) throw new ShowError("the services could not be switched");
    await this.#until("the switch did not reach the services", () => this.latest.ignoring === on, signal);
  }

  #nothing_works(signal) {
    return this.#until(
      "something else keeps the services at work, such as another page",
      () => this.latest.totals.living === 0,
      signal,
    );
  }

  /** Resolves when nothing is at work any more, or after `ms`. */
  async #over_within(ms, signal) {
    try {
      await this.#until("", () => this.latest.totals.living === 0, signal, ms);
    } catch (error) {
      if (!(error instanceof ShowError)) throw error;
    }
  }

  /** Resolves once `holds()` does, which is asked on each event. */
  #until(otherwise, holds, signal, ms = patience_ms) {
    return new Promise((resolve, reject) => {
      const settle = (f, value) => {
        clearTimeout(timer);
        this.waiting.delete(look);
        signal.removeEventListener("abort", abort);
        f(value);
      };
      const look = () => {
        if (this.latest && holds()) settle(resolve);
      };
      const abort = () => settle(reject, signal.reason);
      const timer = setTimeout(() => settle(reject, new ShowError(otherwise)), ms);
      this.waiting.add(look);
      signal.addEventListener("abort", abort);
      if (signal.aborted) abort();
      else look();
    });
  }

  #pause(ms, signal) {
    return this.#until("", () => false, signal, ms).catch((error) => {
      if (!(error instanceof ShowError)) throw error;
    });
  }
}
