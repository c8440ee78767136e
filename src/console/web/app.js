// Holds the parts together: the address, the stream of events, the clock of the drawing.

import { graphs } from "./graphs.js";
import { draw_row, fill_row, its_clock, make_row } from "./rows.js";
import { by_id, count, duration, el, reconcile, set_attribute, set_text, show, spelled } from "./text.js";
import { ended_list, one_task, place_list, read, task_list } from "./views.js";

const zombies_shown = 20;
const every_ms = 1000; // between two loads of the view

let about = { can_cancel: false };
let view = null;
let connected = false;

// ---- the view that the address names ----

function open_view() {
  const query = new URLSearchParams(location.search);
  const name = query.has("task") ? "task" : (query.get("view") ?? "tasks");
  if (name === "task") view = new one_task(query.get("task"), about.can_cancel);
  else if (name === "places") view = new place_list();
  else if (name === "ended") view = new ended_list(query.get("by"));
  else view = new task_list(query, filter_changed);
  by_id("view").replaceChildren(...view.element);
  for (const tab of by_id("tabs").children) set_attribute(tab, "aria-current", tab.dataset.view === name ? "page" : null);
  load_now();
}

function filter_changed(query) {
  const text = query.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
  load_now();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-inner], .tabs a");
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const href = link.getAttribute("href");
  history.pushState(null, "", href === "?" ? location.pathname : href);
  open_view();
  by_id("view").focus({ preventScroll: true });
  if (link.closest(".zombies")) by_id("view").scrollIntoView({ block: "start" });
});

addEventListener("popstate", open_view);

// ---- loading ----

let timer = 0;
let loading = false;
let again = false;

async function load_now() {
  clearTimeout(timer);
  if (loading) {
    again = true;
    return;
  }
  loading = true;
  const begun = performance.now();
  const loaded = view;
  try {
    await loaded.load();
    document.title = `${spelled(loaded.title)} – curfew console`;
  } catch (error) {
    if (connected) console.warn(String(error));
  }
  loading = false;
  // A process with very many tasks is asked less often.
  const pause = again || loaded !== view ? 0 : Math.max(every_ms, 5 * (performance.now() - begun));
  again = false;
  timer = setTimeout(load_now, document.hidden ? 10 * every_ms : pause);
}

// ---- the stream ----

const tiles = {
  open: by_id("tile-open"),
  told: by_id("tile-told"),
  zombies: by_id("tile-zombies"),
  nobody: by_id("tile-nobody"),
  unknown: by_id("tile-unknown"),
};
const set_tile = (tile, text, alarm = false) => {
  set_text(tile.querySelector("dd"), text);
  tile.classList.toggle("alarm", alarm);
};

let zombies_before = 0;

function show_zombies(tasks, number, seen_ms) {
  const list = tasks.filter(({ state }) => state === "zombie");
  list.sort((a, b) => a.told.at_ns - b.told.at_ns);
  const shown = list.slice(0, zombies_shown);
  reconcile(by_id("zombies-list"), shown, ({ id }) => id, make_row, (row, task) => fill_row(row, { task }, seen_ms));
  show(by_id("zombies"), shown.length > 0);
  set_text(by_id("zombies-count"), count(number));
  show(by_id("zombies-more"), number > shown.length);
  const all = el("a", { href: "?state=zombie", "data-inner": true }, "all of them");
  if (number > shown.length) by_id("zombies-more").replaceChildren(`and ${count(number - shown.length)} more: `, all);
  if (number > zombies_before) set_text(by_id("announcer"), number === 1 ? "A task does not stop." : `${count(number)} tasks do not stop.`);
  zombies_before = number;
}

function look(got) {
  its_clock.heard(got.now_ns);
  const { totals } = got;
  set_tile(tiles.open, count(totals.open));
  set_tile(tiles.told, count(totals.told));
  set_tile(tiles.zombies, count(totals.zombies), totals.zombies > 0);
  set_text(by_id("ever"), count(totals.zombies_ever));
  set_tile(tiles.nobody, duration(totals.cpu_for_nobody_ms));
  set_tile(tiles.unknown, duration(Math.max(totals.cpu_of_process_ms - totals.cpu_ms, 0)));
  show_zombies(got.tasks, totals.zombies, got.now_ns / 1e6);
  drawn.add(got.now_ns, totals);
}

function connection(state, text) {
  connected = state === "live";
  by_id("connection").dataset.state = state;
  set_text(by_id("connection"), text);
}

const drawn = new graphs(by_id("graphs"));

function listen() {
  const stream = new EventSource("events");
  stream.addEventListener("look", (event) => look(JSON.parse(event.data)));
  stream.addEventListener("open", async () => {
    connection("live", "live");
    drawn.begin((await read("history")).samples);
  });
  stream.addEventListener("error", () => connection("lost", "connection lost; trying again"));
}

// ---- between two looks ----

setInterval(() => {
  if (document.hidden || !connected) return;
  const now = its_clock.now_ms();
  for (const row of by_id("zombies-list").children) draw_row(row, now);
  view?.draw(now);
}, 200);

async function start() {
  try {
    about = await read("about");
    its_clock.heard(about.now_ns);
    set_text(by_id("program"), `${spelled(about.program)}, process ${about.pid}`);
  } catch {
    connection("lost", "no answer");
  }
  open_view();
  listen();
}

start();
