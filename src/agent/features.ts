// What the agent of this session can do beyond that of kiln 0.1.0: asked of itself, never told from a version.

import { Code, KilnError } from "../base/errors.js";

const FEATURES = ["hold", "exec-resume", "input", "workloads"] as const;

export type Feature = (typeof FEATURES)[number];

/** What State says of it; an agent of 0.1.0 says nothing. */
interface Told {
  readonly features: readonly string[];
}

export class Features {
  readonly #ask: () => Promise<Told>;
  #known: Promise<ReadonlySet<Feature>> | undefined;

  /** @param ask a State call of its own, made only where nobody else's has told before */
  constructor(ask: () => Promise<Told>) {
    this.#ask = ask;
  }

  /** Takes the answer of a State call that somebody makes for something else; none that fails. */
  note<T extends Told>(answer: Promise<T>): Promise<T> {
    const known = answer.then(readFeatures);
    this.#known ??= known;
    known.catch(() => {
      if (this.#known === known) this.#known = undefined;
    });
    return answer;
  }

  async has(feature: Feature): Promise<boolean> {
    const known = await this.#known?.catch(() => undefined);
    if (known !== undefined) return known.has(feature);
    const answer = this.#ask();
    await this.note(answer);
    return readFeatures(await answer).has(feature);
  }

  /** @throws KilnError failed_precondition `agent-too-old` */
  async need(feature: Feature, what: string): Promise<void> {
    if (await this.has(feature)) return;
    throw new KilnError(Code.FailedPrecondition, `${what}: the VM runs an agent of an older kiln`, {
      reason: "agent-too-old",
      hint: "restart the VM: it then boots with the agent of this kiln",
    });
  }
}

/** The guest's word: what this kiln knows of it counts. */
function readFeatures({ features }: Told): ReadonlySet<Feature> {
  return new Set(FEATURES.filter((feature) => features.includes(feature)));
}
