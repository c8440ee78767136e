// Draws the pictures of docs/screenshots anew: UPDATE_SCREENSHOTS=1 node screenshots.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { counters_of, open_dashboard, refresh, settled, start_browser } from "./lib/browser.mjs";
import { eventually, start_dashboard } from "./lib/program.mjs";

const skip = !process.env.UPDATE_SCREENSHOTS && "UPDATE_SCREENSHOTS is not set";
const services = ["vitals", "packages", "disk"];
const file = (name) => fileURLToPath(new URL(`../../docs/screenshots/${name}.png`, import.meta.url));

test("the pictures of the guide", { skip, timeout: 170_000 }, async () => {
  const dashboard = await start_dashboard("--root", process.env.CURFEW_SCREENSHOT_ROOT ?? "/usr");
  const browser = await start_browser();
  const nothing_lives = async (page) =>
    eventually(
      "the page says that nothing lives",
      async () => (await page.locator("#tile-living dd").innerText()) === "0",
    );
  const picture = async (page, name) => {
    await page.mouse.move(0, 0);
    await page.screenshot({ path: file(name) });
  };
  const all_done = async (page) => {
    for (const name of services) await settled(page, name, "done", 100_000);
  };
  const requests_are = (what, look) => eventually(what, async () => look(await dashboard.requests()), 20_000);
  try {
    const still = { colorScheme: "light", reducedMotion: "reduce" };
    const { page, complaints, close } = await open_dashboard(browser, dashboard.url, still);
    await page.locator("#budget").fill("100"); // the first time the files are not in memory yet
    await page.locator("#refresh").click();
    await all_done(page);
    await page.locator("#budget").fill("60");

    for (let i = 0; i < 4; ++i) await refresh(page, dashboard);
    await settled(page, "vitals", "done");
    await requests_are("some CPU is spent", (now) =>
      now.services.some(({ requests }) => requests.some(({ cpu_ms }) => cpu_ms > 800)),
    );
    await picture(page, "refreshing");
    await all_done(page);
    await nothing_lives(page);
    await picture(page, "overview-light");
    await page.emulateMedia({ colorScheme: "dark" });
    await picture(page, "overview-dark");
    await page.emulateMedia({ colorScheme: "light" });

    await page.locator("#budget").fill("1");
    await page.locator("#refresh").click();
    await settled(page, "disk", "error");
    await nothing_lives(page);
    await page.locator("#wanted-empty").waitFor();
    await picture(page, "budget");

    await page.locator("#budget").fill("60");
    await page.locator("#ignore").click();
    await page.locator("#ignoring").waitFor();
    for (let i = 0; i < 7; ++i) await refresh(page, dashboard);
    await requests_are("they pile up", (now) => counters_of(now, "disk").ignored > 4 && now.totals.cpu_s_unwanted > 4);
    await page.locator("#unwanted .request").nth(4).waitFor();
    await picture(page, "ignoring");
    await page.locator("#ignore").click();
    await requests_are("they died", ({ totals }) => totals.ignored === 0);
    await close();

    const narrow = await open_dashboard(browser, dashboard.url, { ...still, viewport: { width: 360, height: 740 } });
    await settled(narrow.page, "vitals", "done");
    await narrow.page.locator("#wanted .request").first().waitFor();
    await picture(narrow.page, "narrow");
    await narrow.page.locator("#strip").click();
    await picture(narrow.page, "narrow-requests");
    await narrow.close();
    assert.deepEqual([...complaints, ...narrow.complaints], []);
  } finally {
    await browser.close();
    await dashboard.stop();
  }
});
