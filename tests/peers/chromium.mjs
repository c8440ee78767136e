// Chromium as a client of the tests' server.
//
//   node chromium.mjs keep <url>                    asks many times; says "ok"
//   node chromium.mjs refused <url>                 uploads what is refused; says "ok"
//   node chromium.mjs leave <begin> <path> <how> <url>
//                                                   makes a call or opens a page; leaves it on a line of input; says "ok"
//
// The certificate whose key TRUSTED_KEY names (SHA-256 of the public key, in base64) is trusted.
import { start_browser } from './e2e/lib/browser.mjs';

function check(holds, what) {
  if (holds) return;
  console.log(`does not hold: ${what}`);
  process.exit(1);
}

/** In the page: an answer's status and text. */
const ask = (page, path, options = {}) =>
  page.evaluate(
    async ([path, { size, ...options }]) => {
      if (size !== undefined) options = { ...options, method: 'POST', body: 'b'.repeat(size) };
      const answer = await fetch(path, { cache: 'no-store', ...options });
      return { status: answer.status, text: await answer.text() };
    },
    [path, options],
  );

async function keep(page) {
  const connections = new Set();
  for (let i = 0; i < 10; ++i) {
    connections.add((await ask(page, '/remote')).text);
    check((await ask(page, '/stream')).text.endsWith('piece 99\n'), 'a streamed answer is whole');
    check((await ask(page, '/echo', { size: 300_000 })).text === 'b'.repeat(300_000), 'a body comes back');
    check((await ask(page, '/nothing')).status === 404, 'what is not there is 404');
    check((await ask(page, '/hello', { method: 'HEAD' })).text === '', 'HEAD has no body');
  }
  // One; and another if the browser asks for something by itself meanwhile.
  check(connections.size <= 2, `connections are kept: ${[...connections]}`);
}

async function refused(page) {
  const size = 2 * 1024 * 1024;
  for (let i = 0; i < 5; ++i) {
    for (const path of ['/echo', '/refuse']) {
      const answer = await ask(page, path, { size });
      check(answer.status === 413, `${path}: ${answer.status}`);
      check((await ask(page, '/echo', { size: 1000 })).text === 'b'.repeat(1000), 'the next one is answered');
    }
  }
}

async function leave(page, begin, path, how, url) {
  if (begin === 'call') {
    await page.evaluate((path) => {
      const abort = new AbortController();
      globalThis.stop = () => abort.abort();
      globalThis.ended = fetch(path, { signal: abort.signal }) // of its body nothing is read
        .then((answer) => (globalThis.answer = answer).body.getReader().closed)
        .catch((error) => error.name);
    }, path);
  } else if (path === '/wait') {
    page.goto(url + path).catch(() => {}); // which never comes to anything
    await page.waitForRequest(url + path);
  } else {
    await page.goto(url + path, { waitUntil: 'commit' });
    check((await page.evaluate(() => document.readyState)) === 'loading', 'the page still comes');
  }
  await new Promise((done) => process.stdin.once('data', done));
  if (how === 'reload') {
    await page.reload({ waitUntil: 'commit' });
  } else if (how === 'navigate') {
    await page.goto(`${url}/remote`);
  } else if (how === 'close') {
    await page.close();
  } else {
    check((await page.evaluate(() => (stop(), ended))) === 'AbortError', 'the call is aborted');
  }
}

const [what, ...rest] = process.argv.slice(2);
const url = rest.at(-1);
const trusted = process.env.TRUSTED_KEY;
const browser = await start_browser(trusted ? [`--ignore-certificate-errors-spki-list=${trusted}`] : []);
const page = await browser.newPage();
await page.goto(`${url}/hello`);
await { keep, refused, leave }[what](page, ...rest);
console.log('ok');
process.stdin.destroy();
await browser.close();
