// What the plugins have made in a card's namespace, as the kernel has it: results leave out what a plugin sets up by itself, as
// ptp does with its routes.

import * as v from "valibot";
import { contains, parseAddress, parseCidr } from "../../base/cidr.js";
import { checkMac } from "../../base/network-flag.js";
import { networkFailed, runProgram } from "../bridge/run-program.js";
import { within } from "./namespace.js";

/** What the guest is to have. */
export interface CniLink {
  readonly mac: string;
  readonly mtu: number;
  /** With prefixes; one that reaches its own network by a router alone has that of a single address. */
  readonly addresses: readonly string[];
  /** "" where there is none. */
  readonly gateway4: string;
  readonly gateway6: string;
}

const LinksSchema = v.pipe(
  v.array(
    v.looseObject({
      mtu: v.pipe(v.number(), v.safeInteger(), v.minValue(68), v.maxValue(65_535)),
      address: v.string(),
      addr_info: v.optional(
        v.array(
          v.looseObject({
            family: v.optional(v.string()),
            local: v.optional(v.string()),
            prefixlen: v.optional(v.number()),
            scope: v.optional(v.string()),
          }),
        ),
        [],
      ),
    }),
  ),
  v.minLength(1),
);
const RoutesSchema = v.array(
  v.looseObject({ dst: v.optional(v.string(), ""), gateway: v.optional(v.string(), "") }),
);
type Routes = v.InferOutput<typeof RoutesSchema>;

/**
 * @param link text of `ip -j address show dev`. @param routes4 text of `ip -j -4 route show dev`, and of -6
 * @throws Error where they are not what iproute2 writes
 */
export function linkOf(link: string, routes4: string, routes6: string): CniLink {
  const [found] = v.parse(LinksSchema, JSON.parse(link));
  if (found === undefined) throw new Error("there is no link");
  const routes = { inet: parseRoutes(routes4), inet6: parseRoutes(routes6) };
  const addresses = found.addr_info.flatMap(({ family, local, prefixlen, scope }) =>
    (family === "inet" || family === "inet6") && scope === "global" && local !== undefined
      ? [`${local}/${prefixOf(local, prefixlen ?? 0, routes[family])}`]
      : [],
  );
  return {
    ...{ mac: checkMac(found.address), mtu: found.mtu, addresses },
    ...{ gateway4: gatewayOf(routes.inet), gateway6: gatewayOf(routes.inet6) },
  };
}

/** iproute2 writes nothing at all where there are none. */
function parseRoutes(text: string): Routes {
  return v.parse(RoutesSchema, JSON.parse(text.trim() || "[]"));
}

function gatewayOf(routes: Routes): string {
  const gateway = routes.find(({ dst, gateway }) => dst === "default" && gateway !== "")?.gateway ?? "";
  return parseAddress(gateway) === undefined ? "" : gateway;
}

function prefixOf(local: string, prefix: number, routes: Routes): number {
  const address = parseAddress(local);
  const whole = address?.family === 4 ? 32 : 128;
  const isOnLink = routes.some(({ dst, gateway }) => {
    const range = gateway === "" ? parseCidr(dst) : undefined;
    return range !== undefined && address !== undefined && contains(range, address);
  });
  return isOnLink ? prefix : whole;
}

/** @param ip its path. @throws KilnError unavailable `network-failed` */
export async function lookInside(ip: string, holder: number, ifName: string): Promise<CniLink> {
  const read = (...words: readonly string[]) =>
    runProgram(`look at ${ifName} of a CNI network`, [...within(holder), ip, "-j", ...words]);
  const [link, routes4, routes6] = await Promise.all([
    read("address", "show", "dev", ifName),
    read("-4", "route", "show", "dev", ifName),
    read("-6", "route", "show", "dev", ifName),
  ]);
  try {
    return linkOf(link, routes4, routes6);
  } catch (error) {
    throw networkFailed(`look at ${ifName} of a CNI network: ${(error as Error).message}`, error);
  }
}

/** Makes a link that has these addresses and leads nowhere. @throws KilnError unavailable `network-failed` */
export async function standInLink(
  ip: string,
  holder: number,
  ifName: string,
  addresses: readonly string[],
): Promise<void> {
  const batch = [
    `link add ${ifName} type veth peer name nowhere`,
    ...addresses.map((address) => `address add ${address} dev ${ifName}`),
  ];
  const argv = [...within(holder), ip, "-batch", "-"];
  await runProgram(`make up for ${ifName} of a CNI network`, argv, `${batch.join("\n")}\n`);
}
