#!/usr/bin/env -S node --

// The `kiln` command, all of it. What users call is agent/front, which does a plain `kiln exec` or `kiln run` by
// itself and becomes this for everything else. Makes the real context and ends the process with the verb's exit code.
// The `--` above is for node 20, which takes `--env-file` for its own wherever it stands: it would load the file of
// `kiln run --env-file FILE` into this process.

import type { Kiln } from "../sdk/index.js";
import type { ConnectWish, Context } from "./context.js";
import { createStyle, wantsColour } from "./render/style.js";
import { type Globals, runCli } from "./run-cli.js";
import { flush, sinkOf } from "./stdio.js";

const connections: Kiln[] = [];

function makeContext(globals: Globals): Context {
  const stderr = sinkOf(process.stderr);
  const style = createStyle(wantsColour(process.env, stderr.isTTY));
  let kiln: Promise<Kiln> | undefined;
  return {
    env: process.env,
    cwd: process.cwd(),
    get stdin() {
      return process.stdin;
    },
    stdout: sinkOf(process.stdout),
    stderr,
    style,
    now: () => new Date(),
    host: globals.host,
    connect: (wish) => {
      kiln ??= connect(globals.host, wish);
      return kiln;
    },
    listVms: async (options) => {
      const { listVms } = await import("../sdk/lists.js");
      return listVms({ host: globals.host }, options);
    },
    note: async (line) => {
      const { formatNote } = await import("./report.js");
      await stderr.write(formatNote(line));
    },
    report: async (error) => {
      const { formatError } = await import("./report.js");
      await stderr.write(formatError(error, style, globals.debug));
    },
  };
}

async function connect(host: string | undefined, wish: ConnectWish | undefined): Promise<Kiln> {
  const { Kiln } = await import("../sdk/index.js");
  const kiln = await Kiln.connect({ host, start: wish?.start ?? true });
  connections.push(kiln);
  return kiln;
}

const code = await runCli(process.argv.slice(2), makeContext);
await Promise.all(connections.map((kiln) => kiln.close()));
await Promise.all([flush(process.stdout), flush(process.stderr)]);
// Not by itself: a terminal that is being read, or a stream that a peer keeps open, would hold the process.
process.exit(code);
