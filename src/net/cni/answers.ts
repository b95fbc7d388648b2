// Whoever answers a guest that asks for its address on a CNI network: a kiln-lease in the card's namespace, which tells it what the
// plugins have given.

import { rm } from "node:fs/promises";
import * as v from "valibot";
import { parseAddress } from "../../base/cidr.js";
import { makeDirectory } from "../../base/files.js";
import { isRoot } from "../bridge/ground.js";
import { networkFailed, runProgram } from "../bridge/run-program.js";
import { endAnswerer, ensureAnswerer, writeAnswers } from "../lease/answerer.js";
import { type LeaseCard, type LeaseNetwork, planLeaseFile } from "../lease/plan-file.js";
import type { CniJoined, LeaseSettings } from "../types.js";

/** Of its frames: nobody's on any network. */
const SENDER = "06:6b:69:6c:6e:00";
/** Where a guest has no router to which it could send its renewals: it finds out, and asks everybody. */
const NOWHERE = "169.254.0.1";
const NO_ROUTER = "fe80::6b69:6c6e";

export interface CniAnswering {
  readonly directory: string;
  readonly bwrap: string;
  readonly lease: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Path of ip(8). */
  readonly ip: string;
  /** Goes before what is to run where the plugins' links are. */
  readonly outside: readonly string[];
  /** Goes before what is to run in the card's namespace. */
  readonly prefix: readonly string[];
  readonly network: string;
  readonly tap: string;
  readonly ifName: string;
}

/** Idempotent: begins where it has ended. @throws KilnError unavailable `network-failed` */
export async function answer(options: CniAnswering, joined: CniJoined, lease: LeaseSettings): Promise<void> {
  const { directory, outside, ip, tap, ifName } = options;
  await makeDirectory(directory);
  const router6 = await linkLocalOf([...outside, ip], joined.gateway6);
  await writeAnswers(
    options,
    planLeaseFile(leaseNetwork(joined, router6), [leaseCard(joined, router6, lease)]),
  );
  const what = `what answers a guest on CNI network ${options.network}`;
  await ensureAnswerer({ ...options, what, isOwnUser: isRoot(), on: tap, with: ifName });
}

/** Idempotent. */
export async function answerNoMore(directory: string): Promise<void> {
  await endAnswerer({ directory });
  await rm(directory, { recursive: true, force: true });
}

/** The families that it is asked of. */
export function answeredFamilies({ addresses }: Pick<CniJoined, "addresses">): string {
  const has = (isOf6: boolean) => addresses.some((address) => address.includes(":") === isOf6);
  return `${has(false) ? "4" : ""}${has(true) ? "6" : ""}`;
}

/** Pure. */
export function leaseNetwork(
  { mtu, gateway4 }: Pick<CniJoined, "mtu" | "gateway4">,
  router6: string | undefined,
): LeaseNetwork {
  const [server4, link6] = [gateway4 || NOWHERE, router6 ?? NO_ROUTER];
  return { sender: SENDER, server4, link6, hasRouter: false, mtu };
}

/** Pure. */
export function leaseCard(
  { mac, addresses, gateway4, dns }: Omit<CniJoined, "card">,
  router6: string | undefined,
  { hostname, routed, ...asked }: LeaseSettings,
): LeaseCard {
  const first = (isOf6: boolean) => addresses.find((one) => one.includes(":") === isOf6) ?? "";
  return {
    ...{ mac, ip4: first(false), ip6: first(true), hostname },
    router4: routed.v4 ? "" : gateway4,
    router6: router6 !== undefined && !routed.v6,
    dns: asked.dns ?? dns.servers,
    search: asked.search ?? dns.search,
  };
}

const LinksSchema = v.array(
  v.looseObject({
    addr_info: v.optional(
      v.array(
        v.looseObject({
          local: v.optional(v.string(), ""),
          scope: v.optional(v.string(), ""),
        }),
      ),
      [],
    ),
  }),
);

/** By which address a router advertises itself that is a link of the host's, as bridge's and ptp's is. */
async function linkLocalOf(ip: readonly string[], gateway: string): Promise<string | undefined> {
  if (gateway === "") return undefined;
  const text = await runProgram("look for a CNI network's router", [...ip, "-j", "-6", "address", "show"]);
  try {
    return linkLocalIn(text, gateway);
  } catch (error) {
    throw networkFailed(`look for a CNI network's router: ${(error as Error).message}`, error);
  }
}

/** @param text of `ip -j -6 address show`. @throws Error where it is not what iproute2 writes */
export function linkLocalIn(text: string, gateway: string): string | undefined {
  const wanted = parseAddress(gateway)?.value;
  const links = v.parse(LinksSchema, JSON.parse(text.trim() || "[]"));
  const link = links.find(({ addr_info: all }) =>
    all.some(({ local }) => parseAddress(local)?.value === wanted),
  );
  return link?.addr_info.find(({ scope }) => scope === "link")?.local;
}
