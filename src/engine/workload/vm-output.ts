// What a VM has said: its program's output and its console, also after its end. Who follows is waited for by a VM that
// is removed when it ends.

import {
  type ConsoleChunk,
  type ReadConsoleOptions,
  readConsole as readConsoleFile,
} from "../output/console-reader.js";
import type { OutputPlace } from "../output/log-position.js";
import type { LogChunk, ReadLogOptions } from "../output/vm-log.js";
import type { EngineContext } from "../run/context.js";
import { follow } from "../run/followers.js";
import { waitForLive } from "../run/vm-access.js";
import type { VmEntry } from "../vm/entry.js";
import { isLive } from "../vm/state.js";

export type LogsAsk = ReadLogOptions & {
  /** Go on behind this place. */
  readonly after?: OutputPlace | undefined;
};

/** The program's output. */
export async function* readLogs(
  ctx: EngineContext,
  entry: VmEntry,
  { after, ...rest }: LogsAsk,
): AsyncGenerator<LogChunk> {
  // To follow a VM that a new kilnd is still taking over is to wait for it.
  if (rest.follow === true && !entry.log.live) await waitForLive(entry, rest.signal);
  const release = rest.follow === true ? await follow(ctx, entry) : entry.log.hold();
  try {
    const from =
      after === undefined ? {} : { from: await entry.log.placeOf(after), tail: undefined, since: undefined };
    yield* entry.log.read({ ...rest, ...from });
  } finally {
    release();
  }
}

export type ConsoleAsk = Omit<ReadConsoleOptions, "following"> & {
  /** Until the VM ends. */
  readonly follow: boolean;
};

/** What the kernel says, and an init of the image's own. */
export async function* readConsole(
  ctx: EngineContext,
  entry: VmEntry,
  { follow: follows, ...rest }: ConsoleAsk,
): AsyncGenerator<ConsoleChunk> {
  // Its file goes with the VM: of one that is removed at its end the last words are still to be read.
  const release = follows ? await follow(ctx, entry) : entry.log.hold();
  try {
    const { consoleLog } = entry.status;
    if (consoleLog === "") return;
    yield* readConsoleFile(consoleLog, { ...rest, following: () => follows && isLive(entry.state) });
  } finally {
    release();
  }
}
