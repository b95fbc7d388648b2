// A unix socket that listens before its server runs: the server inherits the descriptor, the name stays ours. A
// connection made meanwhile waits, or is ended at once where Node takes it, so that who dials dials again.

import { rename, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { KilnError } from "../base/errors.js";
import { descriptorOf } from "./node-descriptor.js";

export interface ListeningSocket {
  /** To be inherited. */
  readonly fd: number;
  /** Closes our own copy, without which we would take connections ourselves. The name stays. */
  close(): void;
}

/** @param path in a directory that only we write; what was there is replaced */
export async function listenAt(path: string): Promise<ListeningSocket> {
  // Closing a server removes the name that it was bound to: this one has another by then.
  const bound = `${path}_`;
  await rm(bound, { force: true });
  // Until ours is closed we are asked, too: one that we kept would wait for a server without end.
  const server = createServer((early) => early.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(bound, resolve);
    });
    await rename(bound, path);
    return { fd: descriptorOf(server), close: () => server.close() };
  } catch (error) {
    server.close();
    throw KilnError.from(error, `listen at ${path}`);
  }
}
