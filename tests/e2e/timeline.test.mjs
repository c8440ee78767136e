// The timeline and "Show me" in a real browser, against the real program.
//
//   CURFEW_DASHBOARD=…/curfew-dashboard node timeline.test.mjs
//
// The disk service looks at a few sparse files of the same size: comparing them takes far longer than any test waits.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { counters_of, open_dashboard, quiet, refresh, settled, start_browser } from "./lib/browser.mjs";
import { eventually, make_tree, remove_trees, sparse_file, start_dashboard } from "./lib/program.mjs";

const services = ["vitals", "packages", "disk"];
const patience_ms = 60_000;

let dashboard;
let browser;
let tab; // the test's own

before(async () => {
  const slow = make_tree();
  for (let i = 0; i < 20; ++i) sparse_file(slow, `big-${i}`, 2048 * 1024 * 1024);
  dashboard = await start_dashboard("--root", slow);
  browser = await start_browser();
});

after(async () => {
  await browser?.close();
  await dashboard?.stop();
  remove_trees();
});

afterEach(async () => {
  const { complaints = [] } = tab ?? {};
  await tab?.close();
  tab = undefined;
  await fetch(`${dashboard.url}/api/ignore`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: '{"on": false}',
  });
  assert.deepEqual(complaints, []);
});

async function open(options) {
  tab = await open_dashboard(browser, dashboard.url, options);
  return tab.page;
}

const slots = (page, state, service = "disk") =>
  page.locator(`.lane[data-service=${service}] .slot${state ? `[data-state=${state}]` : ""}`);
const there_are = (what, locator, holds) => eventually(what, async () => holds(await locator.count()), patience_ms);

async function switched(page, on) {
  await page.locator("#ignore").click();
  await page.locator(`#ignore[aria-checked=${on}]`).waitFor();
  await eventually(`ignoring is ${on}`, async () => (await dashboard.requests()).ignoring === on);
}

/** "9.41 s", "2.1 ms" */
function seconds(text) {
  const [number, unit] = text.split(" ");
  return Number(number) * { s: 1, ms: 1e-3, "µs": 1e-6 }[unit];
}

/** Where the bars and marks of a lane are, in pixels from the left edge. */
function geometry(page, service = "disk") {
  return page.evaluate((name) => {
    const origin = document.querySelector(".marks").getBoundingClientRect().left;
    const place = (node) => {
      const { left, right } = node.getBoundingClientRect();
      return { left: left - origin, right: right - origin };
    };
    return {
      marks: [...document.querySelectorAll(".mark")].map((mark) => place(mark).left),
      bars: [...document.querySelectorAll(`.lane[data-service=${name}] .slot`)]
        .map((slot) => ({
          key: slot.dataset.key,
          state: slot.dataset.state,
          wanted: place(slot.firstElementChild),
          unwanted: place(slot.lastElementChild),
        }))
        .sort((a, b) => a.wanted.left - b.wanted.left),
    };
  }, service);
}

test("each refresh is a mark, at which the bars of the one before stop", { timeout: 90_000 }, async () => {
  const page = await open();
  await there_are("a bar for each service", page.locator(".slot"), (n) => n >= services.length);
  await there_are("the disk is at work", slots(page, "working"), (n) => n === 1);
  await refresh(page, dashboard);
  await there_are("the old one has stopped", slots(page, "stopped"), (n) => n === 1);
  await there_are("the new one works", slots(page, "working"), (n) => n === 1);
  const { marks, bars } = await geometry(page);
  assert.equal(marks.length, 2);
  const [old, now] = bars;
  assert.ok(old.wanted.left <= marks[1], "it began before the click");
  // Some seconds' width: on a busy machine the way to the service takes its time.
  const near = (x) => x > marks[1] - 15 && x < marks[1] + 200;
  assert.ok(near(old.wanted.right), `it stops at the click: ${old.wanted.right} and ${marks[1]}`);
  assert.ok(near(now.wanted.left), `the next begins there: ${now.wanted.left} and ${marks[1]}`);
  await slots(page, "stopped").click();
  assert.match(await page.locator("#detail").innerText(), /^disk [0-9a-f]{4}, of Refresh 1: ended by client after .* s\. Its work stopped /);
  await page.locator("#cancel").click();
  await there_are("both have stopped", slots(page, "stopped"), (n) => n === 2);
  assert.equal(await page.locator(".mark[data-kind=cancel]").count(), 1);
});

test("while the context is ignored they run on in red", { timeout: 90_000 }, async () => {
  const page = await open();
  await switched(page, true);
  assert.match(await page.locator("#verdict").innerText(), /^The contexts are ignored/);
  await refresh(page, dashboard);
  await refresh(page, dashboard);
  await there_are("one goes on for nobody", slots(page, "unwanted"), (n) => n >= 1);
  // The request from before the switch obeys: its bar may be red for the moment until its work has stopped.
  const red = async () => {
    const { bars } = await geometry(page);
    const bar = bars.find((each) => each.state === "unwanted");
    return bar ? { key: bar.key, width: bar.unwanted.right - bar.unwanted.left } : null;
  };
  let first = null;
  await eventually("it grows", async () => {
    const now = await red();
    if (!now || now.key !== first?.key) first = now;
    return now !== null && now.width > first.width + 5;
  });
  await page.locator(".band[data-kind=ignored]").waitFor();
  await eventually("the tile counts it", async () => Number(await page.locator("#tile-unwanted dd").innerText()) > 0);
  assert.match(await page.locator("#unwanted .left").first().innerText(), /^nobody has waited for \d/);
  assert.ok(await page.locator("#unwanted .budget .progress").first().isHidden(), "no budget that it does not obey");
  await switched(page, false);
  await there_are("none goes on", slots(page, "unwanted"), (n) => n === 0);
});

test("Show me plays both halves and says what they have cost", { timeout: 170_000 }, async () => {
  const page = await open();
  const before = (await dashboard.requests()).totals.cpu_s_unwanted;
  await page.locator("#show").click();
  assert.equal(await page.locator("#show").innerText(), "Stop");
  const stage = (act) => page.locator(`#stage[data-act=${act}]`).waitFor({ timeout: patience_ms });
  await stage("obeyed");
  await there_are("bars that stop", slots(page, "stopped"), (n) => n >= 2);
  await stage("ignored");
  await there_are("bars that do not", slots(page, "unwanted"), (n) => n >= 2);
  await stage("burning");
  await stage("finished");
  const sentence = await page.locator("#verdict").innerText();
  const numbers = sentence.match(
    /^Three refreshes burnt (.+) of CPU for nobody without curfew, until they were stopped, and (.+) with it: (.+) saved\.$/,
  );
  assert.ok(numbers, sentence);
  const [without, with_it, saved] = numbers.slice(1).map(seconds);
  assert.ok(Math.abs(without - with_it - saved) < 0.11, sentence);
  assert.ok(without > with_it, sentence);
  const after = await dashboard.requests();
  assert.ok(Math.abs(after.totals.cpu_s_unwanted - before - without - with_it) < 0.5, `the services say the same: ${sentence}`);
  assert.equal(after.ignoring, false);
  assert.equal(after.totals.living, 0);
  assert.equal(await page.locator("#show").innerText(), "Show me");
  assert.deepEqual(
    await page.locator(".band").evaluateAll((bands) => bands.map((band) => band.textContent)),
    ["contexts obeyed", "contexts ignored"],
  );
  const kinds = await page.locator(".mark").evaluateAll((marks) => marks.map((mark) => mark.dataset.kind));
  const act = ["refresh", "refresh", "refresh", "cancel"];
  assert.deepEqual(kinds.slice(-8), [...act, ...act]);
});

test("the show can be stopped, and ends with its page", { timeout: 120_000 }, async () => {
  const page = await open();
  const until_ignored = async () => {
    await page.locator("#show").click();
    await page.locator("#stage[data-act=ignored]").waitFor({ timeout: patience_ms });
    await there_are("something runs for nobody", slots(page, "unwanted"), (n) => n >= 1);
  };
  const at_rest = () =>
    eventually(
      "the contexts are obeyed and nothing is at work",
      async () => {
        const { ignoring, totals } = await dashboard.requests();
        return !ignoring && totals.living === 0;
      },
      patience_ms,
    );
  await until_ignored();
  await page.locator("#show").click();
  await at_rest();
  assert.equal(await page.locator("#show").innerText(), "Show me");
  assert.match(await page.locator("#verdict").innerText(), /^Press Show me/);
  await until_ignored();
  await page.keyboard.press("Escape");
  await at_rest();
  await until_ignored();
  await page.goto("about:blank");
  await at_rest();
});

test("a finger hits each bar at 390 pixels", { timeout: 90_000 }, async () => {
  const page = await open({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await refresh(page, dashboard);
  await refresh(page, dashboard);
  await there_are("bars", page.locator(".slot"), (n) => n >= 6);
  await quiet(page, dashboard);
  await there_are("nothing works", page.locator(".slot:is([data-state=working], [data-state=unwanted])"), (n) => n === 0);
  const small = await page.evaluate(() => {
    const shown = [...document.querySelectorAll("button, input, select")].filter((node) => node.getClientRects().length);
    return shown
      .filter((node) => !node.matches(".switch")) // its surroundings count too
      .map((node) => [node.id || node.dataset.key, node.getBoundingClientRect()])
      .filter(([, { width, height }]) => width < 44 || height < 44)
      .map(([name, { width, height }]) => `${name}: ${width} x ${height}`);
  });
  assert.deepEqual(small, []);
  const overlapping = await page.evaluate(() => {
    const boxes = [...document.querySelectorAll(".slot")].map((slot) => slot.getBoundingClientRect());
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 12 && Math.abs(a.top - b.top) < 10;
    return boxes.some((a, i) => boxes.some((b, j) => i < j && meet(a, b)));
  });
  assert.ok(!overlapping, "no bar lies upon another");
  for (const slot of await page.locator(".slot").all()) {
    await slot.tap();
    const name = (await slot.getAttribute("aria-label")).split(/[,:]/)[0];
    assert.ok((await page.locator("#detail").innerText()).startsWith(name));
  }
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
});

test("the bars are one stop of the keyboard, and each says what it is", { timeout: 60_000 }, async () => {
  const page = await open();
  await refresh(page, dashboard);
  await there_are("two bars of the disk", slots(page), (n) => n === 2);
  await quiet(page, dashboard);
  await there_are("both have stopped", slots(page, "stopped"), (n) => n === 2);
  assert.equal(await page.locator(".slot[tabindex='0']").count(), 1);
  const focused = () =>
    page.evaluate(() => {
      const { dataset, ariaLabel } = document.activeElement;
      return { key: dataset.key, label: ariaLabel };
    });
  await page.locator("#cancel").focus();
  await page.keyboard.press("Tab");
  assert.ok((await focused()).key, "the bars come after the buttons");
  for (let i = 0; i < services.length; ++i) await page.keyboard.press("ArrowUp");
  assert.match((await focused()).key, /^vitals /);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  assert.match((await focused()).key, /^disk /);
  await page.keyboard.press("Home");
  const first = await focused();
  await page.keyboard.press("ArrowRight");
  const second = await focused();
  assert.notEqual(first.key, second.key);
  assert.match(first.label, /^disk [0-9a-f]{4}.*: ended by client after/);
  assert.equal(await page.locator("#detail").innerText(), second.label);
  await page.keyboard.press("Tab");
  assert.equal((await focused()).key, undefined);
});

test("no holes and nothing cut off, whatever the width and the colours", { timeout: 120_000 }, async () => {
  const page = await open();
  await there_are("bars", page.locator(".slot"), (n) => n >= services.length);
  for (const name of ["vitals", "packages"]) await settled(page, name, "done", patience_ms);
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [390, 768, 1280, 1600]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await page.evaluate(drawn_anew);
      assert.deepEqual(await page.evaluate(layout_problems), [], `${width} pixels, ${colorScheme}`);
    }
  }
});

/** Runs in the page: an element learns of its new width in the next frame. */
async function drawn_anew() {
  for (let i = 0; i < 2; ++i) await new Promise(requestAnimationFrame);
}

/** Runs in the page. */
function layout_problems() {
  const wrong = [];
  for (const selector of ["#panels", "#truth .columns"]) {
    const whole = document.querySelector(selector).getBoundingClientRect();
    const rows = new Map();
    for (const child of document.querySelector(selector).children) {
      const box = child.getBoundingClientRect();
      rows.set(box.top, [...(rows.get(box.top) ?? []), box]);
    }
    for (const boxes of rows.values()) {
      const right = Math.max(...boxes.map((box) => box.right));
      if (Math.abs(right - whole.right) > 1) wrong.push(`${selector}: a row ends at ${right}, not ${whole.right}`);
      if (new Set(boxes.map((box) => Math.round(box.bottom))).size > 1) wrong.push(`${selector}: a ragged row`);
    }
  }
  for (const node of document.querySelectorAll("body *:not(.unseen)")) {
    if (node.closest(".progress, .band, .mark") || !node.getClientRects().length) continue;
    const { right } = node.getBoundingClientRect();
    if (right > innerWidth + 0.5) wrong.push(`${node.tagName}.${node.className} is cut off`);
  }
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page scrolls sideways");
  return wrong;
}

test("at rest nothing is drawn, and with less motion nothing is animated", { timeout: 60_000 }, async () => {
  const page = await open({ reducedMotion: "reduce" });
  await there_are("the disk is at work", slots(page, "working"), (n) => n === 1);
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
  await quiet(page, dashboard);
  await there_are("nothing works", slots(page, "working"), (n) => n === 0);
  const drawn = () =>
    page.evaluate(async () => {
      let changes = 0;
      const observer = new MutationObserver((records) => (changes += records.length));
      observer.observe(document.getElementById("timeline"), { subtree: true, childList: true, attributes: true });
      for (let i = 0; i < 90; ++i) await new Promise(requestAnimationFrame);
      observer.disconnect();
      return changes;
    });
  await eventually("nothing moves any more", async () => (await drawn()) === 0, 30_000);
});

test("the CPU for nobody can be counted anew", { timeout: 60_000 }, async () => {
  const page = await open();
  await switched(page, true);
  await refresh(page, dashboard);
  await refresh(page, dashboard);
  const shown = async () => parseFloat(await page.locator("#tile-cpu dd").innerText());
  await eventually("some is spent", async () => (await shown()) > 0.2, patience_ms);
  await switched(page, false);
  await eventually("nothing is at work for nobody", async () => (await dashboard.requests()).totals.ignored === 0);
  await page.locator("#reset").click();
  await eventually("it is nought", async () => (await shown()) < 0.05);
  assert.ok(counters_of(await dashboard.requests(), "disk").cpu_s_unwanted > 0.2, "the services remember");
});
