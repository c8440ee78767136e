// The frames of a console's page over 20 s: node bench/console_frames.mjs <URL>. It needs the packages of ./dev setup.

import { open_page, start_browser } from "../tests/e2e/lib/browser.mjs";

const browser = await start_browser();
const tab = await open_page(browser, process.argv[2], "/");
const seen = await tab.page.evaluate(
  (for_ms) =>
    new Promise((done) => {
      const frames = [];
      const begun = performance.now();
      let last = begun;
      const tick = (now) => {
        frames.push(now - last);
        last = now;
        if (now - begun < for_ms) requestAnimationFrame(tick);
        else done(frames.sort((a, b) => b - a));
      };
      requestAnimationFrame(tick);
    }),
  20_000,
);
const longest = seen.slice(0, 5).map((ms) => Math.round(ms));
console.log(`${seen.length} frames; the longest took ${longest.join(", ")} ms`);
await tab.close();
await browser.close();
