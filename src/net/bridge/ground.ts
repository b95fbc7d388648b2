// The programs and the place that networks stand on: found again, or made where they are needed.

import { dirname, join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { KeyedLock } from "../../base/lock.js";
import type { NetworkSpec } from "../../base/networks.js";
import { readHostDns } from "../host-dns.js";
import type { BridgeVerdict, TakenRange } from "../types.js";
import { hostPlace, isForwardingOff } from "./host-place.js";
import { refusalOfKernel } from "./kernel.js";
import { type FoundPasst, findPrograms, refusalForUser, takenRanges, verdict, warningsOf } from "./look.js";
import type { BridgePrograms, Place } from "./place.js";
import { runProgram } from "./run-program.js";
import {
  endUserPlace,
  ensureUserPlace,
  findUserPlace,
  isUserPlaceWhole,
  type UserPlaceOptions,
} from "./user-place.js";

export interface GroundOptions {
  /** Of this data root, for a boot of the host: private to kilnd. */
  readonly directory: string;
  /** Paths of kiln-tap and kiln-lease. */
  readonly tap: string;
  readonly lease: string;
  readonly bwrap?: string | undefined;
  /** Which passt, which has pasta beside it, or why there is none; asked when it is needed. */
  readonly passt: () => Promise<FoundPasst>;
  readonly netguard: string | undefined;
  /** Of every process. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

export interface Ground {
  readonly programs: BridgePrograms;
  readonly place: Place;
}

export class Grounds {
  readonly #options: GroundOptions;
  readonly #lock = new KeyedLock();
  /** The kernel can: modules go no more once they are used. */
  #isTried = false;

  constructor(options: GroundOptions) {
    this.#options = options;
  }

  async look(): Promise<BridgeVerdict> {
    const programs = await findPrograms(this.#options);
    if (typeof programs === "string") return verdict(programs, undefined, []);
    const device = isRoot() ? undefined : await refusalForUser(await this.#options.passt());
    const refusal = device ?? (this.#isTried ? undefined : await refusalOfKernel(programs, isRoot()));
    if (refusal !== undefined) return verdict(programs, refusal, []);
    this.#isTried = true;
    if (!isRoot()) return verdict(programs, undefined, []);
    const rules = await runProgram("look at the host's rules", [programs.nft, "-j", "list", "ruleset"]);
    return verdict(programs, undefined, warningsOf(rules));
  }

  async taken(): Promise<readonly TakenRange[]> {
    const programs = await findPrograms(this.#options);
    return typeof programs === "string" ? [] : takenRanges(programs.ip);
  }

  /** Made where it is not. @throws KilnError failed_precondition `no-bridge-network`; unavailable `network-failed` */
  async ensure(): Promise<Ground> {
    const programs = await this.#programs();
    if (isRoot()) return { programs, place: hostPlace((await readHostDns()).servers) };
    const passt = await this.#options.passt();
    const refusal = await refusalForUser(passt);
    if (refusal !== undefined) throw noNetworks(refusal);
    const options = await this.#userPlace(passt.program ?? "");
    const place = await this.#lock.run("place", async () => ensureUserPlace(options));
    return { programs, place };
  }

  /** Undefined where there is none, and so nothing on it; or nothing by which it could have been made. */
  async find(): Promise<Ground | undefined> {
    const programs = await findPrograms(this.#options);
    if (typeof programs === "string") return undefined;
    if (isRoot()) return { programs, place: hostPlace((await readHostDns()).servers) };
    const place = await findUserPlace(await this.#userPlace(""));
    return place === undefined ? undefined : { programs, place };
  }

  /** That none of the processes of a user's place has died. */
  async isWhole(): Promise<boolean> {
    return isRoot() || (await isUserPlaceWhole(this.#directory));
  }

  /** Of a network that is up. In a user's place nobody else switches anything. */
  async isForwardingOff(spec: NetworkSpec): Promise<boolean> {
    return isRoot() && (await isForwardingOff(spec));
  }

  /** A user's own namespace ends where nobody is on it. @returns whether that was so */
  end(isEmpty: () => boolean): Promise<boolean> {
    return this.#lock.run("place", async () => {
      if (!isEmpty()) return false;
      if (!isRoot()) await endUserPlace(this.#directory);
      return true;
    });
  }

  async #programs(): Promise<BridgePrograms> {
    const programs = await findPrograms(this.#options);
    if (typeof programs === "string") throw noNetworks(programs);
    return programs;
  }

  async #userPlace(passt: string): Promise<UserPlaceOptions> {
    const { netguard, environment = {} } = this.#options;
    const { servers } = await readHostDns();
    return {
      directory: this.#directory,
      pasta: join(dirname(passt), "pasta"),
      netguard,
      environment,
      servers,
    };
  }

  get #directory(): string {
    return join(this.#options.directory, "place");
  }
}

/** Whose networks are in the host's own namespace. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function noNetworks(why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `there can be no named networks here: ${why}`, {
    reason: "no-bridge-network",
    hint: "`kiln doctor` names what is missing; --network user needs none of it",
  });
}
