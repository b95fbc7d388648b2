// Which passt there is and whether it may be used: one whose options close the host's loopback, that begins and confines
// itself here, with the guard loaded.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { realpath, stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { KilnError } from "../../base/errors.js";
import { keepText } from "../../base/kept-text.js";
import { assertAnnounced, prepareNetguard } from "../../base/netguard.js";
import { findPrograms } from "../../base/programs.js";
import { deferred } from "../../base/runtime.js";
import { SingleFlight } from "../../base/single-flight.js";
import { ANNOUNCE_FD, CARD_FD, type PasstPlan, planPasst } from "./plan.js";

/** In passt since August 2024: after the holes in 2023's were closed, and in every version that --no-map-gw is right in. */
const TELLING_OPTION = "--map-host-loopback";
const TIMEOUT_MS = 10_000;

export interface PasstVerdict {
  /** Real path of a passt that may be used. */
  readonly program: string | undefined;
  /** For `kiln info` and the log. */
  readonly why: string;
}

export interface PasstProbeOptions {
  /** Path or name; a name is looked for in all of PATH. Default passt. */
  readonly passt?: string | undefined;
  /** The built library of agent/netguard. */
  readonly netguard?: string | undefined;
}

/** Asks each passt once: the verdict on one file stands as long as the file does. What a try failed of may pass. */
export class PasstProber {
  readonly #options: PasstProbeOptions;
  readonly #running = new SingleFlight<PasstVerdict>();
  readonly #usable = new Set<string>();
  readonly #old = new Set<string>();

  constructor(options: PasstProbeOptions) {
    this.#options = options;
  }

  probe(): Promise<PasstVerdict> {
    return this.#running.run("probe", {}, () => this.#probe());
  }

  async #probe(): Promise<PasstVerdict> {
    const refusals: string[] = [];
    const paths = await findPrograms(this.#options.passt ?? "passt");
    for (const program of new Set(await Promise.all(paths.map((path) => realpath(path))))) {
      const refusal = await this.#judgeOnce(program);
      if (refusal === undefined) return { program, why: `user network by ${program}` };
      refusals.push(refusal);
    }
    if (refusals.length === 0) refusals.push("passt is not installed");
    return { program: undefined, why: `no user network: ${refusals.join("; ")}` };
  }

  /** Why it may not be used; undefined where it may. */
  async #judgeOnce(program: string): Promise<string | undefined> {
    const { dev, ino, mtimeMs, size } = await stat(program);
    const identity = `${program} ${dev} ${ino} ${mtimeMs} ${size}`;
    if (this.#usable.has(identity)) return undefined;
    if (this.#old.has(identity)) return tooOld(program);
    try {
      if (!(await isNewEnough(program))) {
        this.#old.add(identity);
        return tooOld(program);
      }
      const guard = await prepareNetguard(this.#options.netguard);
      const uid = process.getuid?.() ?? 0;
      await tryPasst(planPasst({ program, guard, egress: { kind: "all" }, uid, runAs: undefined }));
      this.#usable.add(identity);
      return undefined;
    } catch (error) {
      return `${program}: ${KilnError.from(error).message.split("\n")[0]}`;
    }
  }
}

function tooOld(program: string): string {
  return `${program} is older than August 2024, before which passt lets guests reach this host's loopback`;
}

/** Old ones print their help on stderr and end with an error. */
function isNewEnough(program: string): Promise<boolean> {
  const limits = { timeout: TIMEOUT_MS, maxBuffer: 256 * 1024 };
  return new Promise((resolve) => {
    execFile(program, ["--help"], limits, (_error, stdout) => resolve(stdout.includes(TELLING_OPTION)));
  });
}

/**
 * Runs it for a moment as a VM's would run, in the background: its first process ends well once the second has confined
 * itself; the second ends when its card goes.
 */
async function tryPasst(plan: PasstPlan): Promise<void> {
  const [program = "", ...args] = plan.argv;
  const child = spawn(
    program,
    args.filter((arg) => arg !== "--foreground"),
    {
      cwd: "/",
      env: { ...plan.env },
      stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
      timeout: TIMEOUT_MS,
    },
  );
  const words = keepText(child.stderr);
  const announce = child.stdio[ANNOUNCE_FD] as Readable;
  const [announced, told] = [keepText(announce), once(announce, "close")];
  const card = child.stdio[CARD_FD] as Readable;
  card.on("error", () => undefined);
  const ended = deferred<void>();
  child.once("error", ended.reject);
  child.once("exit", (code, signal) => {
    if (code === 0) ended.resolve();
    else
      ended.reject(
        new Error(
          `it ended with ${signal ?? `exit code ${code}`} ${words().trim().split("\n").at(-1)}`.trim(),
        ),
      );
  });
  try {
    await ended.promise;
    await told;
    assertAnnounced(announced(), program, plan.guard.library, plan.egress);
  } finally {
    card.destroy();
    child.stderr?.destroy();
  }
}
