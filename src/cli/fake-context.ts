// A world for tests of verbs: streams in memory, a fixed time, kilnd where the test says.

import { PassThrough } from "node:stream";
import { Kiln } from "../sdk/index.js";
import { listVms } from "../sdk/lists.js";
import type { Context, Sink } from "./context.js";
import { createStyle } from "./render/style.js";
import { formatError, formatNote } from "./report.js";

const NOWHERE = "unix:///nonexistent/kiln.sock";

/** A context and what was done to it. */
export interface FakeWorld {
  readonly context: Context;
  readonly stdout: string;
  readonly stderr: string;
  /** What the user types or pipes in. */
  readonly stdin: PassThrough;
  close(): Promise<void>;
}

/** How the world is; default: no terminal, no kilnd. */
export interface FakeWorldOptions {
  readonly host?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly isTTY?: boolean;
  readonly now?: Date;
}

/** Makes a world. Close it when a test has connected. */
export function fakeContext(options: FakeWorldOptions = {}): FakeWorld {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const isTTY = options.isTTY ?? false;
  const stdin = Object.assign(new PassThrough(), { isTTY });
  let kiln: Promise<Kiln> | undefined;
  const style = createStyle(false);
  const stderr = memorySink(err, isTTY);
  const context: Context = {
    env: options.env ?? {},
    cwd: "/work",
    stdin: stdin as unknown as NodeJS.ReadStream,
    stdout: memorySink(out, isTTY),
    stderr,
    style,
    now: () => options.now ?? new Date("2026-01-02T03:14:06Z"),
    host: options.host,
    connect: () => {
      kiln ??= Kiln.connect({ host: options.host ?? NOWHERE });
      return kiln;
    },
    listVms: (wanted) => listVms({ host: options.host ?? NOWHERE }, wanted),
    note: (line) => stderr.write(formatNote(line)),
    report: (error) => stderr.write(formatError(error, style)),
  };
  return {
    context,
    stdin,
    get stdout() {
      return Buffer.concat(out).toString("utf8");
    },
    get stderr() {
      return Buffer.concat(err).toString("utf8");
    },
    close: async () => {
      await (await kiln?.catch(() => undefined))?.close();
    },
  };
}

function memorySink(chunks: Uint8Array[], isTTY: boolean): Sink {
  return {
    isTTY,
    columns: 80,
    write: async (data) => {
      chunks.push(Buffer.from(data as string));
    },
  };
}
