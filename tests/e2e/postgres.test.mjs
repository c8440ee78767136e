// The dashboard whose packages are in a PostgreSQL of its own, in a real browser.
//
//   CURFEW_DASHBOARD=…/curfew-dashboard node postgres.test.mjs

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import {
  close_tab,
  counters_of,
  open_dashboard,
  panel_message,
  panel_report,
  quiet,
  refresh,
  settled,
  start_browser,
} from "./lib/browser.mjs";
import { eventually, make_tree, remove_trees, start_dashboard } from "./lib/program.mjs";
import { start_postgres } from "./lib/postgres.mjs";

let postgres;
let dashboard;
let browser;
let tab;

before(async () => {
  postgres = await start_postgres();
  dashboard = await start_dashboard("--database", `${postgres.url}?application_name=dashboard`, "--root", make_tree());
  browser = await start_browser();
});

after(async () => {
  await browser?.close();
  await dashboard?.stop();
  await postgres?.stop();
  remove_trees();
});

afterEach(async () => {
  const last = tab;
  tab = undefined;
  await close_tab(last);
});

/** How many statements of the dashboard the server works on. */
const at_work = () =>
  postgres.ask("select count(*) from pg_stat_activity where application_name = 'dashboard' and state <> 'idle'").then(Number);

test("the panel fills in, and the search finds", { timeout: 240_000 }, async () => {
  tab = await open_dashboard(browser, dashboard.url);
  const { page } = tab;
  await settled(page, "packages", "done", 200_000);
  assert.match(await panel_report(page, "packages").innerText(), /Heaviest/);
  await page.locator("#package-search").fill("lib");
  await eventually(
    "the search shows",
    async () => /found for/.test(await panel_report(page, "packages").innerText()),
    80_000,
  );
  assert.ok(Number(await postgres.ask("select count(*) from curfew_package")) > 50, "they are in the server");
});

test("Refresh ends the statements of the old request in the server", { timeout: 60_000 }, async () => {
  tab = await open_dashboard(browser, dashboard.url);
  const { page } = tab;
  await refresh(page, dashboard);
  const past = await dashboard.requests();
  for (let i = 0; i < 10; ++i) await refresh(page, dashboard);
  await eventually("what was refreshed is over", async () => {
    const seen = await dashboard.requests();
    const [was, is] = [counters_of(past, "packages"), counters_of(seen, "packages")];
    return is.started - was.started === 10 && is.living <= 1 && seen.orphans.length === 0;
  });
  await quiet(page, dashboard);
  await eventually("the server works on nothing", async () => (await at_work()) === 0);
});

test("a server that goes costs its panel, and comes back with it", { timeout: 120_000 }, async () => {
  tab = await open_dashboard(browser, dashboard.url);
  const { page } = tab;
  await postgres.stop();
  await refresh(page, dashboard);
  await settled(page, "packages", "error", 60_000);
  assert.match(await panel_message(page, "packages").innerText(), /\S/);
  await postgres.start();
  await refresh(page, dashboard);
  await settled(page, "packages", "done", 60_000);
});
