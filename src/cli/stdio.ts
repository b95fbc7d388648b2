// The real streams of this process, as sinks.

import type { WriteStream } from "node:tty";
import { isReaderGone } from "../base/errors.js";
import type { Sink } from "./context.js";

/** What a program ended by SIGPIPE shows: 128 + 13. */
const PIPE_CLOSED = 141;

/** A sink on one of the process's streams. Where the reader has gone (`kiln logs | head`), the process ends. */
export function sinkOf(stream: NodeJS.WriteStream): Sink & { readonly rows: number } {
  stream.on("error", (error: Error) => {
    // Anything else (EIO: the terminal is gone) leaves nobody to tell.
    process.exit(isReaderGone(error) ? PIPE_CLOSED : 1);
  });
  const terminal = stream as Partial<WriteStream>;
  return {
    get isTTY() {
      return terminal.isTTY === true;
    },
    get columns() {
      return terminal.columns ?? 80;
    },
    get rows() {
      return terminal.rows ?? 24;
    },
    write: (data) => writeAll(stream, data),
  };
}

function writeAll(stream: NodeJS.WriteStream, data: string | Uint8Array): Promise<void> {
  if (stream.write(data)) return Promise.resolve();
  return new Promise((resolve) => stream.once("drain", resolve));
}

/** Resolves when everything written has left the process. */
export function flush(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.writableLength === 0) return Promise.resolve();
  return new Promise((resolve) => stream.write("", () => resolve()));
}
