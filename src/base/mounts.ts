// What of the host's files a VM is given, as people write it: the parts that all of the forms share. Pure.

import { posix } from "node:path";
import { Code, KilnError } from "./errors.js";
import { nearest } from "./suggest.js";

export type MountType = "volume" | "bind" | "tmpfs" | "image" | "device";

export const MOUNT_TYPES: readonly MountType[] = ["volume", "bind", "tmpfs", "image", "device"];

/** One mount, with a value for every word. Which of them a type takes is in proto/kiln/v1/types.proto. */
export interface MountSpec {
  readonly type: MountType;
  /** Name of a volume ("": one of its own), absolute path on the host, image. */
  readonly source: string;
  /** Absolute, normalised. */
  readonly target: string;
  readonly readOnly: boolean;
  readonly subpath: string;
  readonly noCopy: boolean;
  /** 0: its default. */
  readonly sizeBytes: number;
  /** 0: 01777. */
  readonly mode: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly soft: boolean;
  readonly notify: boolean;
  readonly idmap: string;
  readonly noExec: boolean;
  readonly uid: number;
  readonly gid: number;
}

export const NO_MOUNT: MountSpec = {
  ...{ type: "volume", source: "", target: "", readOnly: false, subpath: "", noCopy: false },
  ...{
    sizeBytes: 0,
    mode: 0,
    labels: {},
    soft: false,
    notify: false,
    idmap: "",
    noExec: false,
    uid: 0,
    gid: 0,
  },
};

/** Where relative paths begin, and what "~" is. */
export interface PathFacts {
  readonly cwd: string;
  readonly home: string | undefined;
}

/** A text that can't be read. */
export function badMount(text: string, why: string, hint?: string): KilnError {
  return new KilnError(Code.InvalidArgument, `mount ${quoted(text)}: ${why}`, { reason: "bad-mount", hint });
}

/** On one line: what stands in it may look like kiln's own words. */
function quoted(text: string): string {
  return `"${text.replaceAll("\n", "\\n")}"`;
}

/** One that can be read, and not be honoured. */
export function cannotMount(text: string, why: string, hint?: string): KilnError {
  return new KilnError(Code.InvalidArgument, `mount ${quoted(text)}: ${why}`, {
    reason: "mount-not-supported",
    hint,
  });
}

/** @throws KilnError invalid_argument `bad-mount` */
export function parseTarget(text: string, target: string): string {
  if (!target.startsWith("/")) {
    throw badMount(text, `its target "${target}" is no absolute path in the VM`, "a target begins with /");
  }
  const clean = posix.normalize(target).replace(/(?<=.)\/$/, "");
  if (clean === "/") throw badMount(text, "nothing can be mounted on /", "that is the image's own root");
  return clean;
}

/** An absolute path of the host; "" for what is no path. @throws KilnError invalid_argument `bad-mount` */
export function hostPath(text: string, source: string, { cwd, home }: PathFacts): string {
  if (source.startsWith("/")) return posix.normalize(source);
  if (source.startsWith(".")) return posix.resolve(cwd, source);
  if (!source.startsWith("~")) return "";
  if ((source === "~" || source.startsWith("~/")) && home?.startsWith("/"))
    return posix.join(home, source.slice(1));
  throw badMount(text, `whose directory "${source}" is can't be told`, "write the whole path");
}

/** Whether a path of the host is a device by its name. What lies in these directories of /dev are files. */
export function isDevicePath(path: string): boolean {
  return path.startsWith("/dev/") && !/^\/dev\/(shm|mqueue|hugepages)(\/|$)/.test(path);
}

/** Words that ask for how things are anyway in a VM. */
const HARMLESS: ReadonlySet<string> = new Set([
  ...["z", "Z", "cached", "delegated", "consistent", "default", "private", "rprivate"],
  ...["exec", "suid", "dev", "copy", "rbind", "bind", "norelabel", "async", "relatime"],
]);

const OWN_MOUNTS = "mounts do not travel between the host's kernel and the VM's";
const UNHEARD: Readonly<Record<string, string>> = {
  shared: OWN_MOUNTS,
  rshared: OWN_MOUNTS,
  slave: OWN_MOUNTS,
  rslave: OWN_MOUNTS,
  unbindable: OWN_MOUNTS,
  runbindable: OWN_MOUNTS,
  U: "kiln changes no owners of the host's files; root in the VM can, with chown",
  chown: "kiln changes no owners of the host's files; root in the VM can, with chown",
  O: "there is no overlay over a source; mount it with ro, or copy files in with `kiln cp`",
  noexec: "only a tmpfs is mounted so; remount it in the VM",
  nosuid: "only a tmpfs is mounted so; remount it in the VM",
  nodev: "only a tmpfs is mounted so; remount it in the VM",
  noswap: "a VM decides by itself what it swaps",
  tmpcopyup: "a tmpfs begins empty; a volume is filled with what the image has there",
};

/**
 * Nothing for a word that changes nothing.
 *
 * @param known of the form, for who has mistyped one
 * @throws KilnError invalid_argument `mount-not-supported`, `bad-mount`
 */
export function takeCommonWord(text: string, word: string, known: readonly string[]): void {
  if (HARMLESS.has(word)) return;
  const why = Object.hasOwn(UNHEARD, word) ? UNHEARD[word] : undefined;
  if (why !== undefined) throw cannotMount(text, `it can't have "${word}": ${why}`);
  const meant = nearest(word, known);
  const hint = meant === undefined ? `there are ${known.join(", ")}` : `did you mean ${meant}?`;
  throw badMount(text, `"${word}" is no option of a mount`, hint);
}

/** Octal, as chmod takes it. @throws KilnError invalid_argument `bad-mount` */
export function parseMode(text: string, value: string): number {
  if (/^[0-7]{1,5}$/.test(value) && Number.parseInt(value, 8) <= 0o7777) return Number.parseInt(value, 8);
  throw badMount(text, `"${value}" is no mode`, "write it octal, as 1777 or 0755");
}
