// Published ports as people write them: `-p [host_ip:][host_port:]vm_port[/protocol]`, Docker's form.

import { isIP, isIPv4 } from "node:net";
import { Code, KilnError } from "./errors.js";

export type PortProtocol = "tcp" | "udp";

/** One port of the host that leads to one port of the VM. */
export interface PortMapping {
  /** An IP address of the host, without brackets. */
  readonly hostIp: string;
  /** 0: any free one. */
  readonly hostPort: number;
  /** Above `hostPort`: the first free one from there to here. Absent of what is bound. */
  readonly hostPortEnd?: number;
  readonly vmPort: number;
  readonly protocol: PortProtocol;
}

/** Where a port is bound when nobody says where: every IPv4 address of the host. */
export const DEFAULT_HOST_IP = "0.0.0.0";

const HINT =
  "write [ip:][host-port:]vm-port[/tcp|/udp], for example 8080:80, 127.0.0.1:8000-8010:80-90, 8000-8010:80 for the first " +
  "free one of a range, or [::1]:53:53/udp";

/** One mapping and no more than this many in one range: each costs a listener. */
const MAX_RANGE = 1024;

interface Range {
  readonly first: number;
  readonly last: number;
}

/**
 * The mappings that one `-p` names; several where it holds a range.
 *
 * @throws KilnError invalid_argument `bad-port`
 */
export function parsePortMappings(text: string): PortMapping[] {
  const { body, protocol } = splitProtocol(text);
  const { hostIp, rest } = splitHostIp(text, body);
  const parts = rest.split(":");
  if (parts.length > 2) throw badPort(text, "it has too many colons");
  const vm = parseRange(text, parts[parts.length - 1] ?? "", 1);
  const host = parts.length === 1 || parts[0] === "" ? undefined : parseRange(text, parts[0] ?? "", 0);
  const mapping = { hostIp, protocol, vmPort: vm.first };
  if (host !== undefined && lengthOf(host) !== lengthOf(vm)) {
    if (lengthOf(vm) !== 1) {
      throw badPort(text, `the ranges differ in length (${lengthOf(host)} and ${lengthOf(vm)})`);
    }
    if (host.first === 0) throw badPort(text, "a range of host ports begins with 1 or more");
    return [{ ...mapping, hostPort: host.first, hostPortEnd: host.last }];
  }
  if (lengthOf(vm) > MAX_RANGE) throw badPort(text, `a range holds at most ${MAX_RANGE} ports`);
  return Array.from({ length: lengthOf(vm) }, (_, index) => ({
    ...mapping,
    vmPort: vm.first + index,
    hostPort: host === undefined ? 0 : host.first + index,
  }));
}

const lengthOf = ({ first, last }: Range): number => last - first + 1;

/** "127.0.0.1:8080->80/tcp", as `ps` shows it. */
export function formatPortMapping(mapping: PortMapping): string {
  const end = mapping.hostPortEnd === undefined ? "" : `-${mapping.hostPortEnd}`;
  const host = `${formatHostPort(mapping.hostIp, mapping.hostPort)}${end}`;
  return `${host}->${mapping.vmPort}/${mapping.protocol}`;
}

/** "127.0.0.1:80" or "[::1]:80". */
export function formatHostPort(ip: string, port: number): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function splitProtocol(text: string): { body: string; protocol: PortProtocol } {
  const slash = text.indexOf("/");
  if (slash < 0) return { body: text, protocol: "tcp" };
  const word = text.slice(slash + 1).toLowerCase();
  if (word !== "tcp" && word !== "udp") throw badPort(text, `"${word}" is not a protocol`);
  return { body: text.slice(0, slash), protocol: word };
}

function splitHostIp(text: string, body: string): { hostIp: string; rest: string } {
  if (body.startsWith("[")) {
    const end = body.indexOf("]:");
    const hostIp = body.slice(1, end);
    if (end < 0 || isIP(hostIp) !== 6) throw badPort(text, "the brackets hold no IPv6 address");
    return { hostIp, rest: body.slice(end + 2) };
  }
  const colon = body.indexOf(":");
  const first = body.slice(0, colon);
  if (colon < 0 || !first.includes(".")) return { hostIp: DEFAULT_HOST_IP, rest: body };
  if (!isIPv4(first)) throw badPort(text, `"${first}" is not an IP address`);
  return { hostIp: first, rest: body.slice(colon + 1) };
}

function parseRange(text: string, range: string, lowest: number): Range {
  const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(range);
  if (match === null) throw badPort(text, range === "" ? "a port is missing" : `"${range}" is not a port`);
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  if (first < lowest || last > 65535) throw badPort(text, `ports go from ${lowest} to 65535`);
  if (last < first) throw badPort(text, `the range ${range} runs backwards`);
  return { first, last };
}

function badPort(text: string, why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `cannot publish "${text}": ${why}`, {
    reason: "bad-port",
    hint: HINT,
  });
}
