// The page: its controls, its keys, its clock. The panels and the view of requests do the rest.

import { by_id, el, set_text, show } from "./dom.js";
import { count, parse_budget } from "./format.js";
import { panel } from "./panels.js";
import { requests_view } from "./requests.js";

const [controls, budget_field, switch_button] = ["controls", "budget", "ignore"].map(by_id);
const reduced_motion = matchMedia("(prefers-reduced-motion: reduce)");

let panels = [];
let limits = { min_budget_ms: 100, max_budget_ms: 600_000 };
let switching = false;
let switched = { on: false, at: -Infinity };
const on_its_way_ms = 1000; // how long after a switch an event may still tell of the time before it

/** Said to those who do not see the page; what comes at the same time is said together. */
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

function refresh() {
  if (budget() === null) {
    budget_field.focus();
    return;
  }
  const running = panels.filter((panel) => panel.state === "running").length;
  for (const panel of panels) panel.refresh();
  announce(running ? `Refreshing; ${count(running)} requests of before were ended.` : "Refreshing.");
}

function cancel() {
  const ended = panels.filter((panel) => panel.cancel()).length;
  announce(ended ? `${count(ended)} requests canceled.` : "Nothing to cancel.");
}

async function set_ignoring(on) {
  switching = true;
  show_ignoring(on);
  set_text(by_id("ignore-problem"), "");
  try {
    const response = await fetch("/api/ignore", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ on }),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(String(answer.error));
    const failed = (answer.services ?? []).filter((service) => service.error).map((service) => service.service);
    if (failed.length) set_text(by_id("ignore-problem"), `Not switched: ${failed.join(", ")}.`);
    show_ignoring(answer.ignoring === true);
    switched = { on: answer.ignoring === true, at: performance.now() };
    setTimeout(() => follow(view.latest?.ignoring === true), on_its_way_ms);
    announce(answer.ignoring ? "The services ignore the context." : "The services obey the context.");
  } catch (error) {
    show_ignoring(!on);
    const why = error instanceof TypeError ? "the dashboard does not answer" : error.message;
    set_text(by_id("ignore-problem"), `Not switched: ${why}.`);
  } finally {
    switching = false;
  }
}

function show_ignoring(on) {
  switch_button.disabled = false;
  switch_button.setAttribute("aria-checked", String(on));
  show(by_id("ignoring"), on);
}

/** The truth is the services', whoever switched them. */
function follow(on) {
  const outdated = on !== switched.on && performance.now() - switched.at < on_its_way_ms;
  if (!switching && !outdated) show_ignoring(on);
}

const view = new requests_view({ on_ignoring: follow });

controls.addEventListener("submit", (event) => {
  event.preventDefault();
  refresh();
});
by_id("cancel").addEventListener("click", cancel);
budget_field.addEventListener("input", budget);
switch_button.addEventListener("click", () => set_ignoring(switch_button.getAttribute("aria-checked") !== "true"));

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
  }
  requestAnimationFrame(tick);
}

async function start() {
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
    panels = config.panels.map((each) => new panel(each, { budget, announce }));
    by_id("panels").replaceChildren(...panels.map((panel) => panel.element));
    for (const panel of panels) panel.refresh();
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
