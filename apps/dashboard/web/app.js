// The page: its controls, its keys, its clock. The timeline, the panels and the view of requests do the rest.

import { by_id, el, set_text, show } from "./dom.js";
import { count, cpu_seconds, duration, parse_budget } from "./format.js";
import { panel } from "./panels.js";
import { requests_view } from "./requests.js";
import { ShowError, show_me } from "./show_me.js";
import { timeline } from "./timeline.js";
import { timeline_model } from "./timeline_model.js";

const [controls, budget_field, switch_button, show_button] = ["controls", "budget", "ignore", "show"].map(by_id);
const reduced_motion = matchMedia("(prefers-reduced-motion: reduce)");

let panels = [];
let limits = { default_budget_ms: 60_000, min_budget_ms: 100, max_budget_ms: 600_000 };
let ignoring = false;
let switching = false;
let switched = { on: false, at: -Infinity };
const on_its_way_ms = 1000; // how long after a switch an event may still tell of the time before it

/** Tells screen readers; what comes at the same time is said together. */
function announce(text) {
  announce.waiting = announce.waiting ? `${announce.waiting} ${text}` : text;
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => {
    by_id("announcer").textContent = announce.waiting;
    announce.waiting = "";
  }, 150);
}

/** The budget in ms, or null with the problem shown at the field. */
function budget() {
  const { ms, problem } = parse_budget(budget_field.value, limits.min_budget_ms, limits.max_budget_ms);
  set_text(by_id("budget-problem"), problem ?? "");
  if (problem) budget_field.setAttribute("aria-invalid", "true");
  else budget_field.removeAttribute("aria-invalid");
  return problem ? null : ms;
}

const model = new timeline_model();
const drawing = new timeline(model, by_id("timeline"), by_id("detail"));

function mark(kind) {
  model.mark(kind, performance.now());
  drawing.changed();
}

function refresh_all(budget_ms) {
  const running = panels.filter((panel) => panel.state === "running").length;
  mark("refresh");
  for (const panel of panels) panel.refresh(budget_ms);
  return running;
}

function cancel_all() {
  const ended = panels.filter((panel) => panel.cancel()).length;
  if (ended > 0) mark("cancel");
  return ended;
}

function refresh() {
  const budget_ms = budget();
  if (budget_ms === null) {
    budget_field.focus();
    return;
  }
  stop_show();
  const running = refresh_all(budget_ms);
  announce(running ? `Refreshing; ${count(running)} requests of before were ended.` : "Refreshing.");
}

function cancel() {
  const ended = stop_show() || cancel_all();
  announce(ended ? `${count(Number(ended))} requests canceled.` : "Nothing to cancel.");
}

/** Says whether all services have done it. */
async function set_ignoring(on) {
  switching = true;
  show_ignoring(on);
  set_text(by_id("ignore-problem"), "");
  try {
    const response = await fetch("/api/ignore", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ on }),
      keepalive: true, // it goes out though the page is being left
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(String(answer.error));
    const failed = (answer.services ?? []).filter((service) => service.error).map((service) => service.service);
    if (failed.length) set_text(by_id("ignore-problem"), `Not switched: ${failed.join(", ")}.`);
    show_ignoring(answer.ignoring === true);
    switched = { on: answer.ignoring === true, at: performance.now() };
    setTimeout(() => follow(view.latest?.ignoring === true), on_its_way_ms);
    announce(answer.ignoring ? "The services ignore the context." : "The services obey the context.");
    return failed.length === 0;
  } catch (error) {
    show_ignoring(!on);
    const why = error instanceof TypeError ? "the dashboard does not answer" : error.message;
    set_text(by_id("ignore-problem"), `Not switched: ${why}.`);
    return false;
  } finally {
    switching = false;
  }
}

function show_ignoring(on) {
  switch_button.disabled = false;
  switch_button.setAttribute("aria-checked", String(on));
  ignoring = on;
  show_verdict();
}

/** The truth is the services', whichever page has switched them. */
function follow(on) {
  const outdated = on !== switched.on && performance.now() - switched.at < on_its_way_ms;
  if (!switching && !outdated) show_ignoring(on);
}

const view = new requests_view({
  on_event: (event) => {
    follow(event.ignoring === true);
    model.take(event, performance.now());
    drawing.changed();
    player.take(event);
  },
});

// The sentence above the timeline.

const sentences = {
  idle: ["Press ", strong("Show me"), ": the same three refreshes, once with curfew and once without."],
  by_hand: [bad("The contexts are ignored."), " Refresh a few times: the old work goes on, for nobody."],
  settling: ["First, everything comes to rest."],
  obeyed: [good("With curfew."), " Each Refresh ends the work of the one before, and Cancel ends the last."],
  ignored: [bad("Without."), " The same clicks with the contexts ignored: the old work goes on, for nobody."],
  burning: [bad("Without."), " Everything is canceled. Nobody waits, and the CPU burns on."],
};
let act = "idle"; // a key of sentences, or "finished"
let outcome = []; // the sentence of "finished"

function strong(text) {
  return el("strong", {}, text);
}
function good(text) {
  return el("strong", { class: "good" }, text);
}
function bad(text) {
  return el("strong", { class: "bad" }, text);
}

function show_verdict() {
  const by_hand = ignoring && !player.playing;
  const now = by_hand ? "by_hand" : act;
  const stage = by_id("stage");
  if (stage.dataset.act === now && stage.dataset.said) return;
  stage.dataset.act = now;
  stage.dataset.said = "yes";
  by_id("verdict").replaceChildren(...(now === "finished" ? outcome : sentences[now]).map((part) => part.cloneNode?.(true) ?? part));
}

function tell(step) {
  act = step;
  delete by_id("stage").dataset.said;
  show_verdict();
}

const player = new show_me({
  refresh: () => refresh_all(limits.default_budget_ms),
  cancel: cancel_all,
  set_ignoring,
  on_step: (step) => {
    const now = performance.now();
    if (step === "obeyed") {
      model.begin(now);
      model.begin_band("obeyed", now);
    } else {
      model.end_band("obeyed", now);
    }
    drawing.changed();
    tell(step);
  },
});

/** The sentence about what the show has cost. */
function verdict({ with_s, without_s, stopped }) {
  const seconds = (s) => (s < 0.01 ? duration(s * 1000) : cpu_seconds(s * 1000));
  const saved = without_s - with_s;
  if (saved < 0.05) {
    return ["Nothing was at work for long enough to show a difference: give the disk panel a larger directory, with --root."];
  }
  return [
    "Three refreshes burnt ",
    bad(`${seconds(without_s)} of CPU`),
    ` for nobody without curfew${stopped > 0 ? ", until they were stopped" : ""}, and `,
    strong(seconds(with_s)),
    " with it: ",
    good(`${seconds(saved)} saved`),
    ".",
  ];
}

async function play() {
  show_button.textContent = "Stop";
  try {
    const costs = await player.play();
    if (!costs) return;
    outcome = verdict(costs);
    tell("finished");
  } catch (error) {
    if (!(error instanceof ShowError)) throw error;
    cancel_all();
    outcome = [bad("The show could not go on"), `: ${error.message}.`];
    tell("finished");
  } finally {
    if (!player.playing) show_button.textContent = "Show me";
  }
}

/** Says whether there was a show to stop. */
function stop_show() {
  if (!player.playing) return false;
  player.stop();
  model.end_band("obeyed", performance.now());
  show_button.textContent = "Show me";
  tell("idle");
  return true;
}

show_button.addEventListener("click", () => {
  if (stop_show()) announce("The show was stopped.");
  else play();
});
by_id("reset").addEventListener("click", () => {
  view.reset_cpu();
  announce("The CPU for nobody is counted from now on.");
});
controls.addEventListener("submit", (event) => {
  event.preventDefault();
  refresh();
});
by_id("cancel").addEventListener("click", cancel);
budget_field.addEventListener("input", budget);
switch_button.addEventListener("click", () => {
  const on = !ignoring;
  stop_show();
  set_ignoring(on);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape") cancel();
  const typing = event.target.closest?.("input, textarea, select") !== null;
  if (event.key.toLowerCase() === "r" && !event.repeat && !typing) {
    event.preventDefault();
    refresh();
  }
});

// A page that is put aside asks for nothing; one that comes back looks again.
addEventListener("pagehide", () => {
  stop_show();
  for (const panel of panels) panel.cancel();
  view.close();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) view.connect();
});

let last_tick = 0;
function tick(now) {
  if (now - last_tick >= (reduced_motion.matches ? 1000 : 100)) {
    last_tick = now;
    for (const panel of panels) panel.tick();
    if (view.latest) view.tick();
    drawing.draw(now);
  }
  requestAnimationFrame(tick);
}

async function start() {
  show_verdict();
  view.connect();
  requestAnimationFrame(tick);
  try {
    const response = await fetch("/api/config", { cache: "no-store" });
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    const config = await response.json();
    limits = { ...limits, ...config };
    budget_field.value = new Intl.NumberFormat(undefined, { useGrouping: false }).format(
      config.default_budget_ms / 1000,
    );
    panels = config.panels.map((each) => new panel(each, { budget, announce, on_refresh: () => mark("refresh") }));
    by_id("panels").replaceChildren(...panels.map((panel) => panel.element));
    show_button.disabled = false;
    refresh_all(budget());
  } catch (error) {
    const why = error instanceof TypeError ? "is the program still running?" : error.message;
    by_id("panels").replaceChildren(
      el(
        "p",
        { class: "message", role: "alert" },
        el("strong", {}, "The dashboard does not answer"),
        ` ${why} Reload the page to try again.`,
      ),
    );
  }
}

start();
