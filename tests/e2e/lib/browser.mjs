// A browser of its own, and what the tests do with the page again and again.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { eventually } from "./program.mjs";

/** A browser with a fresh profile, which goes with it; `more` arguments than all have. */
export function start_browser(more = []) {
  return chromium.launch({
    executablePath: process.env.CURFEW_CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...more,
    ],
  });
}

/** The dashboard in a tab of its own, as open_page. */
export async function open_dashboard(browser, url, options = {}) {
  const tab = await open_page(browser, url, "", options);
  await tab.page.locator(".panel").first().waitFor();
  return tab;
}

/** A page in a tab of its own; `complaints` collects what it should never do. */
export async function open_page(browser, url, path = "", options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-GB", ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.stack ?? error}`));
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  page.on("console", (message) => {
    // A request that is refused or aborted is logged by the browser itself.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) complaints.push(`asks elsewhere: ${request.url()}`);
  });
  await page.goto(url + path);
  return { page, complaints, close: () => context.close() };
}

/** Closes a test's tab, if it has one; fails where its page has done what it should never do. */
export async function close_tab(tab) {
  await tab?.close();
  assert.deepEqual(tab?.complaints ?? [], []);
}

const panel = (page, name) => page.locator(`.panel[data-panel="${name}"]`);

export const panel_state = (page, name) => panel(page, name).getAttribute("data-state");
export const panel_report = (page, name) => panel(page, name).locator(".report");
export const panel_message = (page, name) => panel(page, name).locator(".message");

export async function settled(page, name, state, within_ms = 20_000) {
  await eventually(`the panel ${name} is ${state}`, async () => (await panel_state(page, name)) === state, within_ms);
}

/** Everything stands still: nothing runs in the page nor in a service. */
export async function quiet(page, dashboard) {
  await page.locator("#cancel").click();
  await eventually("nothing lives", async () => {
    const { totals, front } = await dashboard.requests();
    return totals.living === 0 && front.counters.living === 0;
  });
}

/** Clicks Refresh as a person does, and returns when the new requests have come to the services. */
export async function refresh(page, dashboard) {
  const before = started(await dashboard.requests());
  await page.locator("#refresh").click();
  await eventually("each service has the new request", async () => {
    const now = started(await dashboard.requests());
    return Object.keys(now).every((name) => now[name] > before[name]);
  });
}

const started = ({ services }) =>
  Object.fromEntries(services.map(({ service, counters }) => [service, counters.started]));

/** The counters of one service. */
export function counters_of({ services }, name) {
  const service = services.find((each) => each.service === name);
  assert.ok(service?.counters, `no counters of ${name}`);
  return service.counters;
}
