// A PostgreSQL server of a test's own.

import { execFile, execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { free_port, make_tree, start } from "./program.mjs";

const run = promisify(execFile);

/** A server on a free port, with a folder of its own: { url, ask(statement), stop(), start() }. */
export async function start_postgres() {
  const own = make_tree();
  const user = server_user();
  if (user.uid !== undefined) fs.chownSync(own, user.uid, user.gid);
  const data = path.join(own, "data");
  const how = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--wal-segsize=1", "--no-sync", "--no-instructions"];
  await run(program("initdb"), ["-D", data, ...how], { ...user, cwd: own });
  const port = await free_port();
  const settings = ["listen_addresses=127.0.0.1", `port=${port}`, "unix_socket_directories=", "fsync=off"];
  const options = ["-D", data, ...settings.flatMap((each) => ["-c", each])];
  const url = `postgresql://postgres@127.0.0.1:${port}/postgres`;
  const started = () => start(program("postgres"), options, /ready to accept connections/, { ...user, cwd: own });
  let server = await started();
  return {
    url,
    ask: async (statement) => (await run(program("psql"), ["-XAtq", "-d", url, "-c", statement], { cwd: own })).stdout.trim(),
    start: async () => {
      server = await started();
    },
    stop: async () => {
      await server?.stop("SIGINT"); // connections are closed
      server = undefined;
    },
  };
}

/** It does not run as root. */
function server_user() {
  if (process.getuid() !== 0) return {};
  const id = (flag) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}

/** In the PATH, or where Debian has PostgreSQL's programs: the newest. */
function program(name) {
  const debians = "/usr/lib/postgresql";
  const versions = fs.existsSync(debians) ? fs.readdirSync(debians).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...versions.map((each) => path.join(debians, each, "bin")), ...process.env.PATH.split(":")];
  const found = folders.map((each) => path.join(each, name)).find((file) => fs.existsSync(file));
  if (!found) throw new Error(`there is no ${name}: ./dev setup installs what the tests need`);
  return found;
}
