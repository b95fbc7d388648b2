// What may stand at the cursor inside -v, --mount and --tmpfs: names, paths of this machine, options. Pure, apart from what
// it is given to ask with.

import { MOUNT_TYPES } from "../base/mounts.js";
import type { OfferedName } from "./offered-names.js";

/** The forms in which mounts are written: -v, -v of volumes alone, --mount, --tmpfs. */
export const MOUNT_FORMS = ["volume-flag", "volume-mount", "mount-flag", "tmpfs-flag"] as const;
export type MountForm = (typeof MOUNT_FORMS)[number];

export interface MountAsk {
  /** Names of volumes. */
  readonly volumes: () => Promise<readonly OfferedName[]>;
  /** Paths of this machine that begin so; directories with a slash behind them. */
  readonly paths: (typed: string) => Promise<readonly OfferedName[]>;
}

const VOLUME_WORDS = ["ro", "rw", "nocopy"];
const SHARE_WORDS = ["ro", "rw", "soft", "hard", "notify", "idmap="];
const TMPFS_WORDS = ["size=", "mode=", "uid=", "gid=", "noexec", "ro"];
const COMMON_WORDS = ["target=", "readonly"];
/** Of --mount, by its type. Exported for the test that --mount takes each. */
export const MOUNT_WORDS: Readonly<Record<string, readonly string[]>> = {
  volume: [
    ...["source=", ...COMMON_WORDS, "volume-nocopy", "volume-opt=size=", "volume-label="],
    "volume-subpath=",
  ],
  bind: ["source=", ...COMMON_WORDS, "soft", "notify", "idmap="],
  tmpfs: [...COMMON_WORDS, "tmpfs-size=", "tmpfs-mode=", "noexec"],
  image: ["source=", "target=", "image-subpath="],
  device: ["source=", ...COMMON_WORDS],
};
const SOURCE = /^(source|src)=/;

/** @param typed of the flag's value, up to the cursor. @returns whole values, some still open: "data:", "/srv/" */
export async function completeMount(form: MountForm, typed: string, ask: MountAsk): Promise<OfferedName[]> {
  if (form === "mount-flag") return completeFields(typed, ask);
  const [first = "", ...rest] = typed.split(":");
  const [target, ...options] = rest;
  if (form === "tmpfs-flag") {
    return target === undefined ? [] : completeWords(`${first}:`, rest.join(":"), TMPFS_WORDS);
  }
  if (target === undefined) return completeSource(form, first, ask);
  if (options.length === 0) return [];
  const words = isPath(first) ? SHARE_WORDS : VOLUME_WORDS;
  return completeWords(`${first}:${target}:`, options.join(":"), words);
}

async function completeSource(form: MountForm, typed: string, ask: MountAsk): Promise<OfferedName[]> {
  if (isPath(typed)) return form === "volume-mount" ? [] : [...(await ask.paths(typed))];
  const volumes = await ask.volumes();
  return volumes.map(({ value, text }) => ({ value: `${value}:`, text }));
}

/** Of a list with commas between them, the last one. */
function completeWords(prefix: string, typed: string, words: readonly string[]): OfferedName[] {
  const said = typed.split(",").slice(0, -1);
  const before = `${prefix}${said.map((word) => `${word},`).join("")}`;
  const left = words.filter(
    (word) => !said.some((one) => one === word || (isOpen(word) && one.startsWith(word))),
  );
  return left.map((word) => ({ value: `${before}${word}`, text: "" }));
}

async function completeFields(typed: string, ask: MountAsk): Promise<OfferedName[]> {
  const fields = typed.split(",");
  const said = fields.slice(0, -1);
  const last = fields.at(-1) ?? "";
  const before = said.map((field) => `${field},`).join("");
  const [, named] = /(?:^|,)type=([a-z]+),/.exec(typed) ?? [];
  if (last.startsWith("type="))
    return MOUNT_TYPES.map((type) => ({ value: `${before}type=${type},`, text: "" }));
  if (SOURCE.test(last)) return completeFieldSource(before, last, named ?? "volume", ask);
  const types = named === undefined ? [{ value: `${before}type=`, text: "" }] : [];
  return [...types, ...completeWords("", typed, MOUNT_WORDS[named ?? "volume"] ?? [])];
}

async function completeFieldSource(
  before: string,
  field: string,
  type: string,
  ask: MountAsk,
): Promise<OfferedName[]> {
  const cut = field.indexOf("=") + 1;
  const offered =
    type === "volume"
      ? await ask.volumes()
      : ["bind", "device"].includes(type)
        ? await ask.paths(field.slice(cut))
        : [];
  return offered.map(({ value, text }) => ({ value: `${before}${field.slice(0, cut)}${value}`, text }));
}

function isPath(source: string): boolean {
  return /^[./~]/.test(source);
}

/** Still wants a value. */
function isOpen(word: string): boolean {
  return word.endsWith("=");
}
