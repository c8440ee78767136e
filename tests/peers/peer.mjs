// The tests' peer in JavaScript.
//
//   node peer.mjs call <keep|upload|print|cancel> <url>   calls a server with fetch (call-agent: with http.Agent)
//   node peer.mjs serve                                   serves; says its port, then what happens in "/wait"
//
// It trusts what NODE_EXTRA_CA_CERTS says, and serves https where TLS_CHAIN and TLS_KEY name files.
import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';

const body = Array.from({ length: 40_000 }, (_, i) => `${i}\n`).join('');
const streamed = Array.from({ length: 100 }, (_, i) => `piece ${i}\n`);

function check(holds, what) {
  if (holds) return;
  console.log(`does not hold: ${what}`);
  process.exit(1);
}

// By fetch.
const fetched = {
  get: async (url) => (await fetch(url)).text(),
  upload: async (url) => (await fetch(url, { method: 'POST', body })).text(),
  async uploadChunks(url) {
    const chunks = new ReadableStream({
      start(out) {
        for (let at = 0; at < body.length; at += 10_000) out.enqueue(Buffer.from(body.slice(at, at + 10_000)));
        out.close();
      },
    });
    return (await fetch(url, { method: 'POST', body: chunks, duplex: 'half' })).text();
  },
  cancelable(url) {
    const abort = new AbortController();
    const ended = fetch(url, { signal: abort.signal })
      .then((answer) => answer.text())
      .catch((error) => error.name);
    return { cancel: () => abort.abort(), ended: ended.then((name) => check(name === 'AbortError', name)) };
  },
};

// By node:http and an agent that keeps one connection.
const protocol = (url) => (url.startsWith('https:') ? https : http);
const options = { keepAlive: true, maxSockets: 1 };
const agents = new Map([http, https].map((of) => [of, new of.Agent(options)]));
const agent = (url) => agents.get(protocol(url));
function asked(url, options, pieces) {
  return new Promise((done, failed) => {
    const call = protocol(url).request(url, { agent: agent(url), ...options }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece) => (text += piece));
      answer.on('end', () => done(text));
      answer.on('error', failed);
    });
    call.on('error', failed);
    for (const piece of pieces) call.write(piece);
    call.end();
  });
}
const byAgent = {
  get: (url) => asked(url, {}, []),
  upload: (url) => asked(url, { method: 'POST', headers: { 'Content-Length': body.length } }, [body]),
  uploadChunks: (url) => asked(url, { method: 'POST' }, body.match(/[^]{1,10000}/g)),
  cancelable(url) {
    const call = protocol(url).request(url, { agent: agent(url) }, (answer) => answer.resume().on('error', () => {}));
    const ended = new Promise((done) => call.on('close', done));
    call.on('error', () => {});
    call.end();
    return { cancel: () => call.destroy(), ended };
  },
};

async function call(by, what, url) {
  if (what === 'keep') {
    const first = await by.get(url);
    for (let i = 0; i < 3; ++i) {
      await new Promise((done) => setImmediate(done)); // fetch has its connection back a little after the answer
      check((await by.get(url)) === first, 'the connection is the same');
    }
  } else if (what === 'upload') {
    check((await by.upload(url)) === body, 'the body with a length comes back');
    check((await by.uploadChunks(url)) === body, 'the body in chunks comes back');
  } else if (what === 'print') {
    process.stdout.write(await by.get(url));
    return;
  } else {
    const under_way = by.cancelable(url);
    await new Promise((done) => process.stdin.once('data', done));
    under_way.cancel();
    await under_way.ended;
  }
  console.log('ok');
}

function serve() {
  const { TLS_CHAIN: chain, TLS_KEY: key } = process.env;
  const create = (serve) =>
    chain ? https.createServer({ cert: readFileSync(chain), key: readFileSync(key) }, serve) : http.createServer(serve);
  const server = create((asking, answer) => {
    const path = new URL(asking.url, 'http://peer').pathname;
    if (path === '/remote') {
      answer.end(`${asking.socket.remotePort}`);
    } else if (path === '/echo') {
      asking.pipe(answer);
    } else if (path === '/stream') {
      for (const piece of streamed) answer.write(piece);
      answer.end();
    } else {
      if (path === '/hold') answer.write('first piece\n');
      answer.on('close', () => console.log('gone'));
      console.log('waiting');
    }
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
}

const [role, what, url] = process.argv.slice(2);
if (role === 'serve') {
  serve();
} else {
  await call(role === 'call-agent' ? byAgent : fetched, what, url);
  process.exit(0);
}
