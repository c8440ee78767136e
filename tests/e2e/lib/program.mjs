// The program under test, the trees it looks at, and waiting for what is to come.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

/** A started curfew-dashboard: { url, requests(), stop() }. It listens on a free port, unless the options name one. */
export async function start_dashboard(...options) {
  const listen = options.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
  const program = await start_program("CURFEW_DASHBOARD", ...listen, ...options);
  return {
    ...program,
    requests: async () => {
      const response = await fetch(`${program.url}/api/requests`);
      assert.equal(response.status, 200);
      return response.json();
    },
  };
}

/** A started program that prints its URL: { url, stop() }. \param variable  Of the environment: holds its path. */
export async function start_program(variable, ...options) {
  const program = await start(path_in(variable), options, /http:\/\/\S+?:\d+/);
  return { ...program, url: program.found };
}

/** One that nobody listens on now. */
export async function free_port() {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  return port;
}

/** A Redis on a free port: { url, stop() }. */
export async function start_redis() {
  const port = await free_port();
  const options = ["--bind", "127.0.0.1", "--port", String(port), "--save", "", "--dir", make_tree()];
  const program = await start("redis-server", options, /Ready to accept connections/);
  return { ...program, url: `redis://127.0.0.1:${port}/0` };
}

/** A worker of the dashboard: { output(), kill(), stop() }. */
export function start_worker(redis, ...options) {
  const file = path_in("CURFEW_DASHBOARD");
  return start(file, ["worker", "--redis", redis, ...options], /waits for jobs/);
}

function path_in(variable) {
  const file = process.env[variable];
  assert.ok(file, `${variable} has to be the path of the program`);
  assert.ok(fs.existsSync(file), `${variable}: there is no ${file}`);
  return file;
}

/** Completes when the program has said what `ready` looks for: { found, output(), kill(), stop(signal) }. */
export async function start(file, options, ready, how = {}) {
  const child = spawn(file, options, { stdio: ["ignore", "pipe", "pipe"], ...how });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  let output = "";
  const exited = new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? code));
    child.once("error", (error) => resolve(error.message));
  });
  child.stdout.on("data", (data) => (output += data));
  child.stderr.on("data", (data) => (output += data));

  const stop = async (signal = "SIGTERM") => {
    child.kill(signal);
    const slow = setTimeout(kill, 10_000);
    const how = await exited;
    clearTimeout(slow);
    process.off("exit", kill);
    assert.notEqual(how, "SIGKILL", `the program did not stop when it was told to\n${output}`);
  };

  const found = () => output.match(ready)?.[0];
  const ended = exited.then((how) => {
    throw new Error(`the program ended (${how}) before it said that it is ready\n${output}`);
  });
  try {
    await Promise.race([eventually("the program is ready", found, 20_000), found() ? null : ended]);
  } catch (error) {
    kill();
    throw error;
  }
  ended.catch(() => {});
  return { found: found(), output: () => output, kill, stop };
}

/** Waits until `look` returns something true, and returns it; fails after `within_ms` with what was seen last. */
export async function eventually(what, look, within_ms = 10_000) {
  const end = performance.now() + within_ms;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (performance.now() > end) assert.fail(`not within ${within_ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A directory for this run; remove_trees() takes all of them away. */
export function make_tree() {
  const tree = fs.mkdtempSync(path.join(os.tmpdir(), "curfew-e2e-"));
  trees.push(tree);
  return tree;
}

export function remove_trees() {
  for (const tree of trees.splice(0)) fs.rmSync(tree, { recursive: true, force: true });
}

const trees = [];
process.once("exit", remove_trees);

/** A file of `size` bytes that takes no room on the disk; `name` may be bytes. */
export function sparse_file(directory, name, size) {
  const file = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name)]);
  const descriptor = fs.openSync(file, "w");
  fs.ftruncateSync(descriptor, size);
  fs.closeSync(descriptor);
}
