// The dashboard whose disk reports are made by a worker, in a real browser, with a real Redis.
//
//   CURFEW_DASHBOARD=…/curfew-dashboard node workers.test.mjs

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { close_tab, open_dashboard, start_browser } from "./lib/browser.mjs";
import {
  eventually,
  make_tree,
  remove_trees,
  sparse_file,
  start_dashboard,
  start_redis,
  start_worker,
} from "./lib/program.mjs";

let redis;
let worker;
let dashboard;
let browser;
let slow;
let tab;

before(async () => {
  slow = make_tree();
  for (let i = 0; i < 20; ++i) sparse_file(slow, `big-${i}`, 2 * 1024 ** 3);
  redis = await start_redis();
  worker = await start_worker(redis.url, "--root", slow, "--jobs", "2");
  dashboard = await start_dashboard("--workers", redis.url, "--root", slow);
  browser = await start_browser();
});

after(async () => {
  await browser?.close();
  await dashboard?.stop();
  await redis?.stop();
  remove_trees();
});

afterEach(async () => {
  const last = tab;
  tab = undefined;
  await close_tab(last);
});

test("Refresh ends the job on the worker, and another one takes its place", { timeout: 60_000 }, async () => {
  tab = await open_dashboard(browser, dashboard.url);
  const { page } = tab;
  const jobs = page.locator('#wanted .request[data-service="front"] .request[data-service^="worker "]');
  await jobs.first().waitFor();
  const old = await jobs.first().getAttribute("data-id");
  await page.locator("#refresh").click();
  await eventually("the worker tells of the end", async () => {
    const { services } = await dashboard.requests();
    const recent = services.find(({ service }) => service.startsWith("worker "))?.recent ?? [];
    return recent.some(({ id, state }) => id === old && state === "ended by client");
  });
  await eventually("one job is shown, another one", async () => {
    const ids = await jobs.evaluateAll((rows) => rows.map((row) => row.dataset.id));
    return ids.length === 1 && ids[0] !== old;
  });
  assert.match(worker.output(), /stopped \S+: client gone/);
});

test("a worker has room at 360 pixels; one that is killed is shown as gone", { timeout: 60_000 }, async () => {
  tab = await open_dashboard(browser, dashboard.url, { viewport: { width: 360, height: 740 } });
  const { page } = tab;
  await page.locator("#counters th", { hasText: "worker " }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  const name = page.locator("#counters th bdi", { hasText: "packages" });
  assert.equal(await name.evaluate((text) => text.getClientRects().length), 1, "the name is broken within");
  worker.kill();
  await page.locator("#service-errors li", { hasText: /The worker \S+ is gone/ }).waitFor();
});
