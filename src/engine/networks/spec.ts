// What a network may be: name, driver, options, labels. Its addresses are address-plan.ts's. Pure.

import { Code, KilnError } from "../../base/errors.js";
import { isNetworkName } from "../../base/network-flag.js";
import { nearest } from "../../base/suggest.js";
import { DEFAULT_MTU } from "./record.js";

/** What is asked of a new network. */
export interface NetworkOrder {
  readonly name: string;
  /** "" is "bridge". */
  readonly driver: string;
  /** One of each family at most, as are gateways and ranges. None: one of IPv4 is chosen. */
  readonly subnets: readonly string[];
  readonly gateways: readonly string[];
  /** Of IPv4: addresses are chosen from this part of the subnet. */
  readonly ranges: readonly string[];
  /** It has IPv6 too, of a subnet that is chosen where none is given. */
  readonly ipv6: boolean;
  readonly internal: boolean;
  readonly dnsDisabled: boolean;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

/** What the options say. */
export interface NetworkTraits {
  readonly isolated: boolean;
  readonly mtu: number;
}

const LEAST_MTU = 1280;
const MOST_MTU = 65_520;
/** Kiln's own name of each, and Docker's. */
const OPTION_NAMES: Readonly<Record<string, "mtu" | "isolated" | "icc">> = {
  mtu: "mtu",
  "com.docker.network.driver.mtu": "mtu",
  isolated: "isolated",
  isolate: "isolated",
  "com.docker.network.bridge.enable_icc": "icc",
};

/** @throws KilnError invalid_argument `bad-name`, `bad-label`, `bad-network-option`; unimplemented `driver-not-supported` */
export function checkOrder(order: NetworkOrder): NetworkTraits {
  if (!isNetworkName(order.name)) {
    throw invalid(
      "bad-name",
      `"${order.name}" is not a name for a network`,
      "use letters, digits, _ . and -, at most 63, beginning with a letter or digit; user, none, host and default have a meaning already",
    );
  }
  checkDriver(order.driver);
  if (Object.hasOwn(order.labels, ""))
    throw invalid("bad-label", "a label needs a name", "write --label NAME=VALUE");
  return traitsOf(order.options);
}

function checkDriver(driver: string): void {
  if (driver === "" || driver === "bridge") return;
  if (!/^cni:./.test(driver)) {
    throw invalid("bad-driver", `there is no network driver "${driver}"`, "leave -d out for a bridge");
  }
  throw new KilnError(Code.Unimplemented, `networks of CNI plugins (${driver}) can't be made yet`, {
    reason: "driver-not-supported",
    hint: "leave -d out for a bridge",
  });
}

function traitsOf(options: Readonly<Record<string, string>>): NetworkTraits {
  let traits: NetworkTraits = { isolated: false, mtu: DEFAULT_MTU };
  for (const [name, value] of Object.entries(options)) {
    const known = Object.hasOwn(OPTION_NAMES, name) ? OPTION_NAMES[name] : undefined;
    if (known === undefined) throw unknownOption(name);
    if (known === "mtu") traits = { ...traits, mtu: mtuOf(value) };
    else traits = { ...traits, isolated: flagOf(name, value) !== (known === "icc") };
  }
  return traits;
}

function mtuOf(text: string): number {
  const mtu = Number(text);
  if (/^\d{1,5}$/.test(text) && mtu >= LEAST_MTU && mtu <= MOST_MTU) return mtu;
  throw invalid(
    "bad-network-option",
    `"${text}" is no MTU for a network`,
    `give ${LEAST_MTU} to ${MOST_MTU}`,
  );
}

function flagOf(name: string, text: string): boolean {
  if (text === "true" || text === "1" || text === "") return true;
  if (text === "false" || text === "0") return false;
  throw invalid("bad-network-option", `"${text}" is no value of ${name}`, "write true or false");
}

function unknownOption(name: string): KilnError {
  const near = nearest(name, Object.keys(OPTION_NAMES));
  const known = "there are mtu=BYTES and isolated=true; bridges are named by kiln";
  return invalid(
    "bad-network-option",
    `there is no option "${name}" of networks`,
    near === undefined ? known : `did you mean ${near}?`,
  );
}

function invalid(reason: string, message: string, hint: string): KilnError {
  return new KilnError(Code.InvalidArgument, message, { reason, hint });
}
