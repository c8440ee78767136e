// The program under test, the trees it looks at, and waiting for what is to come.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

/** A started curfew-dashboard: { url, requests(), stop() }. It listens on a free port, unless the options name one. */
export async function start_dashboard(...options) {
  const file = process.env.CURFEW_DASHBOARD;
  assert.ok(file, "CURFEW_DASHBOARD has to be the path of the curfew-dashboard program");
  assert.ok(fs.existsSync(file), `CURFEW_DASHBOARD: there is no ${file}`);
  const listen = options.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
  const child = spawn(file, [...listen, ...options], { stdio: ["ignore", "pipe", "pipe"] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  let output = "";
  const exited = new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? code));
    child.once("error", (error) => resolve(error.message));
  });
  child.stdout.on("data", (data) => (output += data));
  child.stderr.on("data", (data) => (output += data));

  const stop = async () => {
    child.kill("SIGTERM");
    const slow = setTimeout(kill, 10_000);
    const how = await exited;
    clearTimeout(slow);
    process.off("exit", kill);
    assert.notEqual(how, "SIGKILL", `the dashboard did not stop when it was told to\n${output}`);
  };

  const found = () => output.match(/http:\/\/\S+?:\d+/)?.[0];
  const ended = exited.then((how) => {
    throw new Error(`the dashboard ended (${how}) before it said where it listens\n${output}`);
  });
  try {
    await Promise.race([eventually("the dashboard says where it listens", found, 20_000), found() ? null : ended]);
  } catch (error) {
    kill();
    throw error;
  }
  ended.catch(() => {});
  const url = found();
  return {
    url,
    stop,
    requests: async () => {
      const response = await fetch(`${url}/api/requests`);
      assert.equal(response.status, 200);
      return response.json();
    },
  };
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
