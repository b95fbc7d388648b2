// Mounts and what bounds programs, as a caller writes them.

import { Code, KilnError } from "../base/errors.js";
import { parseSysctl, parseUlimit } from "../base/limits.js";
import { parseMountFlag } from "../base/mount-flag.js";
import { type MountSpec, NO_MOUNT } from "../base/mounts.js";
import { parseTmpfsFlag } from "../base/tmpfs-flag.js";
import { parseVolumeFlag } from "../base/volume-flag.js";
import type { MountJson, UlimitJson } from "../gen/kiln/v1/types_pb.js";
import { checkOptions, type NamesOf } from "./known-options.js";
import type { Mount, Ulimit } from "./mount-types.js";

const MOUNT_FIELDS: NamesOf<Mount> = {
  ...{ type: true, source: true, target: true, readOnly: true, subpath: true, noCopy: true, sizeBytes: true },
  ...{ mode: true, labels: true, soft: true, notify: true, idmap: true, noExec: true, uid: true, gid: true },
};
const ULIMIT_FIELDS: NamesOf<Ulimit> = { name: true, soft: true, hard: true };
/** What only `--mount` has: no path begins so, and no volume's name has the sign in it. */
const MOUNT_FLAG = /(^|,)"?(type|source|src|target|dst|destination)=/;

/** "db:/data:ro", "type=tmpfs,target=/t", or a mount of which only some is said. @throws KilnError invalid_argument */
export function planMount(mount: string | Partial<Mount>): MountJson {
  if (typeof mount !== "string") {
    checkOptions("mount", mount, MOUNT_FIELDS);
    return toJson({ ...NO_MOUNT, ...mount });
  }
  const facts = { cwd: process.cwd(), home: process.env.HOME };
  const isFlag = !/^[./~]/.test(mount) && MOUNT_FLAG.test(mount);
  return toJson(isFlag ? parseMountFlag(mount, facts) : parseVolumeFlag(mount, facts));
}

/** "/run:size=64m". @throws KilnError invalid_argument */
export function planTmpfs(text: string): MountJson {
  return toJson(parseTmpfsFlag(text));
}

function toJson({ sizeBytes, labels, ...words }: MountSpec): MountJson {
  return { ...words, labels: { ...labels }, sizeBytes: wholeNumber(sizeBytes, "sizeBytes of a mount") };
}

/** "nofile=1024:4096", or a limit. @throws KilnError invalid_argument */
export function planUlimit(limit: string | Ulimit): UlimitJson {
  if (typeof limit !== "string") checkOptions("limit", limit, ULIMIT_FIELDS);
  const { name, soft, hard } = typeof limit === "string" ? parseUlimit(limit) : limit;
  return { name, soft: String(soft), hard: String(hard) };
}

/** @throws KilnError invalid_argument */
export function planSysctls(
  sysctls: Readonly<Record<string, string | number>> | readonly string[],
): Record<string, string> {
  if (Array.isArray(sysctls)) return Object.fromEntries(sysctls.map((text: string) => parseSysctl(text)));
  return Object.fromEntries(Object.entries(sysctls).map(([name, value]) => [name, String(value)]));
}

function wholeNumber(value: number, what: string): string {
  if (Number.isSafeInteger(value) && value >= 0) return String(value);
  throw new KilnError(Code.InvalidArgument, `${what}: ${value} is no number of bytes`, {
    reason: "bad-size",
  });
}
