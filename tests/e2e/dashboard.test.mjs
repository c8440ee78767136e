// The dashboard in a real browser, against the real program.
//
//   CURFEW_DASHBOARD=…/curfew-dashboard node dashboard.test.mjs
//
// The disk service looks at two trees made for the test: `names` is small and full of hostile file names, `slow` is a
// few sparse files of the same size, so that comparing them takes far longer than any test waits.

import assert from "node:assert/strict";
import http from "node:http";
import { after, afterEach, before, test } from "node:test";
import {
  close_tab,
  counters_of,
  open_dashboard,
  panel_message,
  panel_report,
  panel_state,
  quiet,
  refresh,
  settled,
  start_browser,
} from "./lib/browser.mjs";
import { eventually, make_tree, remove_trees, sparse_file, start_dashboard } from "./lib/program.mjs";

const services = ["vitals", "packages", "disk"];
const MiB = 1024 * 1024;

const hostile_names = [
  { bytes: "<img src=x onerror=alert(1)>", shown: "<img src=x onerror=alert(1)>" },
  { bytes: "<script>window.ran = 1<\u2215script>", shown: "<script>window.ran = 1<\u2215script>" },
  { bytes: "two\nlines\tand\u001b[31mcolour", shown: "two\\nlines\\tand\\x1b[31mcolour" },
  { bytes: Buffer.from([0x62, 0x72, 0x6f, 0xff, 0xc3, 0x28, 0x6b, 0x65, 0x6e]), shown: "bro\ufffd\ufffd(ken" },
  { bytes: "right\u202egpj.exe", shown: "right\\u{202e}gpj.exe" },
  { bytes: "&lt;b&gt;{{7*7}}${7*7}", shown: "&lt;b&gt;{{7*7}}${7*7}" },
  { bytes: "long".repeat(60), shown: "long".repeat(60) },
];

let dashboard;
let browser;
let names;
let slow;
let tab; // the test's own; the next test gets a new one

before(async () => {
  names = make_tree();
  hostile_names.forEach(({ bytes }, i) => sparse_file(names, bytes, (20 - i) * MiB));
  sparse_file(names, "<b>copy 1", MiB);
  sparse_file(names, "<b>copy 2", MiB);
  slow = make_tree();
  for (let i = 0; i < 20; ++i) sparse_file(slow, `big-${i}`, 2048 * MiB);
  dashboard = await start_dashboard("--root", names, "--root", slow, "--source", "gone=http://127.0.0.1:1/");
  browser = await start_browser();
});

after(async () => {
  await browser?.close();
  await dashboard?.stop();
  remove_trees();
});

afterEach(async () => {
  const last = tab;
  tab = undefined;
  await close_tab(last);
});

async function open(options) {
  tab = await open_dashboard(browser, dashboard.url, options);
  return tab.page;
}

/** Gives the panels as long as a busy machine needs, and waits for their results. */
async function all_done(page) {
  await page.locator("#budget").fill("300");
  await page.locator("#refresh").click();
  for (const name of services) await settled(page, name, "done", 150_000);
}

/** The page with the slow tree chosen, and nothing going on. */
async function open_slow(options) {
  const page = await open(options);
  await page.locator("#disk-root").selectOption(slow);
  await quiet(page, dashboard);
  return page;
}

async function switched(page, on) {
  await page.locator("#ignore").click();
  await eventually(`ignoring is ${on}`, async () => (await dashboard.requests()).ignoring === on);
  await page.locator(`#ignore[aria-checked=${on}]`).waitFor();
}

test("the three panels fill in, and a source that is not there costs its own panel", { timeout: 240_000 }, async () => {
  const page = await open();
  await all_done(page);
  assert.match(await panel_report(page, "vitals").innerText(), /memory[\s\S]*load|load[\s\S]*memory/);
  assert.match(await panel_report(page, "packages").innerText(), /Heaviest/);
  assert.match(await panel_report(page, "disk").innerText(), /Largest files/);
  await settled(page, "gone", "error");
  assert.match(await panel_message(page, "gone").innerText(), /^Not reachable /);

  await page.locator("#package-search").fill("lib");
  await eventually(
    "the search shows",
    async () => /found for/.test(await panel_report(page, "packages").innerText()),
    80_000,
  );
});

test("hostile file names are text", { timeout: 30_000 }, async () => {
  const page = await open();
  await settled(page, "disk", "done");
  const shown = await panel_report(page, "disk").locator(".base").allTextContents();
  for (const name of hostile_names) assert.ok(shown.includes(name.shown), `${name.shown} in ${JSON.stringify(shown)}`);
  assert.ok(shown.some((name) => /^<b>copy [12]$/.test(name)));
  assert.equal(await page.locator("#panels :is(img, script, b)").count(), 0);
  assert.equal(await page.evaluate(() => window.ran), undefined);
  assert.ok((await panel_report(page, "disk").locator(".lossy").count()) >= 1);
});

test("ten clicks on Refresh leave one request in each service", { timeout: 30_000 }, async () => {
  const page = await open_slow();
  const past = await dashboard.requests();
  for (let i = 0; i < 10; ++i) await refresh(page, dashboard);

  // How soon is a figure, which bench_dashboard_refresh measures: other tests want the cores, too. The disk would be at
  // work for minutes.
  let seen;
  await eventually("nine ended by the client, one lives", async () => {
    seen = await dashboard.requests();
    return services.every((name) => {
      const [was, is] = [counters_of(past, name), counters_of(seen, name)];
      const over = is.answered - was.answered + is.ended_by_client - was.ended_by_client;
      return is.living <= 1 && is.ignored === 0 && is.started - was.started === 10 && over + is.living === 10;
    });
  });
  const [was, is] = [counters_of(past, "disk"), counters_of(seen, "disk")];
  assert.equal(is.ended_by_client - was.ended_by_client, 9);
  assert.equal(is.living, 1);
  await eventually("no orphans", async () => (await dashboard.requests()).orphans.length === 0);

  await eventually(
    "the page says so",
    async () => (await page.locator("#wanted .request[data-service=disk]").count()) === 1,
  );
  await page.locator("#unwanted-section").waitFor({ state: "hidden" });
  await eventually("the page lists what ended", async () => (await page.locator("#ended li").count()) === 8);
  assert.match(await page.locator("#ended li").first().innerText(), /ended by client[\s\S]*(work stopped|worked on for)/);
});

test("with the switch on they pile up and burn; switched off, they die", { timeout: 40_000 }, async () => {
  const page = await open_slow();
  await switched(page, true);
  assert.match(await page.locator("#verdict").innerText(), /^The contexts are ignored/);
  for (let i = 0; i < 8; ++i) await refresh(page, dashboard);

  const first = await eventually("more than five live for nobody", async () => {
    const now = await dashboard.requests();
    return counters_of(now, "disk").ignored > 5 && now;
  });
  await eventually("they burn CPU", async () => {
    const now = await dashboard.requests();
    return now.totals.cpu_s_unwanted > first.totals.cpu_s_unwanted + 0.2;
  });
  await eventually("the page shows them", async () => (await page.locator("#unwanted [data-service=disk]").count()) > 5);
  assert.match(await page.locator("#unwanted .request .state").first().innerText(), /ended by client, still working/);
  assert.match(
    await page.locator("#unwanted [data-service=disk] .place").first().innerText(),
    /^opened \d+\.\d s ago at\s+disk\.cpp:\d+/,
  );
  const row = page.locator("#unwanted [data-service=disk]").first();
  await row.getByRole("button", { name: /^Stack of disk [0-9a-f]{4}$/ }).click();
  await row.locator(".stack li").first().waitFor();
  assert.match(await row.locator(".stack").innerText(), /disk_report|hash_file|find_duplicates/);
  await eventually("the page counts them", async () => Number(await page.locator("#tile-unwanted dd").innerText()) > 5);

  await switched(page, false);
  await eventually("nobody works for nobody", async () => {
    const { totals, orphans } = await dashboard.requests();
    return totals.ignored === 0 && orphans.length === 0 && totals.living <= services.length;
  });
  await page.locator("#unwanted-section").waitFor({ state: "hidden" });
  assert.match(await page.locator("#verdict").innerText(), /^Press Show me/);
});

test("closing the tab ends everything", { timeout: 30_000 }, async () => {
  const page = await open_slow();
  await refresh(page, dashboard);
  assert.equal(counters_of(await dashboard.requests(), "disk").living, 1);
  const past = counters_of(await dashboard.requests(), "disk").ended_by_client;
  await page.close();
  await eventually(
    "nothing lives",
    async () => {
      const { totals, tree, orphans } = await dashboard.requests();
      return totals.living === 0 && tree.length === 0 && orphans.length === 0;
    },
    1000,
  );
  assert.equal(counters_of(await dashboard.requests(), "disk").ended_by_client, past + 1);
});

test("a budget of one second ends the slow panel, and the fast one shows", { timeout: 30_000 }, async () => {
  const page = await open_slow();
  const past = await dashboard.requests();
  await page.locator("#budget").fill("1");
  await page.keyboard.press("Enter");
  await settled(page, "disk", "error", 3000);
  assert.match(await panel_message(page, "disk").innerText(), /^Budget used up .*1 s.*disk/);
  assert.equal(await panel_state(page, "vitals"), "done");
  let now;
  await eventually("the work stopped, and the front has counted its end", async () => {
    now = await dashboard.requests();
    return (
      now.totals.living === 0 && now.front.counters.ended_by_deadline > past.front.counters.ended_by_deadline
    );
  });
  // On a busy machine a service may see the front leave at the deadline before it sees the deadline itself.
  const ended = ({ ended_by_deadline, ended_by_client }) => ended_by_deadline + ended_by_client;
  assert.equal(ended(counters_of(now, "disk")), ended(counters_of(past, "disk")) + 1);
});

test("a wrong budget is said at the field, and asks nobody", { timeout: 20_000 }, async () => {
  const page = await open_slow();
  const past = (await dashboard.requests()).totals.started;
  for (const budget of ["", "soon", "0", "1000000"]) {
    await page.locator("#budget").fill(budget);
    await page.locator("#refresh").click();
    assert.match(await page.locator("#budget-problem").innerText(), /budget/);
    assert.equal(await page.locator("#budget").getAttribute("aria-invalid"), "true");
  }
  assert.equal((await dashboard.requests()).totals.started, past);
  await page.locator("#budget").fill("2,5");
  assert.equal(await page.locator("#budget-problem").innerText(), "");
  assert.equal(await page.locator("#budget").getAttribute("aria-invalid"), null);
});

test("a page from elsewhere can neither flip the switch nor read a panel", { timeout: 30_000 }, async () => {
  const elsewhere = http.createServer((request, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end("<!doctype html><title>elsewhere</title><body>");
  });
  await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  const context = await browser.newContext();
  try {
    const past = (await dashboard.requests()).front.counters.started;
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${elsewhere.address().port}/`);
    const outcomes = await page.evaluate(async (url) => {
      const tried = async (path, options) => {
        try {
          const response = await fetch(url + path, options);
          return response.type === "opaque" ? "opaque" : `read ${response.status}`;
        } catch {
          return "failed";
        }
      };
      const body = JSON.stringify({ on: true });
      const json = { "Content-Type": "application/json" };
      const form = document.createElement("form");
      form.method = "post";
      form.enctype = "text/plain";
      form.action = `${url}/api/ignore`;
      form.target = "frame";
      const field = document.createElement("input");
      [field.name, field.value] = ['{"on":true,"x":"', '"}'];
      form.append(field);
      const frame = document.createElement("iframe");
      frame.name = "frame";
      document.body.append(frame, form);
      const framed = new Promise((resolve) => frame.addEventListener("load", resolve));
      form.submit();
      await framed;
      return {
        post_json: await tried("/api/ignore", { method: "POST", headers: json, body }),
        post_simple: await tried("/api/ignore", { method: "POST", mode: "no-cors", body }),
        post_text: await tried("/api/ignore", { method: "POST", headers: { "Content-Type": "text/plain" }, body }),
        panel: await tried("/api/panels/vitals"),
        panel_blind: await tried("/api/panels/vitals", { mode: "no-cors" }),
        requests: await tried("/api/requests"),
        events: await new Promise((resolve) => {
          const source = new EventSource(`${url}/api/requests/events`);
          source.onopen = () => resolve("read");
          source.onerror = () => resolve("failed");
        }),
      };
    }, dashboard.url);
    assert.deepEqual(outcomes, {
      post_json: "failed",
      post_simple: "failed",
      post_text: "failed",
      panel: "failed",
      panel_blind: "failed",
      requests: "failed",
      events: "failed",
    });
    const now = await dashboard.requests();
    assert.equal(now.ignoring, false);
    assert.equal(now.totals.living, 0);
    assert.equal(now.totals.started, (await dashboard.requests()).totals.started);
    assert.equal(now.front.counters.started, past, "not even a blind request does any work");
  } finally {
    await context.close();
    await new Promise((resolve) => elsewhere.close(resolve));
  }
});

test("everything can be done with the keyboard, and is said", { timeout: 30_000 }, async () => {
  const page = await open();
  const order = [];
  await page.locator(".slot").first().waitFor();
  while (order.at(-1) !== "package-search" && order.length < 10) {
    await page.keyboard.press("Tab");
    const focus = await page.evaluate(() => {
      const { id, textContent } = document.activeElement;
      return { name: id || textContent, outline: getComputedStyle(document.activeElement).outlineStyle };
    });
    assert.notEqual(focus.outline, "none", `the focus on ${focus.name} can be seen`);
    order.push(focus.name);
  }
  assert.deepEqual(order.slice(0, 5), ["show", "refresh", "cancel", order[3], "ignore"]);
  assert.equal(order[3], "", "a bar of the timeline");
  assert.equal(order.at(-1), "package-search");

  await page.locator("#disk-root").selectOption(slow);
  const said = (text) =>
    eventually(`"${text}" is said`, async () => (await page.locator("#announcer").textContent()).includes(text));
  await page.keyboard.press("Escape");
  await settled(page, "disk", "canceled");
  await said("canceled");
  await page.locator("#cancel").press("r");
  await settled(page, "disk", "running");
  await said("Refreshing");
  await page.keyboard.press("Escape");
  await settled(page, "disk", "canceled");
  await said("canceled");
  assert.match(await panel_message(page, "disk").innerText(), /^Canceled /);

  await page.locator("#package-search").focus();
  await page.keyboard.type("r");
  assert.equal(await page.locator("#package-search").inputValue(), "r");
  assert.equal(await panel_state(page, "disk"), "canceled", "a letter that is typed is no command");

  await page.locator("#ignore").focus();
  await page.keyboard.press("Space");
  await eventually("switched on", async () => (await dashboard.requests()).ignoring);
  await page.keyboard.press("Enter");
  await eventually("switched off", async () => !(await dashboard.requests()).ignoring);
});

test("nothing is cut off at 360 pixels", { timeout: 240_000 }, async () => {
  const page = await open({ viewport: { width: 360, height: 740 } });
  await all_done(page);
  const too_wide = () =>
    page.evaluate(() =>
      [...document.querySelectorAll("body *:not(.unseen)")]
        .filter(
          (element) => element.getClientRects().length > 0 && element.getBoundingClientRect().right > innerWidth + 0.5,
        )
        .filter((element) => !element.closest(".progress"))
        .map((element) => `${element.tagName}.${element.className}`),
    );
  assert.deepEqual(await too_wide(), []);
  await page.locator("#disk-root").selectOption(slow);
  await eventually("a request shows", async () => (await page.locator("#wanted .request").count()) > 0);
  assert.deepEqual(await too_wide(), []);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
});

test("garbage costs the one panel that it came for", { timeout: 30_000 }, async () => {
  const lines = (...values) =>
    values.map((value) => `${typeof value === "string" ? value : JSON.stringify(value)}\n`).join("");
  const progress = { type: "progress", fraction: 0.5, text: "half" };
  const cases = [
    ["application/x-ndjson", lines(progress, "<html>"), /^Unreadable answer .*not JSON: <html>/],
    [
      "application/x-ndjson",
      lines(progress, { type: "result", data: { largest: 7 } }),
      /^Unreadable answer .*not as agreed/,
    ],
    ["application/x-ndjson", lines(progress, { type: "result" }), /^Unreadable answer /],
    ["application/x-ndjson", lines(progress), /^Answer cut off /],
    ["application/x-ndjson", lines({ type: "error", code: "new", message: "<b>why</b>" }), /^Failed <b>why<\/b>/],
    ["text/html", "<p>hello", /^Unreadable answer /],
  ];
  const page = await open();
  for (const [contentType, body, message] of cases) {
    await page.route("**/api/panels/disk?*", (route) => route.fulfill({ contentType, body }));
    await page.locator("#refresh").click();
    await settled(page, "disk", "error");
    assert.match(await panel_message(page, "disk").innerText(), message);
    await settled(page, "vitals", "done");
    await page.unroute("**/api/panels/disk?*");
  }
  await page.route("**/api/panels/disk?*", (route) => route.fulfill({ status: 400, json: { error: "no such root" } }));
  await page.locator("#refresh").click();
  await settled(page, "disk", "error");
  assert.match(await panel_message(page, "disk").innerText(), /^Refused no such root/);
});

test("hundreds of requests are counted, and the first of them drawn", { timeout: 30_000 }, async () => {
  const request = (service, id, state) => ({
    id,
    service,
    target: "/<b>\u202e",
    age_ms: 5,
    budget_ms: 100,
    remaining_ms: 95,
    state,
    cpu_ms: 1,
    cpu_ms_unwanted: 1,
  });
  const range = Array.from({ length: 250 }, (_, i) => i);
  const state = {
    tree: range.map((i) => ({ ...request("front", `f${i}`, "running"), children: [request("disk", `d${i}`, "running")] })),
    orphans: range.map((i) => request("disk", `z${i}`, "ended by client")),
    services: [{ service: "disk", error: "<i>gone</i>" }],
    totals: { living: 500, ignored: 250 },
    ignoring: false,
  };
  const page = await open();
  const events = ["not JSON", JSON.stringify(state)].map((data) => `event: requests\ndata: ${data}\n\n`).join("");
  await page.route("**/api/requests/events", (route) =>
    route.fulfill({ contentType: "text/event-stream", body: events }),
  );
  await page.reload();
  await page.locator("#unwanted-more").waitFor();
  assert.equal(await page.locator("#wanted > li").count(), 40);
  assert.equal(await page.locator("#wanted-more").innerText(), "and 210 more");
  assert.equal(await page.locator("#unwanted > li").count(), 40);
  assert.equal(await page.locator("#tile-unwanted dd").innerText(), "250");
  assert.equal(await page.locator("#unwanted .target").first().textContent(), "/<b>\\u{202e}");
  assert.equal(await page.locator("#service-errors").innerText(), "<i>gone</i>");
});

test("when the program goes, the page says so, and comes back with it", { timeout: 40_000 }, async () => {
  const own = await start_dashboard("--root", slow);
  let second;
  const own_tab = await open_dashboard(browser, own.url);
  try {
    const { page } = own_tab;
    await page.locator("#connection[data-state=live]").waitFor();
    await settled(page, "disk", "running");
    await own.stop();
    await page.locator("#connection[data-state=lost]").waitFor();
    await settled(page, "disk", "error");
    second = await start_dashboard("--root", slow, "--listen", new URL(own.url).host);
    await page.locator("#connection[data-state=live]").waitFor();
    await page.locator("#refresh").click();
    await settled(page, "disk", "running");
  } finally {
    await own_tab.close();
    await second?.stop();
  }
});
