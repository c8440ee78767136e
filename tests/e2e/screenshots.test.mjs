// Draws the pictures of docs/screenshots anew: UPDATE_SCREENSHOTS=1 node screenshots.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { open_dashboard, open_page, settled, start_browser } from "./lib/browser.mjs";
import { eventually, start_dashboard, start_program } from "./lib/program.mjs";

const skip = !process.env.UPDATE_SCREENSHOTS && "UPDATE_SCREENSHOTS is not set";
const services = ["vitals", "packages", "disk"];
const file = (name) => fileURLToPath(new URL(`../../docs/screenshots/${name}.png`, import.meta.url));

test("the pictures of the guide", { skip, timeout: 390_000 }, async () => {
  const dashboard = await start_dashboard("--root", process.env.CURFEW_SCREENSHOT_ROOT ?? "/usr");
  const browser = await start_browser();
  const nothing_lives = () =>
    eventually("nothing lives", async () => (await dashboard.requests()).totals.living === 0, 60_000);
  const picture = async (page, name) => {
    await page.mouse.move(0, 0);
    await page.screenshot({ path: file(name) });
  };
  const act = (page, name) => page.locator(`#stage[data-act=${name}]`).waitFor({ timeout: 90_000 });
  const bars = (page, state, most) =>
    eventually(`${most} bars are ${state}`, async () => (await page.locator(`.slot[data-state=${state}]`).count()) >= most, 60_000);
  try {
    const still = { colorScheme: "light", reducedMotion: "reduce", viewport: { width: 1280, height: 860 } };
    const { page, complaints, close } = await open_dashboard(browser, dashboard.url, still);
    await page.locator("#budget").fill("300"); // the first time the files are not in memory yet
    await page.locator("#refresh").click();
    for (const name of services) await settled(page, name, "done", 200_000);

    await page.locator("#budget").fill("60");

    await page.locator("#show").click();
    await act(page, "obeyed");
    await eventually("three refreshes", async () => (await page.locator("#timeline .mark").count()) >= 3, 60_000);
    await bars(page, "working", 2);
    await picture(page, "refreshing");
    await act(page, "burning");
    await eventually("it burns", async () => (await dashboard.requests()).totals.cpu_s_unwanted > 1, 60_000);
    await picture(page, "ignoring");
    await act(page, "finished");
    await nothing_lives();
    await page.locator(".slot:is([data-state=working], [data-state=unwanted])").first().waitFor({ state: "detached" });
    await picture(page, "overview-light");
    await page.emulateMedia({ colorScheme: "dark" });
    await picture(page, "overview-dark");
    await page.emulateMedia({ colorScheme: "light" });

    await page.locator("#budget").fill("1");
    await page.locator("#refresh").click();
    await settled(page, "disk", "error");
    await settled(page, "vitals", "done");
    await nothing_lives();
    await page.evaluate(() => scrollTo(0, document.getElementById("panels").getBoundingClientRect().top - 80));
    await picture(page, "budget");
    await close();

    const phone = { ...still, viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
    const narrow = await open_dashboard(browser, dashboard.url, phone);
    await narrow.page.locator("#show").click();
    await act(narrow.page, "finished");
    await nothing_lives();
    await picture(narrow.page, "narrow");
    await narrow.close();
    assert.deepEqual([...complaints, ...narrow.complaints], []);
  } finally {
    await browser.close();
    await dashboard.stop();
  }
});

test("the picture of the console", { skip, timeout: 120_000 }, async () => {
  const program = await start_program("CURFEW_INSPECT_ZOMBIE", "127.0.0.1:0");
  const browser = await start_browser();
  try {
    const still = { colorScheme: "light", reducedMotion: "reduce", viewport: { width: 1280, height: 880 } };
    const { page, complaints } = await open_page(browser, program.url, "/", still);
    await page.locator("#view .row", { hasText: "photo 10" }).waitFor({ timeout: 60_000 });
    await page.screenshot({ path: file("console") });
    assert.deepEqual(complaints, []);
  } finally {
    await browser.close();
    await program.stop();
  }
});
