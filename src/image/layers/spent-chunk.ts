// Gives the memory of used chunks back at once. Left to the garbage collector, each 32 MiB of them make it mark the
// whole heap, which holds the merged tree: the larger the image, the dearer each of its layers' chunks.

import { MessageChannel, type MessagePort } from "node:worker_threads";

/** Smaller buffers may be cut from Node's shared pool, and don't matter. */
const WORTH_IT = 32 * 1024;
const NOWHERE = closedPort();

/**
 * Frees a chunk that a stream of zlib or a child gave and that was used up: it has no bytes after that. Does nothing
 * where bytes may follow it in its buffer.
 */
export function freeSpentChunk({ buffer, byteOffset, byteLength }: Uint8Array): void {
  const reachesEnd = byteOffset + byteLength === buffer.byteLength;
  if (!reachesEnd || buffer.byteLength < WORTH_IT || !(buffer instanceof ArrayBuffer)) return;
  NOWHERE.postMessage(undefined, [buffer]);
}

/** What is transferred to it is taken from its owner and freed. Node 20 has no other way. */
function closedPort(): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.close();
  return port1;
}
