// Timing for the bench: medians of several rounds, the two sides of a ratio always measured in turn.

import { spawn } from "node:child_process";
import { setTimeout } from "node:timers/promises";

/** Milliseconds that `body` takes. */
export async function timed(body: () => Promise<unknown>): Promise<number> {
  const start = process.hrtime.bigint();
  await body();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Runs each body once per round, in turn, so that a drift of the machine's speed meets all; medians of each. */
export async function inTurn(
  rounds: number,
  bodies: readonly (() => Promise<unknown>)[],
): Promise<readonly number[]> {
  return (await samplesInTurn(rounds, bodies)).map(median);
}

/** All the times of each, round by round. @param restMs before each: for what goes on behind a body's end */
export async function samplesInTurn(
  rounds: number,
  bodies: readonly (() => Promise<unknown>)[],
  restMs = 0,
): Promise<readonly number[][]> {
  const times: number[][] = bodies.map(() => []);
  for (let round = 0; round < rounds; round++) {
    // There and back: what one leaves behind (memory to give back, a VM to remove) must not always meet the same next.
    const order = [...bodies.entries()];
    if (round % 2 === 1) order.reverse();
    for (const [index, body] of order) {
      await setTimeout(restMs);
      times[index]?.push(await timed(body));
    }
  }
  return times;
}

/**
 * Between which values the median of what the samples are drawn from lies, 95 times in 100: by the samples' order, which
 * needs no shape of their distribution (binomial, its normal approximation).
 */
export function medianRange(values: readonly number[]): readonly [number, number] {
  const sorted = [...values].sort((a, b) => a - b);
  const { length } = sorted;
  const reach = 0.98 * Math.sqrt(length);
  const at = (rank: number) => sorted[Math.min(length - 1, Math.max(0, rank))] ?? Number.NaN;
  return [at(Math.floor(length / 2 - reach)), at(Math.ceil(length / 2 + reach) - 1)];
}

/** Runs a shell command to its end with its output thrown away; throws when it fails. */
export function shell(command: string): Promise<void> {
  const child = spawn("sh", ["-c", command], { stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString("utf8")).slice(-2000);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0 ? resolve() : reject(new Error(`${command}: exit ${code}\n${stderr}`)),
    );
  });
}

/** One line of the table. */
export interface Row {
  readonly name: string;
  readonly budget: string;
  readonly result: string;
  /** The measured figures behind the result. */
  readonly detail: string;
  /** Undefined for what has no budget. */
  readonly met: boolean | undefined;
}

export function ratioRow(name: string, budget: number, measured: number, against: number, what: string): Row {
  const ratio = measured / against;
  return {
    name,
    budget: `≤ ${budget} ×`,
    result: `${ratio.toFixed(2)} ×`,
    detail: `${Math.round(measured)} ms against ${Math.round(against)} ms (${what})`,
    met: ratio <= budget,
  };
}

export function limitRow(name: string, budget: number, measured: number, unit: string, detail: string): Row {
  return {
    name,
    budget: `≤ ${budget} ${unit}`,
    result: `${measured >= 100 ? Math.round(measured) : Number(measured.toPrecision(3))} ${unit}`,
    detail,
    met: measured <= budget,
  };
}
