// Holds the parts together: the address, the stream of events, the clock of the drawing.

import { graphs } from "./graphs.js";
import { all_histories, all_totals, its_clock, meet, own, processes, read_all, several } from "./processes.js";
import { draw_row, fill_row, make_row } from "./rows.js";
import { by_id, count, duration, el, reconcile, set_attribute, set_text, show, spelled } from "./text.js";
import { ended_list, one_task, place_list, task_list } from "./views.js";

const zombies_shown = 20;
const every_ms = 1000; // between two loads of the view

let about = { can_cancel: false };
let view = null;
let connected = false;

// ---- the view that the address names ----

function open_view() {
  const query = new URLSearchParams(location.search);
  const name = query.has("task") ? "task" : (query.get("view") ?? "tasks");
  if (name === "task") view = new one_task(query.get("task"), query.get("at"), about.can_cancel);
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

function show_zombies(tasks, number) {
  const list = tasks.filter(({ state }) => state === "zombie");
  list.sort((a, b) => a.told.at_ns - b.told.at_ns);
  const shown = list.slice(0, zombies_shown);
  reconcile(by_id("zombies-list"), shown, ({ id }) => id, make_row, (row, task) => fill_row(row, { task }));
  show(by_id("zombies"), shown.length > 0);
  set_text(by_id("zombies-count"), count(number));
  show(by_id("zombies-more"), number > shown.length);
  const all = el("a", { href: "?state=zombie", "data-inner": true }, "all of them");
  if (number > shown.length) by_id("zombies-more").replaceChildren(`and ${count(number - shown.length)} more: `, all);
  if (number > zombies_before) set_text(by_id("announcer"), number === 1 ? "A task does not stop." : `${count(number)} tasks do not stop.`);
  zombies_before = number;
}

function look(from, got) {
  from.look = got;
  if (!own.look) return;
  const totals = all_totals();
  set_tile(tiles.open, count(totals.open));
  set_tile(tiles.told, count(totals.told));
  set_tile(tiles.zombies, count(totals.zombies), totals.zombies > 0);
  set_text(by_id("ever"), count(totals.zombies_ever));
  set_tile(tiles.nobody, duration(totals.cpu_for_nobody_ms));
  set_tile(tiles.unknown, duration(Math.max(totals.cpu_of_process_ms - totals.cpu_ms, 0)));
  const there = processes.filter((each) => each.look && each.state === "live");
  show_zombies(there.flatMap((each) => each.look.tasks), totals.zombies);
  drawn.add(got.now_ns, totals);
}

function connection(state, text) {
  connected = state === "live";
  by_id("connection").dataset.state = state;
  set_text(by_id("connection"), text);
}

const drawn = new graphs(by_id("graphs"));

/** Each process by name, and what is wrong with it. */
function show_processes() {
  if (!several()) return;
  const item = ({ title, state, problem }) => el("li", { "data-state": state, title: problem }, title, state === "lost" ? " is away" : "");
  by_id("processes").replaceChildren(...processes.map(item));
  show(by_id("processes"), true);
}

function set_state(of, state, problem = null) {
  if (of.state === state && of.problem === problem) return;
  Object.assign(of, { state, problem });
  if (of === own) connection(state, problem ?? state);
  show_processes();
}

async function begin_graphs() {
  drawn.begin(all_histories(await read_all("history")));
}

function listen() {
  const stream = new EventSource("events");
  stream.addEventListener("look", (event) => {
    const got = JSON.parse(event.data);
    its_clock.heard(got.now_ns);
    look(own, own.take(got));
  });
  stream.addEventListener("open", () => {
    set_state(own, "live");
    begin_graphs();
  });
  stream.addEventListener("error", () => set_state(own, "lost", "connection lost; trying again"));
}

/** A browser has few connections to one server: peers are asked now and then, instead of followed. */
async function ask(peer) {
  const begun = performance.now();
  try {
    const first = !peer.look;
    look(peer, await peer.read("look"));
    set_state(peer, "live");
    if (first) begin_graphs();
  } catch (error) {
    set_state(peer, "lost", spelled(error.message));
  }
  setTimeout(ask, document.hidden ? 10 * every_ms : Math.max(every_ms, 5 * (performance.now() - begun)), peer);
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
    about = await meet();
    set_text(by_id("program"), `${spelled(about.program)}, process ${about.pid}`);
  } catch {
    connection("lost", "no answer");
  }
  show_processes();
  open_view();
  listen();
  for (const peer of processes.slice(1)) ask(peer);
}

start();
