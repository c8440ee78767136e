// The program under test, the trees it looks at, and waiting for what is to come.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
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
  const file = process.env[variable];
  assert.ok(file, `${variable} has to be the path of the program`);
  assert.ok(fs.existsSync(file), `${variable}: there is no ${file}`);
  const child = spawn(file, options, { stdio: ["ignore", "pipe", "pipe"] });
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
    assert.notEqual(how, "SIGKILL", `the program did not stop when it was told to\n${output}`);
  };

  const found = () => output.match(/http:\/\/\S+?:\d+/)?.[0];
  const ended = exited.then((how) => {
    throw new Error(`the program ended (${how}) before it said where it listens\n${output}`);
  });
  try {
    await Promise.race([eventually("the program says where it listens", found, 20_000), found() ? null : ended]);
  } catch (error) {
    kill();
    throw error;
  }
  ended.catch(() => {});
  return { url: found(), stop };
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
