// What the agent of this session can do beyond that of kiln 0.1.0: asked of itself, never told from a version.

import { orAborted } from "../base/abort.js";
import { Code, KilnError } from "../base/errors.js";
import type { CallLimits } from "./limits.js";

const FEATURES = [
  ...(["hold", "exec-resume", "input", "workloads"] as const),
  ...(["disk-serial", "mounts", "names", "cards"] as const),
] as const;

export type Feature = (typeof FEATURES)[number];

/** What State says of it; an agent of 0.1.0 says nothing. */
interface Told {
  readonly features: readonly string[];
}

/** How long an agent may take to say what it can: a guest that is starved answers late, a silent one never. */
const LONGEST_MS = 15_000;

export class Features {
  readonly #ask: (limits: CallLimits) => Promise<Told>;
  #known: ReadonlySet<Feature> | undefined;
  #coming: Promise<ReadonlySet<Feature>> | undefined;

  /** @param ask a State call of its own, made only where nobody else's has told before */
  constructor(ask: (limits: CallLimits) => Promise<Told>) {
    this.#ask = ask;
  }

  /** Takes the answer of a State call that somebody makes for something else; none that fails. */
  note<T extends Told>(answer: Promise<T>): Promise<T> {
    const coming = answer.then(readFeatures);
    this.#coming ??= coming;
    coming.then(
      (features) => {
        this.#known ??= features;
      },
      () => {
        if (this.#coming === coming) this.#coming = undefined;
      },
    );
    return answer;
  }

  /**
   * Asks the agent only where it has said nothing yet in this session.
   *
   * @param limits a time above 15 s counts as 15 s
   * @throws KilnError deadline_exceeded `timeout`, unavailable `guest-unavailable`; the signal's reason
   */
  async has(feature: Feature, limits: CallLimits = {}): Promise<boolean> {
    if (this.#known !== undefined) return this.#known.has(feature);
    const { signal, timeoutMs = LONGEST_MS } = limits;
    const ms = Math.min(timeoutMs, LONGEST_MS);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(tookTooLong()), ms);
    try {
      const either = signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]);
      return (await orAborted(this.#told(ms), either)).has(feature);
    } finally {
      clearTimeout(timer);
    }
  }

  /** @throws KilnError failed_precondition `agent-too-old`; as `has` */
  async need(feature: Feature, what: string, limits?: CallLimits): Promise<void> {
    if (await this.has(feature, limits)) return;
    throw new KilnError(Code.FailedPrecondition, `${what}: the VM runs an agent of an older kiln`, {
      reason: "agent-too-old",
      hint: "restart the VM: it then boots with the agent of this kiln",
    });
  }

  /** Where somebody else's call fails, whatever it fails with, one of its own is made. */
  async #told(timeoutMs: number): Promise<ReadonlySet<Feature>> {
    const coming = await this.#coming?.catch(() => undefined);
    if (coming !== undefined) return coming;
    return readFeatures(await this.note(this.#ask({ timeoutMs })));
  }
}

function tookTooLong(): KilnError {
  return new KilnError(Code.DeadlineExceeded, "the guest's agent took too long", { reason: "timeout" });
}

/** The guest's word: what this kiln knows of it counts. */
function readFeatures({ features }: Told): ReadonlySet<Feature> {
  return new Set(FEATURES.filter((feature) => features.includes(feature)));
}
