// QMP's bytes to messages: JSON objects, one a line. Bounded and strict, because the other end may be a broken-out
// guest; pure, so that it can be fuzzed.

import { Code, KilnError } from "../../base/errors.js";

export type QmpMessage =
  | { readonly kind: "greeting" }
  | { readonly kind: "event"; readonly name: string; readonly data: Readonly<Record<string, unknown>> }
  | { readonly kind: "return"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly description: string };

/** The longest answers that we ask for have a few KiB. */
export const MAX_LINE_BYTES = 256 * 1024;

export class QmpLines {
  #rest = "";

  /**
   * The messages that this chunk completes.
   *
   * @throws KilnError data_loss `qmp-violation`
   */
  push(chunk: Uint8Array): QmpMessage[] {
    // latin1 keeps one char per byte, so that a character cut by a chunk's end is whole again on its line.
    const lines = (this.#rest + Buffer.from(chunk).toString("latin1")).split("\n");
    this.#rest = lines.pop() ?? "";
    const longest = Math.max(this.#rest.length, ...lines.map((line) => line.length));
    if (longest > MAX_LINE_BYTES) throw violation(`a line of more than ${MAX_LINE_BYTES} bytes`);
    return lines.filter((line) => line.trim() !== "").map(parseLine);
  }
}

function parseLine(line: string): QmpMessage {
  const message = asObject(parseJson(Buffer.from(line, "latin1").toString("utf8")));
  if (message === undefined) throw violation("something that is no object");
  if ("QMP" in message) return { kind: "greeting" };
  if (typeof message.event === "string") {
    return { kind: "event", name: message.event, data: asObject(message.data) ?? {} };
  }
  const id = message.id;
  if ("error" in message) {
    const description = asObject(message.error)?.desc;
    // An error without id answers a line that QEMU could not parse: ours are written by JSON.stringify.
    if (typeof id !== "number" || typeof description !== "string") throw violation("an error without id");
    return { kind: "error", id, description };
  }
  if ("return" in message && typeof id === "number") return { kind: "return", id, value: message.return };
  throw violation("a message of unknown form");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw violation("something that is no JSON", error);
  }
}

/** The value as a plain object, else undefined. */
function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return value as Readonly<Record<string, unknown>>;
}

function violation(what: string, cause?: unknown): KilnError {
  return new KilnError(Code.DataLoss, `QEMU sent ${what} on its control socket`, {
    reason: "qmp-violation",
    cause,
  });
}
