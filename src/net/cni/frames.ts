// What keeps guests on CNI networks to their addresses and policies: rules that the kernel of this host may or may not be able to
// keep, which is tried where nobody sees it.

import { rm } from "node:fs/promises";
import type { EgressPolicy } from "../../base/egress.js";
import { formatEgress } from "../../base/egress.js";
import { Code, KilnError } from "../../base/errors.js";
import { writeFileAtomic } from "../../base/files.js";
import { findProgram } from "../../base/programs.js";
import { Recent } from "../../base/recent.js";
import { parseListing } from "../bridge/found.js";
import { runProgram } from "../bridge/run-program.js";
import type { CardCounters, CniKeeping } from "../types.js";
import { FRAMES_TABLE, type FramesPlan, planFrames } from "./plan-frames.js";

/** What was here once is looked for no more: a VM whose rules can't be loaded after all does not start. */
const KEEP_MS = Number.POSITIVE_INFINITY;
const MODULES = "nf_tables nft_fwd_netdev nft_reject_netdev";

/** How rules are loaded, or why they are not. */
type Means = { readonly nft: string; readonly rejects: boolean } | { readonly why: string };

/** What is loaded when the card's tap is there. */
export interface LoadedRules {
  readonly nft: string;
  readonly file: string;
}

export class CniFrames {
  readonly #means = new Recent<Means>(KEEP_MS);

  /** Whether there is anything is asked each time, until there is: a look may fail for other reasons. */
  #found(): Promise<Means> {
    return this.#means.get(findMeans, (means) => !("why" in means));
  }

  async look(): Promise<CniKeeping> {
    const means = await this.#found();
    return "why" in means
      ? { isKept: false, why: `guests on CNI networks are not held to their addresses: ${means.why}` }
      : { isKept: true, why: `guests on CNI networks are held to their addresses by ${means.nft}` };
  }

  /** @throws KilnError failed_precondition `egress-not-ready` where the policy can't be kept */
  async require(network: string, egress: EgressPolicy): Promise<void> {
    const means = await this.#found();
    if ("why" in means && egress.kind !== "all") throw notKept(network, egress, means.why);
  }

  /**
   * Undefined where this host can't keep any, and none is asked for.
   *
   * @throws KilnError as `require`
   */
  async write(
    file: string,
    network: string,
    plan: Omit<FramesPlan, "rejects">,
  ): Promise<LoadedRules | undefined> {
    await this.require(network, plan.egress);
    const means = await this.#found();
    if ("why" in means) return undefined;
    await writeFileAtomic(file, planFrames({ ...plan, rejects: means.rejects }), { durable: false });
    return { nft: means.nft, file };
  }

  /** Idempotent. */
  forget(file: string): Promise<void> {
    return rm(file, { force: true });
  }

  /** @param prefix goes before what is to run in the card's namespace. @throws KilnError unavailable `network-failed` */
  async counters(prefix: readonly string[]): Promise<CardCounters> {
    const means = await this.#found();
    if ("why" in means) return { denied: 0, forged: 0 };
    const argv = [...prefix, means.nft, "-j", "list", "counters"];
    const listing = parseListing(await runProgram("count what a card was refused", argv));
    const of = (wanted: string) =>
      listing.find(({ counter }) => counter?.table === FRAMES_TABLE && counter.name === wanted)?.counter
        ?.packets ?? 0;
    return { denied: of("denied"), forged: of("forged") };
  }
}

async function findMeans(): Promise<Means> {
  const [nft, ip] = await Promise.all(["nft", "ip"].map((name) => findProgram(name)));
  if (nft === undefined || ip === undefined) return { why: "nftables is not installed" };
  const first = await tryRules(nft, ip, true);
  if (first === undefined) return { nft, rejects: true };
  const why = await tryRules(nft, ip, false);
  if (why === undefined) return { nft, rejects: false };
  return { why: `${why} (where modules are missing, as root: modprobe -a ${MODULES})` };
}

/** Why this kernel, or this nft, does not take them. */
async function tryRules(nft: string, ip: string, rejects: boolean): Promise<string | undefined> {
  const links = [TRIED.tap, TRIED.link].map((name) => `${ip} link add ${name} type veth peer name ${name}0`);
  const script = [...links, `exec ${nft} -f -`].join(" && ");
  const isRoot = process.getuid?.() === 0;
  const unshare = ["unshare", ...(isRoot ? [] : ["--user", "--map-root-user"]), "--net", "--"];
  try {
    await runProgram(
      "load rules to try",
      [...unshare, "sh", "-c", script],
      planFrames({ ...TRIED, rejects }),
    );
    return undefined;
  } catch (error) {
    return KilnError.from(error).message;
  }
}

const TRIED: FramesPlan = {
  ...{ tap: "try1", link: "try2", mac: "02:00:00:00:00:01" },
  addresses: ["192.0.2.2/24", "2001:db8::2/64"],
  ...{ gateway4: "192.0.2.1", gateway6: "2001:db8::1", resolvers: ["192.0.2.3", "2001:db8::3"] },
  ...{ egress: { kind: "none" }, answered: "46", rejects: true },
};

function notKept(network: string, egress: EgressPolicy, why: string): KilnError {
  const what = `--egress ${formatEgress(egress)} can't be kept on network cni:${network}: ${why}`;
  return new KilnError(Code.FailedPrecondition, what, {
    reason: "egress-not-ready",
    hint: "install nftables, or use a network of `kiln network create`",
  });
}
