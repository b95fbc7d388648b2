// Mounts as `-v` takes them: [SOURCE:]TARGET[:OPTIONS], Docker's form and Podman's.

import { isValidName } from "./ids.js";
import {
  badMount,
  hostPath,
  isDevicePath,
  type MountSpec,
  NO_MOUNT,
  type PathFacts,
  parseTarget,
  takeCommonWord,
} from "./mounts.js";

const FORM =
  "write NAME:/path[:ro], /host/path:/path[:ro], /dev/DEVICE:/path, or /path alone for a volume of its own";
const COLON = "a path with a colon in it goes with --mount type=bind,source=PATH,target=PATH";
/** What may stand behind the target, and so is no target: "/data:ro" misses its source. */
const MODE = /^(r[ow]|z|Z|U|nocopy|cached|delegated|consistent)(,|$)/;
const WORDS = ["ro", "rw", "nocopy", "soft", "hard", "notify", "idmap=GUEST:HOST:COUNT"];
const VOLUME_ID = /^[0-9a-f]{64}$/;

/** @throws KilnError invalid_argument `bad-mount`, `mount-not-supported` */
export function parseVolumeFlag(text: string, facts: PathFacts): MountSpec {
  const parts = text.split(":");
  if (text === "") throw badMount(text, "it is empty", FORM);
  // Of all options one alone has colons.
  if (parts.length > 3 && !/(^|,)idmap=/.test(parts[2] ?? "")) {
    throw badMount(text, "it has too many colons", COLON);
  }
  if (parts.slice(0, 2).includes("")) throw badMount(text, "a part of it is empty", FORM);
  const [first = "", second, ...rest] = parts;
  if (second === undefined && !first.startsWith("/")) {
    throw badMount(text, "it says no path in the VM", `write ${first}:/path`);
  }
  if (second === undefined) return { ...NO_MOUNT, target: parseTarget(text, first) };
  if (parts.length === 2 && MODE.test(second)) throw badMount(text, "its source is missing", FORM);
  const options = parseWords(text, rest.join(":"));
  const target = parseTarget(text, second);
  const path = hostPath(text, first, facts);
  if (path === "") {
    checkVolumeName(text, first);
    return { ...NO_MOUNT, source: first, target, ...options };
  }
  if (options.noCopy) throw badMount(text, "nocopy goes with a volume, not with a path of the host");
  return { ...NO_MOUNT, ...options, type: isDevicePath(path) ? "device" : "bind", source: path, target };
}

/** @throws KilnError invalid_argument `bad-mount` */
export function checkVolumeName(text: string, name: string): void {
  if (isValidName(name) || VOLUME_ID.test(name)) return;
  // Of -v these are paths already.
  if (/^[/.~]/.test(name)) {
    throw badMount(text, `"${name}" is a path, and no volume's name`, "a path goes with type=bind");
  }
  if (name.includes("/")) {
    throw badMount(
      text,
      `"${name}" is neither a volume's name nor a whole path`,
      `for a path write ./${name}`,
    );
  }
  throw badMount(
    text,
    `"${name}" is no name for a volume`,
    "use letters, digits, _ . and -, at most 63, beginning with a letter or digit",
  );
}

interface Words {
  readonly readOnly: boolean;
  readonly noCopy: boolean;
  readonly soft: boolean;
  readonly notify: boolean;
  readonly idmap: string;
}

function parseWords(text: string, words: string): Words {
  const found = { readOnly: false, noCopy: false, soft: false, notify: false, idmap: "" };
  const seen = new Set<string>();
  for (const word of words === "" ? [] : words.split(",")) {
    const group = groupOf(word);
    if (seen.has(group)) throw badMount(text, `"${word}" contradicts another of its options, or repeats it`);
    seen.add(group);
    if (word === "ro" || word === "rw") found.readOnly = word === "ro";
    else if (word === "nocopy") found.noCopy = true;
    else if (word === "soft" || word === "hard") found.soft = word === "soft";
    else if (word === "notify") found.notify = true;
    else if (word.startsWith("idmap=")) found.idmap = parseIdmap(text, word.slice("idmap=".length));
    else takeCommonWord(text, word, WORDS);
  }
  return found;
}

/** One of each group, as Docker has it. */
function groupOf(word: string): string {
  const groups = ["ro rw", "z Z", "soft hard", "nocopy copy", "cached delegated consistent"];
  return groups.find((group) => group.split(" ").includes(word)) ?? word.replace(/=.*/, "");
}

/** @throws KilnError invalid_argument `bad-mount` */
export function parseIdmap(text: string, value: string): string {
  const numbers = /^([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})$/.exec(value)?.slice(1).map(Number);
  const [guest = 0, host = 0, count = 0] = numbers ?? [];
  if (count > 0 && host === 0) {
    throw badMount(text, `"${value}" gives the guest's users the host's root`, "begin with another host id");
  }
  // As kiln-share has it: the last of all ids means none.
  if (count > 0 && guest + count < 2 ** 32 - 1 && host + count < 2 ** 32 - 1) return value;
  throw badMount(text, `"${value}" is no map of ids`, "write GUEST:HOST:COUNT, as 0:100000:65536");
}
