// Mounts as `--tmpfs` takes them: TARGET[:OPTIONS], with the words of mount(8).

import {
  badMount,
  cannotMount,
  type MountSpec,
  NO_MOUNT,
  parseMode,
  parseTarget,
  takeCommonWord,
} from "./mounts.js";
import { parseSize } from "./units.js";

type Writable = { -readonly [K in keyof MountSpec]: MountSpec[K] };

/** In a VM as in a container no tmpfs has them. */
const ALWAYS = new Set(["nosuid", "nodev", "notmpcopyup", "noatime", "rw"]);

const WORDS = ["size=", "mode=", "uid=", "gid=", "noexec", "ro"];

/** @throws KilnError invalid_argument `bad-mount`, `mount-not-supported`, `bad-size` */
export function parseTmpfsFlag(text: string): MountSpec {
  const cut = text.indexOf(":");
  const target = parseTarget(text, cut < 0 ? text : text.slice(0, cut));
  const mount: Writable = { ...NO_MOUNT, type: "tmpfs", target };
  const words = cut < 0 ? "" : text.slice(cut + 1);
  for (const word of words === "" ? [] : words.split(",")) takeWord(text, mount, word);
  return mount;
}

function takeWord(text: string, mount: Writable, word: string): void {
  const [key = "", value] = word.split(/=(.*)/s, 2);
  if (value === undefined) {
    if (word === "ro") mount.readOnly = true;
    else if (word === "noexec") mount.noExec = true;
    else if (word === "exec") mount.noExec = false;
    else if (word === "suid" || word === "dev") throw cannotMount(text, `a tmpfs can't have "${word}"`);
    else if (!ALWAYS.has(word)) takeCommonWord(text, word, WORDS);
    return;
  }
  if (key === "size") mount.sizeBytes = sizeOf(text, value);
  else if (key === "mode") mount.mode = parseMode(text, value);
  else if (key === "uid" || key === "gid") mount[key] = parseId(text, value);
  else throw cannotMount(text, `a tmpfs can't have ${key}=`, "it takes size=, mode=, uid= and gid=");
}

/** mount(8) takes a share of memory too: that is the kernel's default. */
function sizeOf(text: string, value: string): number {
  if (value === "50%") return 0;
  if (value.endsWith("%"))
    throw cannotMount(text, "its size can't be a share of the memory", "write size=64m");
  return parseSize(value, "the tmpfs' size");
}

function parseId(text: string, value: string): number {
  if (/^[0-9]{1,10}$/.test(value) && Number(value) < 2 ** 32 - 1) return Number(value);
  throw badMount(text, `"${value}" is no user's or group's number`);
}
