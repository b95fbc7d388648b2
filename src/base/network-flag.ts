// Networks as people name them: `--network NAME[:ip=,ip6=,mac=,alias=]`, `--network cni:NAME[:...]`, and Docker's
// `name=NAME,ip=...`.

import { formatAddress, parseAddress } from "./cidr.js";
import { csvFields } from "./csv-fields.js";
import { Code, KilnError } from "./errors.js";
import { isValidName } from "./ids.js";

/** What a VM is to have of one network: "" and none where kilnd is to choose. */
export interface NetworkAsk {
  /** Name or full id; "cni:NAME" for one that the host's CNI plugins make. */
  readonly name: string;
  readonly ip: string;
  readonly ip6: string;
  /** "02:00:00:00:00:01". */
  readonly mac: string;
  /** Names beside the VM's own, by which others on the network find it. Lower case. */
  readonly aliases: readonly string[];
}

/** The networks that are no objects: a way out of one's own, and nothing. */
export type NetworkMode = "user" | "none";

const FORM = "write user, none, or NAME[:ip=ADDRESS,ip6=ADDRESS,mac=ADDRESS,alias=NAME], or cni:NAME[:...]";
/** As the CNI spec has it. What has a = is a word of a network that is named cni. */
const CNI = /^cni:([A-Za-z0-9][A-Za-z0-9_.-]{0,127})$/;
const ID = /^[0-9a-f]{64}$/;
/** No network has these names: each means something, here or in Docker. */
const RESERVED: ReadonlySet<string> = new Set([
  "user",
  "none",
  "host",
  "default",
  "container",
  "ns",
  "slirp4netns",
  "pasta",
]);
const ITSELF: ReadonlySet<string> = new Set(["localhost.localdomain", "ip6-localhost", "ip6-loopback"]);
/** Of one card: each is a line that the network's resolver reads. */
const MOST_ALIASES = 32;
const ALIAS =
  /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/**
 * @throws KilnError invalid_argument `bad-network`, `network-not-supported`
 */
export function parseNetworkFlag(text: string): NetworkMode | NetworkAsk {
  const { name, words } = splitFlag(text);
  if (name === "") throw badNetwork(text, "its name is missing");
  if (name === "user" || name === "none") {
    if (words.length > 0)
      throw badNetwork(text, `${name} takes no addresses`, "they go with a network of `kiln network create`");
    return name;
  }
  if (name === "host" || name === "container" || name === "ns") throw notSupported(text, name);
  if (!isNetworkName(name) && !ID.test(name) && cniName(name) === undefined)
    throw badNetwork(text, `"${name}" is no network's name`);
  const ask = { name, ip: "", ip6: "", mac: "", aliases: [] as string[] };
  for (const word of words) takeWord(text, ask, word);
  return ask;
}

/** Of a CNI network, without the "cni:"; undefined where it is none. */
export function cniName(name: string): string | undefined {
  return CNI.exec(name)?.[1];
}

/** Also one that may be a name's label in the names that its VMs have: "db.web". */
export function isNetworkName(name: string): boolean {
  return isValidName(name) && !ID.test(name) && !RESERVED.has(name);
}

/** In one form. @throws KilnError invalid_argument `bad-ip` */
function checkAddress(family: 4 | 6, text: string): string {
  const address = parseAddress(text);
  if (address?.family === family) return formatAddress(address);
  throw new KilnError(Code.InvalidArgument, `"${text}" is no IPv${family} address`, {
    reason: "bad-ip",
    hint: family === 4 ? "write it as 10.89.0.5" : "write it as fd00::5",
  });
}

/** Lower case, with colons. @throws KilnError invalid_argument `bad-mac` */
export function checkMac(text: string): string {
  const mac = text.toLowerCase().replaceAll("-", ":");
  const first = Number.parseInt(mac.slice(0, 2), 16);
  const isMac = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac);
  // A card with the address of a group would get what is everybody's.
  if (isMac && first % 2 === 0 && mac !== "00:00:00:00:00:00") return mac;
  const why = isMac
    ? `${mac} is no card's address: it is a group's, or nobody's`
    : `"${text}" is no MAC address`;
  throw new KilnError(Code.InvalidArgument, why, {
    reason: "bad-mac",
    hint: "write six bytes of which the first is even, as 02:00:00:00:00:01",
  });
}

/** In lower case, as resolvers compare. @throws KilnError invalid_argument `bad-alias` */
export function checkAlias(text: string): string {
  const alias = text.toLowerCase();
  // An all-numeric last label is an address to many resolvers.
  const isName = ALIAS.test(alias) && !/(^|\.)\d+$/.test(alias);
  if (isName && !meansItself(alias)) return alias;
  throw new KilnError(Code.InvalidArgument, `"${text}" is no name for a VM on a network`, {
    reason: "bad-alias",
    hint: isName
      ? "every machine is that to itself"
      : "use letters, digits, - and _, with dots between, and not digits alone",
  });
}

/** Whoever uses it means the machine that it is on (RFC 6761), and trusts what listens there: it is nobody else's name. */
export function meansItself(name: string): boolean {
  return /(^|\.)localhost\.?$/i.test(name) || ITSELF.has(name.toLowerCase());
}

/** As it may be written again. */
export function formatNetworkAsk({ name, ip, ip6, mac, aliases }: NetworkAsk): string {
  const words = [
    ...(ip === "" ? [] : [`ip=${ip}`]),
    ...(ip6 === "" ? [] : [`ip6=${ip6}`]),
    ...(mac === "" ? [] : [`mac=${mac}`]),
    ...aliases.map((alias) => `alias=${alias}`),
  ];
  return words.length === 0 ? name : `${name}:${words.join(",")}`;
}

/** Docker's longer form says its name in a word like the others. */
function splitFlag(text: string): { name: string; words: readonly string[] } {
  const isLong = /^[a-z0-9-]+=/.test(text);
  const isCni = /^cni:[^=:]*(:|$)/.test(text);
  const colon = text.indexOf(":", isCni ? "cni:".length : 0);
  if (!isLong && colon < 0) return { name: text, words: [] };
  const fields = csvFields(isLong ? text : text.slice(colon + 1));
  if (fields === undefined) throw badNetwork(text, "its quotes do not match");
  if (!isLong) return { name: text.slice(0, colon), words: fields };
  const names = fields.filter((field) => field.startsWith("name="));
  if (names.length !== 1) throw badNetwork(text, "it has no name=, or several");
  const words = fields.filter((field) => !field.startsWith("name="));
  return { name: names[0]?.slice("name=".length) ?? "", words };
}

type Writable = { -readonly [K in Exclude<keyof NetworkAsk, "aliases">]: string } & { aliases: string[] };

function takeWord(text: string, ask: Writable, word: string): void {
  const [key = "", value = ""] = word.split(/=(.*)/s, 2);
  if (key === "ip") takeOnce(text, ask, key, checkAddress(4, value));
  else if (key === "ip6") takeOnce(text, ask, key, checkAddress(6, value));
  else if (key === "mac" || key === "mac-address") takeOnce(text, ask, "mac", checkMac(value));
  else if (key === "alias") takeAlias(text, ask.aliases, value);
  else throw badNetwork(text, `there is no "${key}" of a VM's network`);
}

function takeOnce(text: string, ask: Writable, key: "ip" | "ip6" | "mac", value: string): void {
  if (ask[key] !== "") throw badNetwork(text, `it has ${key}= twice`);
  ask[key] = value;
}

function takeAlias(text: string, aliases: string[], value: string): void {
  const alias = checkAlias(value);
  if (!aliases.includes(alias)) aliases.push(alias);
  if (aliases.length > MOST_ALIASES) throw badNetwork(text, `it has more than ${MOST_ALIASES} aliases`);
}

function notSupported(text: string, mode: string): KilnError {
  const why =
    mode === "host"
      ? "a VM never shares the host's network"
      : "a VM has a kernel of its own, and shares no network with another VM or a namespace";
  return new KilnError(Code.InvalidArgument, `there is no --network ${text}: ${why}`, {
    reason: "network-not-supported",
    hint:
      mode === "host"
        ? "`user` reaches out through the host, and -p lets in"
        : "put both on one network: `kiln network create NAME`",
  });
}

function badNetwork(text: string, why: string, hint = FORM): KilnError {
  return new KilnError(Code.InvalidArgument, `"${text}" is no network: ${why}`, {
    reason: "bad-network",
    hint,
  });
}
