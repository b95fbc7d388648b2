// What CRI asks of a pod, in the engine's words. Texts that end up in files of the guest's are bounded here, and what a VM
// can't be is refused by name: a runtime beside kiln may take such a pod.

import { isIP } from "node:net";
import { Code, KilnError } from "../base/errors.js";
import { parseSize } from "../base/units.js";
import type { PodSpec } from "../engine/index.js";
import {
  type DNSConfig,
  type LinuxContainerResources,
  NamespaceMode,
  type PodSandboxConfig,
  type PortMapping,
  Protocol,
  type UserNamespace,
} from "../gen/runtime/v1/api_pb.js";
import { textOf } from "./words.js";

/** What a pod's author may say of its VM. */
const MEMORY = "kiln.dev/memory";
const CPUS = "kiln.dev/cpus";

/** @throws KilnError invalid_argument `bad-pod`, failed_precondition `not-in-a-vm` */
export function toPodSpec(config: PodSandboxConfig): PodSpec {
  const { metadata, hostname, logDirectory, dnsConfig, portMappings, annotations, linux } = config;
  if (config.windows !== undefined) throw bad("is one of Windows");
  if (metadata === undefined || metadata.name === "") throw bad("has no name");
  if (!/^[A-Za-z0-9.-]{0,64}$/.test(hostname)) throw bad(`has a host name ${textOf(hostname)}`);
  if (logDirectory !== "" && !isPath(logDirectory)) throw bad(`has a log directory ${textOf(logDirectory)}`);
  const namespaces = linux?.securityContext?.namespaceOptions;
  for (const [what, mode] of [
    ["network", namespaces?.network],
    ["IPC", namespaces?.ipc],
  ] as const) {
    if (mode === NamespaceMode.NODE) throw notInVm(`the host's ${what} namespace`);
  }
  const { name, namespace, uid, attempt } = metadata;
  return {
    ...{ name, namespace, uid, attempt, hostname, logDirectory },
    dns: toDns(dnsConfig),
    ports: portMappings.filter(({ hostPort }) => hostPort !== 0).map(toPort),
    sysctls: toSysctls(linux?.sysctls ?? {}),
    cgroupParent: linux?.cgroupParent ?? "",
    resources: toLimits(linux?.resources),
    overhead: toLimits(linux?.overhead),
    wished: toWishes(annotations),
    users: toUsers(namespaces?.usernsOptions),
  };
}

/** Lines of resolv.conf: a word must not become another line. */
function toDns(config: DNSConfig | undefined): PodSpec["dns"] {
  if (config === undefined) return undefined;
  const { servers, searches, options } = config;
  if (servers.length + searches.length + options.length === 0) return undefined;
  const stranger = servers.find((server) => isIP(server) === 0);
  if (stranger !== undefined) throw bad(`has a resolver ${textOf(stranger)}, which is no address`);
  const odd = [...searches, ...options].find((word) => !/^[\x21-\x7e]{1,255}$/.test(word));
  if (odd !== undefined) throw bad(`has a DNS setting ${textOf(odd)}`);
  return { servers, searches, options };
}

const PROTOCOLS = new Map<Protocol, PodSpec["ports"][number]["protocol"]>([
  [Protocol.TCP, "tcp"],
  [Protocol.UDP, "udp"],
  [Protocol.SCTP, "sctp"],
]);

function toPort({ protocol: number, containerPort: podPort, hostPort, hostIp }: PortMapping) {
  const protocol = PROTOCOLS.get(number);
  if (protocol === undefined) throw bad(`has a port of protocol ${String(number)}`);
  const odd = [podPort, hostPort].find((port) => port < 1 || port > 65_535);
  if (odd !== undefined) throw bad(`has a port ${odd}`);
  if (hostIp !== "" && isIP(hostIp) === 0) throw bad(`has a port at ${textOf(hostIp)}, which is no address`);
  return { protocol, podPort, hostPort, hostIp };
}

/** Names of files below /proc/sys, and what is written there. */
function toSysctls(asked: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [name, value] of Object.entries(asked)) {
    const isName = /^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)+$/.test(name);
    if (!isName || !/^[\t\x20-\x7e]{0,4096}$/.test(value))
      throw bad(`has a sysctl ${textOf(`${name}=${value}`)}`);
  }
  return { ...asked };
}

const SHARES_A_CPU = 1024n;

function toLimits(asked: LinuxContainerResources | undefined): PodSpec["resources"] {
  const { memoryLimitInBytes: memory = 0n, cpuQuota = 0n, cpuPeriod = 0n, cpuShares = 0n } = asked ?? {};
  return {
    memoryBytes: memory > 0n ? Number(memory) : undefined,
    cpus: cpuQuota > 0n && cpuPeriod > 0n ? Number(cpuQuota) / Number(cpuPeriod) : undefined,
    cpuRequest: cpuShares > 0n ? Number(cpuShares) / Number(SHARES_A_CPU) : undefined,
  };
}

function toWishes(annotations: Readonly<Record<string, string>>): PodSpec["wished"] {
  const { [MEMORY]: memory, [CPUS]: cpus } = annotations;
  if (cpus !== undefined && !/^[1-9][0-9]{0,3}$/.test(cpus))
    throw bad(`has the annotation ${CPUS}=${textOf(cpus)}`);
  return {
    memoryBytes: memory === undefined ? undefined : parseSize(memory, MEMORY),
    cpus: cpus === undefined ? undefined : Number(cpus),
  };
}

const MOST_IDS = 2 ** 32 - 1;

/** One range for users and groups alike, with root in it: what the kubelet gives. */
function toUsers(asked: UserNamespace | undefined): PodSpec["users"] {
  const mode = asked?.mode ?? NamespaceMode.NODE;
  if (asked === undefined || mode === NamespaceMode.NODE) return undefined;
  if (mode !== NamespaceMode.POD) throw bad("is to have users of neither its own nor the node's");
  const [uids, gids] = [asked.uids, asked.gids];
  const [range, same] = [uids[0], gids[0]];
  if (uids.length !== 1 || gids.length !== 1 || range === undefined || same === undefined) {
    throw bad("maps its users by other than one range, and its groups by one");
  }
  const { containerId, hostId: first, length } = range;
  const isSame = same.containerId === containerId && same.hostId === first && same.length === length;
  if (!isSame) throw bad("maps its groups otherwise than its users");
  if (containerId !== 0) throw bad("leaves its root out of the users that it maps");
  if (length < 1 || first + length > MOST_IDS) throw bad(`maps ${length} users from ${first} on`);
  return { first, length };
}

function isPath(text: string): boolean {
  return text.startsWith("/") && !text.includes("\0") && !text.split("/").includes("..");
}

function notInVm(what: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `a pod that is a VM can't have ${what}`, {
    reason: "not-in-a-vm",
    hint: "give it a runtime class of another runtime",
  });
}

function bad(why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the pod ${why}`, { reason: "bad-pod" });
}
