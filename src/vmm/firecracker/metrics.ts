// Firecracker's metrics: one JSON object a line, counters since the line before. Summed here; strict about size, lax
// about fields, which differ between versions.

import type { VmmTraffic } from "../types.js";

const MAX_LINE_BYTES = 512 * 1024;

export class MetricsReader {
  #rest = "";
  readonly #sum = { blockReadBytes: 0, blockWriteBytes: 0, netRxBytes: 0, netTxBytes: 0 };

  get traffic(): VmmTraffic {
    return { ...this.#sum };
  }

  take(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString("latin1")).split("\n");
    const rest = lines.pop() ?? "";
    // A line that never ends is no metrics line; the next end of line begins anew.
    this.#rest = rest.length > MAX_LINE_BYTES ? "" : rest;
    for (const line of lines) this.#add(parseLine(line));
  }

  #add(metrics: Readonly<Record<string, unknown>>): void {
    const block = asRecord(metrics.block);
    const net = asRecord(metrics.net);
    this.#sum.blockReadBytes += count(block.read_bytes);
    this.#sum.blockWriteBytes += count(block.write_bytes);
    this.#sum.netRxBytes += count(net.rx_bytes_count);
    this.#sum.netTxBytes += count(net.tx_bytes_count);
  }
}

function parseLine(line: string): Readonly<Record<string, unknown>> {
  try {
    return asRecord(JSON.parse(line));
  } catch {
    // A FIFO that was full cuts lines: what is lost is lost.
    return {};
  }
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function count(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : 0;
}
