// Everything about a configuration that can be refused before anything is made: shape, limits of the host, words
// that contradict one another. Pure.

import { isIP } from "node:net";
import { Code, KilnError } from "../../base/errors.js";
import { isValidName } from "../../base/ids.js";
import { formatMemory, formatSize } from "../../base/units.js";
import { formatPlatform, parsePlatform } from "../../image/index.js";
import { signalNumber } from "../common/signals.js";
import type { HostFacts } from "../host/host.js";
import { checkMounts } from "./validate-mounts.js";
import { checkNetworks } from "./validate-networks.js";
import { DEFAULTS, type PortBinding, type VmConfig } from "./vm-config.js";

const MIB = 1024 ** 2;
/** Below this Debian's kernel and the initramfs leave no room for a program. */
const LEAST_MEMORY = 64 * MIB;
/** 100 years: what is longer than that is a mistake, and no date. */
const MOST_LIFETIME_MS = 100 * 365 * 86_400_000;
const LEAST_DISK = 64 * MIB;
const MOST_DISK = 16 * 1024 ** 4;
/** Linux refuses a longer argument list to one process; the Boot call is bounded well before. */
const MOST_TEXT_BYTES = 1024 ** 2;

/** What Linux takes (HOST_NAME_MAX), of the characters that every resolver takes, as Docker does. */
const HOST_NAME = /^(?=.{1,64}$)[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$/;
/** Each has a listener of its own, and each connection costs descriptors. */
const MOST_PORTS = 1024;

/**
 * The configuration with every default filled in that does not depend on the image.
 *
 * @throws KilnError invalid_argument (`bad-*`, `invalid-platform`), resource_exhausted (`too-many-cpus`, `memory-too-large`)
 */
export function validateConfig(config: VmConfig, host: HostFacts): VmConfig {
  const filled: VmConfig = {
    ...config,
    cpus: config.cpus === 0 ? DEFAULTS.cpus : config.cpus,
    memoryBytes: roundUp(config.memoryBytes || DEFAULTS.memoryBytes, MIB),
    diskBytes: roundUp(config.diskBytes || DEFAULTS.diskBytes, MIB),
    platform: config.platform === "" ? "" : formatPlatform(parsePlatform(config.platform)),
    publish: config.publish.map((port) => ({
      ...port,
      hostIp: port.hostIp === "" ? "0.0.0.0" : port.hostIp,
    })),
  };
  checkNames(filled);
  checkLifetime(config.lifetimeMs);
  checkUnit("memory", "--memory", config.memoryBytes, "m");
  checkUnit("disk", "--disk", config.diskBytes, "g");
  checkResources(filled, host);
  checkProgram(filled);
  checkNetwork(filled);
  checkEnding(filled);
  return { ...filled, ...checkNetworks(filled), mounts: checkMounts(filled) };
}

function checkNames(config: VmConfig): void {
  if (config.image === "")
    throw invalid("bad-image", "no image was named", "name an image: `kiln run IMAGE`");
  if (config.name !== "" && !isValidName(config.name)) {
    throw invalid(
      "bad-name",
      `"${config.name}" is not a name for a VM`,
      "use letters, digits, _ . and -, at most 63, beginning with a letter or digit",
    );
  }
  if (config.hostname !== "" && !HOST_NAME.test(config.hostname)) {
    throw invalid(
      "bad-hostname",
      `"${config.hostname}" is not a host name`,
      "use letters, digits, -, _ and single dots, at most 64 in all",
    );
  }
  for (const key of Object.keys(config.labels)) {
    if (key === "" || hasControl(key)) throw invalid("bad-label", `"${key}" is not a label's name`);
  }
}

function checkResources(config: VmConfig, host: HostFacts): void {
  if (!(config.cpus >= 1))
    throw invalid("bad-cpus", `${config.cpus} is not a number of CPUs`, "give 1 or more");
  if (!Number.isInteger(config.cpus)) {
    throw invalid(
      "bad-cpus",
      `${config.cpus} CPUs can't be given: a VM has whole ones`,
      `give --cpus ${Math.ceil(config.cpus)}`,
    );
  }
  if (config.cpus > host.cpus) {
    throw exhausted(
      "too-many-cpus",
      `create a VM: ${config.cpus} CPUs were asked for, the host has ${host.cpus}`,
      "give fewer with --cpus",
    );
  }
  if (config.memoryBytes < LEAST_MEMORY) {
    const asked = formatMemory(config.memoryBytes);
    throw invalid("memory-too-small", `${asked} of memory is too little to boot`, "give at least 64m");
  }
  if (config.memoryBytes > host.memoryBytes) {
    const [asked, all] = [formatMemory(config.memoryBytes), formatMemory(host.memoryBytes)];
    throw exhausted(
      "memory-too-large",
      `create a VM: ${asked} of memory were asked for, the host has ${all}`,
      "give less with --memory",
    );
  }
  if (config.diskBytes < LEAST_DISK || config.diskBytes > MOST_DISK) {
    const asked = formatSize(config.diskBytes);
    throw invalid("bad-disk-size", `a root disk of ${asked} can't be made`, "give between 64m and 16t");
  }
}

/** A size below a page is a number that lacks its unit. */
function checkUnit(what: string, flag: string, bytes: number, unit: string): void {
  if (bytes <= 0 || bytes >= 4096) return;
  const message = `${bytes} bytes of ${what} are too few: a number without a unit is bytes`;
  throw invalid(
    what === "memory" ? "memory-too-small" : "bad-disk-size",
    message,
    `did you mean ${flag} ${bytes}${unit}?`,
  );
}

function checkProgram(config: VmConfig): void {
  for (const entry of config.env) {
    if (entry === "" || entry.startsWith("="))
      throw invalid(
        "bad-env",
        `"${entry}" is not an environment entry`,
        "write NAME=VALUE, or NAME to take it away",
      );
  }
  const words = [...config.entrypoint, ...config.command, ...config.env, config.workdir, config.user];
  for (const word of words) checkWord(word);
  if (words.reduce((sum, word) => sum + Buffer.byteLength(word), 0) > MOST_TEXT_BYTES) {
    throw invalid("arguments-too-long", "command and environment are together longer than 1 MiB");
  }
  if (config.workdir !== "" && !config.workdir.startsWith("/")) {
    throw invalid("bad-workdir", `working directory "${config.workdir}" is not absolute`);
  }
  for (const word of config.kernelArgs) {
    if (hasControl(word)) throw invalid("bad-kernel-args", "the kernel's arguments hold a control character");
  }
}

/**
 * An argument, a variable, a path: what a program can be given as it is.
 *
 * @throws KilnError invalid_argument `bad-argument`
 */
export function checkWord(word: string): void {
  if (word.includes("\0")) throw invalid("bad-argument", "an argument holds a NUL byte");
  // Half of a character outside the first plane: on its way to bytes it would become another one.
  if (/\p{Surrogate}/u.test(word)) {
    throw invalid("bad-argument", `an argument is no valid text: ${JSON.stringify(word.slice(0, 60))}`);
  }
}

function checkNetwork(config: VmConfig): void {
  for (const server of config.dns) {
    if (isIP(server) === 0) throw invalid("bad-dns", `DNS server "${server}" is not an IP address`);
  }
  for (const entry of config.addHosts) parseHostEntry(entry);
  checkPortCount(config.publish.length, "publish the VM's ports");
  const seen = new Set<string>();
  for (const port of config.publish) {
    checkPort(port);
    const key = `${port.hostIp}:${port.hostPort}/${port.protocol}`;
    if (port.hostPortEnd !== undefined) continue;
    if (port.hostPort !== 0 && seen.has(key))
      throw invalid("duplicate-port", `port ${key} is published twice`);
    seen.add(key);
  }
}

/**
 * @throws KilnError invalid_argument `bad-port`
 */
export function checkPort(port: PortBinding): void {
  if (port.hostIp !== "" && isIP(port.hostIp) === 0) {
    throw invalid("bad-port", `"${port.hostIp}" is not an address to publish on`, "write 127.0.0.1:8080:80");
  }
  for (const [what, number, least] of [
    ["host port", port.hostPort, 0],
    ["last host port", port.hostPortEnd ?? 65_535, port.hostPort === 0 ? 65_535 : port.hostPort],
    ["VM port", port.vmPort, 1],
  ] as const) {
    if (!Number.isInteger(number) || number < least || number > 65_535) {
      throw invalid("bad-port", `${number} is not a ${what}`, `give ${least} to 65535`);
    }
  }
}

/**
 * @param what is being attempted
 * @throws KilnError invalid_argument `too-many-ports`
 */
export function checkPortCount(count: number, what: string): void {
  if (count <= MOST_PORTS) return;
  throw invalid(
    "too-many-ports",
    `${what}: it would have more than ${MOST_PORTS} published ports`,
    "publish the ones that are needed with -p",
  );
}

/**
 * "name:address" of --add-host; an IPv6 address may stand in brackets.
 *
 * @throws KilnError invalid_argument `bad-add-host`
 */
export function parseHostEntry(entry: string): { name: string; address: string } {
  const cut = entry.indexOf(":");
  const name = entry.slice(0, cut);
  const address = entry.slice(cut + 1).replace(/^\[(.*)\]$/, "$1");
  if (cut < 1 || isIP(address) === 0 || !/^[a-zA-Z0-9_.-]{1,253}$/.test(name)) {
    throw invalid("bad-add-host", `"${entry}" is not a host entry`, "write NAME:ADDRESS");
  }
  return { name, address };
}

function checkEnding(config: VmConfig): void {
  if (config.stopSignal !== "") signalNumber(config.stopSignal);
  if (config.autoRemove && config.restart.name !== "no") {
    throw invalid("rm-with-restart", `--rm and --restart=${config.restart.name} contradict one another`);
  }
  if (config.restart.maximumRetryCount > 0 && config.restart.name !== "on-failure") {
    throw invalid(
      "bad-restart-policy",
      `a number of retries goes with on-failure, not ${config.restart.name}`,
    );
  }
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

function hasControl(text: string): boolean {
  for (const char of text) if (char < " " || char === "\x7f") return true;
  return false;
}

function invalid(reason: string, message: string, hint?: string): KilnError {
  return new KilnError(Code.InvalidArgument, message, { reason, hint });
}

function exhausted(reason: string, message: string, hint: string): KilnError {
  return new KilnError(Code.ResourceExhausted, message, { reason, hint });
}

/** @throws KilnError invalid_argument `bad-lifetime` */
export function checkLifetime(ms: number): void {
  if (ms >= 0 && ms <= MOST_LIFETIME_MS) return;
  throw invalid("bad-lifetime", `${ms} ms is no lifetime for a VM`, "give 0, for none, up to 100 years");
}
