// The console in a real browser, against a program with a planted zombie.
//
//   CURFEW_INSPECT_ZOMBIE=…/example_inspect_zombie CURFEW_DASHBOARD=…/curfew-dashboard node console.test.mjs

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { close_tab, open_page, start_browser } from "./lib/browser.mjs";
import { eventually, make_tree, remove_trees, sparse_file, start_dashboard, start_program } from "./lib/program.mjs";

const skip = !process.env.CURFEW_INSPECT_ZOMBIE && "CURFEW_INSPECT_ZOMBIE is not set";
const token = "open sesame";

let program;
let browser;
let tab; // the test's own

before(async () => {
  if (skip) return;
  program = await start_program("CURFEW_INSPECT_ZOMBIE", "127.0.0.1:0", token);
  browser = await start_browser();
});

after(async () => {
  await browser?.close();
  await program?.stop();
});

afterEach(async () => {
  const last = tab;
  tab = undefined;
  await close_tab(last);
});

async function open(path = "/", options = {}) {
  tab = await open_page(browser, program.url, path, options);
  return tab.page;
}

const json = async (path) => (await fetch(`${program.url}/${path}`)).json();
const row = (page, name) => page.locator("#view .row", { hasText: name });

test("a zombie stands on top, by name, kind and line", { skip, timeout: 60_000 }, async () => {
  const page = await open();
  const zombie = page.locator("#zombies .row", { hasText: "2026-10" });
  await zombie.waitFor();
  assert.equal(await zombie.locator(".state").innerText(), "zombie");
  assert.match(await zombie.innerText(), /add up/);
  assert.match(await zombie.innerText(), /told: deadline exceeded/);
  assert.match(await zombie.innerText(), /examples\/inspect_zombie\.cpp:\d+/);
  const top = await page.locator("#zombies").boundingBox();
  const tasks = await page.locator("#view").boundingBox();
  assert.ok(top.y < tasks.y);
  assert.equal(await page.locator("#tile-zombies dd").innerText(), "2");
  const past = () => zombie.locator(".left").innerText();
  const first = await past();
  await eventually("it is drawn on", async () => (await past()) !== first);
});

test("tasks stand below their parents, with bars of their budget", { skip, timeout: 60_000 }, async () => {
  const page = await open();
  const photo = row(page, /photo \d+/);
  await photo.waitFor();
  assert.equal(await photo.getAttribute("data-depth"), "1");
  const used = async () => Number(await photo.locator(".progress").getAttribute("aria-valuenow"));
  const first = await used();
  await eventually("the bar moves", async () => (await used()) !== first);
  assert.match(await row(page, "POST /import").innerText(), /no deadline/);
});

test("the filter stands in the address", { skip, timeout: 60_000 }, async () => {
  const page = await open("/?state=zombie&name=2026");
  await row(page, "2026-10").waitFor();
  assert.equal(await row(page, "POST /import").count(), 0);
  assert.equal(await page.locator("input[name=name]").inputValue(), "2026");
  assert.ok(await page.locator("input[value=zombie]").isChecked());
  await page.locator("input[value=zombie]").uncheck();
  await page.locator("input[name=name]").fill("import");
  await row(page, "POST /import").waitFor();
  assert.equal(new URL(page.url()).search, "?name=import");
  await page.reload();
  await row(page, "POST /import").waitFor();
  await page.locator("input[name=name]").fill("no such name");
  await page.locator("#view .count", { hasText: "None of" }).waitFor();
});

test("a zombie's page shows the stack of its thread, on demand", { skip, timeout: 60_000 }, async () => {
  const page = await open();
  await page.locator("#zombies a", { hasText: "2026-10" }).click();
  await page.getByRole("button", { name: "Where are its threads?" }).click();
  const frame = page.locator(".stack li", { hasText: "add_up" });
  await frame.waitFor();
  assert.match(await frame.innerText(), /inspect_zombie\.cpp:\d+/);
  assert.match(await page.locator(".stack h3").innerText(), /^Thread \d+/);
  await page.goto(`${program.url}/?name=import`);
  await row(page, "POST /import").locator("a").click();
  await page.getByRole("button", { name: "Where are its threads?" }).click();
  await page.locator(".stack li").first().waitFor();
});

test("one task's page says what is known of it", { skip, timeout: 60_000 }, async () => {
  const page = await open();
  await page.locator("#zombies a", { hasText: "2026-10" }).click();
  const card = page.locator("article.card");
  await card.locator(".crumbs a", { hasText: "GET /report" }).waitFor();
  const text = await card.innerText();
  assert.match(text, /deadline exceeded/);
  assert.match(text, /trace id\n7f3a/);
  assert.match(text, /with_timeout\(500ms\)/);
  assert.match(page.url(), /\?task=[0-9a-f]{16}$/);
  await page.goBack();
  await page.locator("#view form.filter").waitFor();
  await page.locator("#tabs a", { hasText: "Places" }).click();
  await page.locator("td", { hasText: "inspect_zombie.cpp" }).first().waitFor();
  await page.locator("#tabs a", { hasText: "Ended" }).click();
  await page.locator(".choices a", { hasText: "Took longest" }).click();
  assert.equal(new URL(page.url()).search, "?view=ended&by=slowest");
});

test("a wait for a lock leads to the task that has it", { skip, timeout: 60_000 }, async () => {
  const page = await open("/?name=entries");
  await row(page, "POST /entries").locator("a").click();
  const card = page.locator("article.card");
  await card.locator("dd", { hasText: "lock of" }).locator("a", { hasText: "2026-10" }).click();
  await card.locator("h2", { hasText: "2026-10" }).waitFor();
  assert.equal(await card.locator(".state").innerText(), "zombie");
});

test("cancel by hand needs the token, and ends the task", { skip, timeout: 60_000 }, async () => {
  const page = await open("/?name=import");
  await row(page, "POST /import").locator("a").click();
  await page.locator("input[name=reason]").fill("nobody needs it");
  await page.locator("input[name=token]").fill("wrong");
  await page.locator("button.deadly").click();
  await page.locator(".problem", { hasText: "token" }).waitFor();
  assert.ok((await json("tasks?name=import")).tasks.length === 1);
  await page.locator("input[name=token]").fill(token);
  await page.locator("button.deadly").click();
  await page.locator("article .state", { hasText: "over" }).waitFor();
  await eventually("it says why", async () => /operator: nobody needs it/.test(await page.locator("article").innerText()));
  assert.equal((await json("tasks?name=import")).tasks.length, 0);
  assert.ok(!(await page.content()).includes(token), "the token is nowhere in the page");
});

test("several processes stand on one page, and one that is away is said to be", { skip, timeout: 60_000 }, async () => {
  const other = await start_program("CURFEW_INSPECT_ZOMBIE", "127.0.0.1:0", "theirs");
  const joined = await start_program("CURFEW_INSPECT_ZOMBIE", "127.0.0.1:0", "ours", other.url);
  try {
    tab = await open_page(browser, joined.url, "/");
    const { page } = tab;
    const zombies = page.locator("#zombies .row", { hasText: "2026-10" });
    await eventually("both have theirs", async () => (await zombies.count()) === 2);
    assert.equal(await page.locator("#tile-zombies dd").innerText(), "4");
    const theirs = page.locator("#zombies .row", { hasText: "2026-10", has: page.locator(".process", { hasText: /^other$/ }) });
    assert.equal(await theirs.count(), 1);
    assert.equal(await row(page, "POST /import").count(), 2);
    await theirs.locator("a").click();
    await page.locator(".facts dd", { hasText: /^other$/ }).waitFor();
    await page.locator(".crumbs a", { hasText: "GET /report" }).waitFor();
    await page.getByRole("button", { name: "Where are its threads?" }).click();
    await page.locator(".stack li", { hasText: "add_up" }).waitFor();
    await page.reload(); // the address names the process too
    await page.locator(".facts dd", { hasText: /^other$/ }).waitFor();
    await page.locator("#tabs a", { hasText: "Ended" }).click();
    await page.locator("td .process", { hasText: /^other$/ }).first().waitFor();
    await other.stop();
    await page.locator("#processes li", { hasText: "other is away" }).waitFor();
    await eventually("its zombies go", async () => (await zombies.count()) === 1);
  } finally {
    await joined.stop();
    await other.stop();
  }
});

test("a request is one tree through the processes of the dashboard", { skip, timeout: 60_000 }, async () => {
  const slow = make_tree();
  for (let i = 0; i < 10; ++i) sparse_file(slow, `big-${i}`, 2 * 1024 ** 3);
  const dashboard = await start_dashboard("--root", slow);
  const leave = new AbortController();
  try {
    const left = fetch(`${dashboard.url}/api/panels/disk`, { signal: leave.signal }).then((r) => r.text());
    left.catch(() => {});
    tab = await open_page(browser, dashboard.url, "/debug/curfew/");
    const { page } = tab;
    const report = page.locator("#view .row", { hasText: /^\s*\S+\s*report/ });
    await report.waitFor();
    const kinds = await page.locator("#view .row:not(.head) .kind").allInnerTexts();
    const names = await page.locator("#view .row:not(.head) .name a").allInnerTexts();
    const from = names.indexOf("/api/panels/disk");
    assert.deepEqual(kinds.slice(from, from + 3), ["panel", "http call", "http request"]);
    assert.deepEqual(names[from + 2], "GET /report");
    await report.locator("a").click();
    const crumbs = page.locator(".crumbs");
    await crumbs.locator("a", { hasText: "/api/panels/disk" }).first().waitFor();
    assert.match(await crumbs.innerText(), /panels.disk.*report/s);
  } finally {
    leave.abort();
    await dashboard.stop();
    remove_trees();
  }
});

test("it fits a telephone, and a finger hits its controls", { skip, timeout: 60_000 }, async () => {
  const page = await open("/", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await row(page, "2026-10").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
  const small = await page.evaluate(() =>
    [...document.querySelectorAll("input:not([type=checkbox]), .tabs a, .states label")]
      .filter((node) => node.getBoundingClientRect().height < 44)
      .map((node) => node.outerHTML.slice(0, 80)),
  );
  assert.deepEqual(small, []);
});
