// Progress of pulls and builds on stderr: one row per layer on a terminal, plain lines elsewhere, JSON on request.

import { shortId } from "../../base/ids.js";
import { formatSize } from "../../base/units.js";
import type { Progress } from "../../sdk/index.js";
import type { Context, Sink } from "../context.js";
import { text } from "../flags.js";
import { safeLine } from "./safe-text.js";
import { truncate } from "./table.js";

/** The flag of every verb that takes long. */
export const progressFlag = text("MODE", "How progress is shown", {
  choices: ["auto", "plain", "json", "none"],
  fallback: "auto: rows on a terminal, plain lines elsewhere",
});

/** Draws updates until it is closed. */
export interface ProgressView {
  update(step: Progress): void;
  /** Leaves the last state on the screen. */
  close(): Promise<void>;
}

/** @param mode of `--progress`; quiet wins over it */
export function openProgress(context: Context, mode: string | undefined, quiet: boolean): ProgressView {
  const wanted = quiet ? "none" : (mode ?? "auto");
  const terminal = context.stderr.isTTY && context.env.TERM !== "dumb";
  if (wanted === "none") return { update: () => undefined, close: async () => undefined };
  if (wanted === "json") return jsonView(context.stderr);
  if (wanted === "plain" || !terminal) return plainView(context.stderr);
  return new RowsView(context.stderr);
}

function jsonView(sink: Sink): ProgressView {
  let last: Promise<void> = Promise.resolve();
  return {
    update: (step) => {
      last = sink.write(`${JSON.stringify(step)}\n`);
    },
    close: () => last,
  };
}

/** A line whenever a step changes what it does, and for what is counted each tenth: a log must not fill. */
function plainView(sink: Sink): ProgressView {
  const seen = new Map<string, string>();
  let last: Promise<void> = Promise.resolve();
  return {
    update: (step) => {
      const state = `${step.status} ${step.message} ${tenthOf(step)}`;
      if (seen.get(step.id) === state) return;
      seen.set(step.id, state);
      last = sink.write(`${stepName(step.id)}: ${describe(step)}\n`);
    },
    close: () => last,
  };
}

/** Of bytes nobody wants to know: they take seconds. What has a unit of its own takes minutes. */
function tenthOf({ unit, current, total }: Progress): number {
  return unit === "" || total <= 0 ? 0 : Math.floor((10 * current) / total);
}

const FRAME_MS = 100;
/** Rows that scroll off the top could not be redrawn; more layers than this share the last row. */
const MAX_ROWS = 20;

/** Redraws its rows in place, at most ten times a second. */
class RowsView implements ProgressView {
  readonly #sink: Sink;
  readonly #steps = new Map<string, Progress>();
  #drawn = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  update(step: Progress): void {
    this.#steps.set(step.id, step);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#draw();
    }, FRAME_MS);
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#steps.size > 0) await this.#draw();
  }

  async #draw(): Promise<void> {
    const rows = renderRows([...this.#steps.values()], this.#sink.columns);
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : "";
    this.#drawn = rows.length;
    await this.#sink.write(up + rows.map((row) => `\r\x1b[2K${row}\n`).join(""));
  }
}

/** The rows for these steps, each no wider than the terminal. */
export function renderRows(steps: readonly Progress[], columns: number): string[] {
  const shown = steps.length <= MAX_ROWS ? steps : steps.slice(0, MAX_ROWS - 1);
  const rows = shown.map((step) => `${stepName(step.id)}: ${describeWithBar(step, columns)}`);
  if (shown.length < steps.length) rows.push(`and ${steps.length - shown.length} more`);
  return rows.map((row) => truncate(row, Math.max(20, columns - 1)));
}

const FINAL: readonly string[] = ["done", "exists"];
const LEAST_BAR = 12;
const MOST_BAR = 40;

function describeWithBar(step: Progress, columns: number): string {
  if (step.total <= 0 || step.current >= step.total || FINAL.includes(step.status)) return describe(step);
  const sizes = amounts(step);
  const word = capital(step.status);
  const width = Math.min(MOST_BAR, columns - 14 - word.length - sizes.length - 6);
  if (width < LEAST_BAR) return `${word} ${sizes}`;
  const filled = Math.min(width, Math.floor((step.current / step.total) * width));
  const bar = filled === width ? "=".repeat(width) : `${"=".repeat(filled)}>`.padEnd(width);
  return `${word} [${bar}] ${sizes}`;
}

/** "3.1MB/28MB", or "120 of about 2140 objects". */
function amounts({ current, total, unit }: Progress): string {
  if (unit === "") return `${formatSize(current)}/${formatSize(total)}`;
  return `${current} of about ${total} ${safeLine(unit)}`;
}

function describe(step: Progress): string {
  const message = step.message === "" ? "" : ` ${safeLine(step.message)}`;
  const done = step.status === "done" && step.total > 0;
  const counted = step.unit !== "" && step.total > 0;
  const all = counted ? ` ${step.total} ${safeLine(step.unit)}` : ` ${formatSize(step.total)}`;
  const size = done ? all : counted ? ` ${amounts(step)}` : "";
  return `${capital(safeLine(step.status))}${size}${message}`;
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function stepName(id: string): string {
  return safeLine(/^(sha256:)?[0-9a-f]{64}$/.test(id) ? shortId(id) : id);
}
