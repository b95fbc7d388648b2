// What of mounts and limits can be refused before anything is looked at. Pure: a client may have parsed nothing.

import { Code, KilnError } from "../../base/errors.js";
import { checkSysctl, checkUlimit } from "../../base/limits.js";
import { badMount, cannotMount, MOUNT_TYPES, parseTarget } from "../../base/mounts.js";
import { formatMemory } from "../../base/units.js";
import { checkVolumeName, parseIdmap } from "../../base/volume-flag.js";
import type { Mount } from "./mount-config.js";
import type { VmConfig } from "./vm-config.js";

const MOST_MOUNTS = 256;
const MOST_SETTINGS = 256;
const LEAST_SHM = 4096;
/** A guest's kernel shows itself there, and the agent stands on it. */
const ITS_OWN = /^\/(proc|sys)(\/|$)|^\/dev$/;

type Asked = Pick<VmConfig, "mounts" | "shmBytes" | "ulimits" | "sysctls" | "memoryBytes">;

/**
 * The mounts with their targets normalised.
 *
 * @throws KilnError invalid_argument `bad-mount`, `mount-not-supported`, `duplicate-mount`, `too-many-mounts`, `bad-shm-size`,
 *   `bad-ulimit`, `bad-sysctl`
 */
export function checkMounts(config: Asked): Mount[] {
  checkSettings(config);
  if (config.mounts.length > MOST_MOUNTS) {
    throw invalid("too-many-mounts", `a VM has at most ${MOST_MOUNTS} mounts, not ${config.mounts.length}`);
  }
  const mounts = config.mounts.map(checkMount);
  const seen = new Set<string>();
  for (const { target } of mounts) {
    if (seen.has(target)) throw invalid("duplicate-mount", `two mounts have the target ${target}`);
    seen.add(target);
  }
  return mounts;
}

/** @throws KilnError as checkMounts */
function checkMount(mount: Mount): Mount {
  const text = describeMount(mount);
  for (const word of [mount.source, mount.target, mount.subpath]) {
    if (/[\0\n]/.test(word) || Buffer.byteLength(word) > 4095)
      throw badMount(text, "a path of it is no path");
  }
  const target = parseTarget(text, mount.target);
  if (ITS_OWN.test(target)) throw cannotMount(text, `a VM has a ${target} of its own`);
  const subpath = checkSubpath(text, mount);
  checkSource(text, mount);
  checkWords(text, mount);
  return { ...mount, target, subpath };
}

function checkSource(text: string, { type, source, idmap }: Mount): void {
  if (!MOUNT_TYPES.some((known) => known === type)) {
    throw badMount(text, `there is no type "${type}"`, `there are ${MOUNT_TYPES.join(", ")}`);
  }
  if (type === "volume") {
    if (source !== "") checkVolumeName(text, source);
  } else if (type === "tmpfs") {
    if (source !== "") throw badMount(text, "a tmpfs has no source");
  } else if (source === "") {
    throw badMount(text, `type=${type} needs a source`);
  } else if (type !== "image" && !source.startsWith("/")) {
    throw badMount(text, `its source "${source}" is no absolute path`);
  }
  if (idmap !== "") parseIdmap(text, idmap);
}

/** Which types each word goes with. */
const WORDS: readonly (readonly [string, readonly string[], (mount: Mount) => boolean])[] = [
  ["noCopy", ["volume"], ({ noCopy }) => noCopy],
  ["subpath", ["volume", "image"], ({ subpath }) => subpath !== ""],
  ["sizeBytes", ["volume", "tmpfs"], ({ sizeBytes }) => sizeBytes > 0],
  ["labels", ["volume"], ({ labels }) => Object.keys(labels).length > 0],
  ["soft", ["bind"], ({ soft }) => soft],
  ["notify", ["bind"], ({ notify }) => notify],
  ["idmap", ["bind"], ({ idmap }) => idmap !== ""],
  ["mode", ["tmpfs"], ({ mode }) => mode > 0],
  ["noExec", ["tmpfs"], ({ noExec }) => noExec],
  ["uid and gid", ["tmpfs"], ({ uid, gid }) => uid + gid > 0],
];

function checkWords(text: string, mount: Mount): void {
  for (const [word, types, isSaid] of WORDS) {
    if (isSaid(mount) && !types.includes(mount.type)) {
      throw badMount(text, `${word} goes with ${types.join(" and ")} alone`);
    }
  }
  if (mount.mode > 0o7777) throw badMount(text, `its mode is above 07777`);
  if (mount.uid > MOST_ID || mount.gid > MOST_ID) throw badMount(text, "there is no such user");
}

const MOST_ID = 2 ** 32 - 2;

function checkSubpath(text: string, { subpath, type, source }: Mount): string {
  if (subpath === "") return "";
  const parts = subpath.split("/").filter((part) => part !== "" && part !== ".");
  if (subpath.startsWith("/") || parts.includes("..") || parts.length === 0) {
    throw badMount(text, `its subpath "${subpath}" leads out of it`, "write it relative and without ..");
  }
  if (type === "volume" && source === "")
    throw badMount(text, "a volume of its own has nothing at a subpath");
  return parts.join("/");
}

function checkSettings({ shmBytes, memoryBytes, ulimits, sysctls }: Asked): void {
  if (shmBytes > 0 && shmBytes < LEAST_SHM) {
    throw invalid("bad-shm-size", `${shmBytes} bytes for /dev/shm are too few`, `did you mean ${shmBytes}m?`);
  }
  if (memoryBytes > 0 && shmBytes > memoryBytes) {
    const [asked, all] = [formatMemory(shmBytes), formatMemory(memoryBytes)];
    throw invalid(
      "bad-shm-size",
      `/dev/shm can't have ${asked}: the VM has ${all} of memory`,
      "give more with -m",
    );
  }
  if (ulimits.length > MOST_SETTINGS || Object.keys(sysctls).length > MOST_SETTINGS) {
    throw invalid("too-many-settings", `a VM has at most ${MOST_SETTINGS} limits and as many sysctls`);
  }
  for (const limit of ulimits) checkUlimit(limit);
  for (const [name, value] of Object.entries(sysctls)) checkSysctl(name, value);
}

/** "db:/data", for messages. */
export function describeMount({ type, source, target }: Pick<Mount, "type" | "source" | "target">): string {
  return source === "" ? `${type} at ${target}` : `${source}:${target}`;
}

function invalid(reason: string, message: string, hint?: string): KilnError {
  return new KilnError(Code.InvalidArgument, message, { reason, hint });
}
