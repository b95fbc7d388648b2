// Mounts as `--mount` takes them: type=TYPE,source=SOURCE,target=TARGET[,WORD[=VALUE]...], Docker's form and Podman's.

import { csvFields } from "./csv-fields.js";
import {
  badMount,
  cannotMount,
  hostPath,
  MOUNT_TYPES,
  type MountSpec,
  type MountType,
  NO_MOUNT,
  type PathFacts,
  parseMode,
  parseTarget,
  takeCommonWord,
} from "./mounts.js";
import { nearest } from "./suggest.js";
import { parseDiskSize, parseSize } from "./units.js";
import { checkVolumeName, parseIdmap } from "./volume-flag.js";

const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "F", "false", "FALSE", "False"]);
const OTHER_TYPES: Readonly<Record<string, string>> = {
  ramfs: "use type=tmpfs",
  glob: "name each path with a mount of its own",
  devpts: "a VM has its own /dev/pts",
  npipe: "that is Windows'",
  cluster: "kiln has no swarm",
  artifact: "kiln mounts images: type=image",
};

interface Found {
  readonly text: string;
  mount: MountSpec;
  /** What was said, by the word of it that counts. */
  readonly said: Set<string>;
}

/** What one word says, by its value; undefined where it stood alone. */
type Take = (found: Found, value: string | undefined, key: string) => Partial<MountSpec>;

/** @throws KilnError invalid_argument `bad-mount`, `mount-not-supported` */
export function parseMountFlag(text: string, facts: PathFacts): MountSpec {
  const fields = csvFields(text);
  if (fields === undefined) {
    throw badMount(text, "its quotes do not match", `quote a whole field: '"source=/a,b",target=/c'`);
  }
  const found: Found = { text, mount: { ...NO_MOUNT, labels: {} }, said: new Set() };
  for (const field of fields) {
    const cut = field.indexOf("=");
    const key = cut < 0 ? field : field.slice(0, cut);
    const value = cut < 0 ? undefined : field.slice(cut + 1);
    takeField(found, key, value);
  }
  checkTypes(found);
  return { ...found.mount, ...sourceOf(found, facts), target: targetOf(found) };
}

function takeField(found: Found, key: string, value: string | undefined): void {
  if (!Object.hasOwn(KEYS, key)) {
    // Podman's words, which it takes here too.
    if (value === undefined && /^[^:=]*[\w~]:\//.test(found.text)) {
      throw badMount(found.text, "that is the form of -v", `write -v ${found.text}`);
    }
    if (value === undefined && key !== "") {
      takeCommonWord(found.text, key, WORDS);
      return;
    }
    const meant = nearest(key, Object.keys(KEYS));
    throw badMount(found.text, `"${key}" is no word of --mount`, meant && `did you mean ${meant}?`);
  }
  const take = KEYS[key];
  const name = NAMES[key] ?? key;
  if (found.said.has(name) && !REPEATED.has(name)) throw badMount(found.text, `it says ${key} twice`);
  found.said.add(name);
  found.mount = { ...found.mount, ...take?.(found, value, key) };
}

function needed(found: Found, value: string | undefined, key: string): string {
  if (value !== undefined && value !== "") return value;
  throw badMount(found.text, `${key} has no value`);
}

function boolOf(found: Found, value: string | undefined, key: string): boolean {
  if (value === undefined || TRUE.has(value)) return true;
  if (FALSE.has(value)) return false;
  throw badMount(found.text, `${key} is true or false, not "${value}"`);
}

/** What is only taken where it asks for how things are. */
function only(words: readonly string[], why: string): Take {
  return (found, value, key) => {
    if (value !== undefined && words.includes(value.toLowerCase())) return {};
    throw cannotMount(found.text, `it can't have ${key}${value === undefined ? "" : `=${value}`}: ${why}`);
  };
}

const OWN = "mounts do not travel between the host's kernel and the VM's";
const SUBMOUNTS = "what the host has mounted below a directory is shown with it";

const KEYS: Readonly<Record<string, Take>> = {
  type: (found, value = "", key) => ({ type: typeOf(found, needed(found, value, key)) }),
  source: takeSource,
  src: takeSource,
  target: takeTarget,
  dst: takeTarget,
  destination: takeTarget,
  readonly: takeReadOnly,
  ro: takeReadOnly,
  rw: (found, value, key) => ({ readOnly: !boolOf(found, value, key) }),
  consistency: () => ({}),
  relabel: only(["private", "shared"], "it is private or shared"),
  "bind-propagation": only(["private", "rprivate"], OWN),
  "bind-nonrecursive": (found, value, key) => {
    if (boolOf(found, value, key)) throw cannotMount(found.text, `it can't have ${key}: ${SUBMOUNTS}`);
    return {};
  },
  "bind-recursive": only(["enabled", "readonly"], SUBMOUNTS),
  "volume-nocopy": (found, value, key) => ({ noCopy: boolOf(found, value, key) }),
  "volume-label": (found, value, key) => {
    const [name = "", ...rest] = needed(found, value, key).split("=");
    if (name === "") throw badMount(found.text, "a label has no name");
    return { labels: { ...found.mount.labels, [name]: rest.join("=") } };
  },
  "volume-driver": only(["local"], "every volume of kiln is a disk on this host"),
  "volume-opt": (found, value = "", key) => {
    const size = /^size=(.+)$/.exec(needed(found, value, key))?.[1];
    if (size === undefined)
      throw cannotMount(found.text, `it can't have ${key}=${value}: a volume has a size alone`);
    return { sizeBytes: parseDiskSize(size, "the volume's size") };
  },
  "volume-subpath": takeSubpath,
  "image-subpath": takeSubpath,
  subpath: takeSubpath,
  "tmpfs-size": (found, value, key) => ({
    sizeBytes: parseSize(needed(found, value, key), "the tmpfs' size"),
  }),
  "tmpfs-mode": (found, value, key) => ({ mode: parseMode(found.text, needed(found, value, key)) }),
  notmpcopyup: () => ({}),
  noexec: (found, value, key) => ({ noExec: boolOf(found, value, key) }),
  nosuid: () => ({}),
  nodev: () => ({}),
  soft: (found, value, key) => ({ soft: boolOf(found, value, key) }),
  hard: (found, value, key) => ({ soft: !boolOf(found, value, key) }),
  notify: (found, value, key) => ({ notify: boolOf(found, value, key) }),
  idmap: (found, value, key) => ({ idmap: parseIdmap(found.text, needed(found, value, key)) }),
};

/** Those that stand without a value. */
const WORDS = ["readonly", "soft", "hard", "notify", "noexec", "volume-nocopy"];

/** Several spellings of one thing. */
const NAMES: Readonly<Record<string, string>> = {
  ...{ src: "source", dst: "target", destination: "target", ro: "readonly", rw: "readonly" },
  ...{ "volume-subpath": "subpath", "image-subpath": "subpath", hard: "soft" },
};
const REPEATED: ReadonlySet<string> = new Set(["volume-label", "volume-opt"]);

function takeSource(found: Found, value: string | undefined, key: string): Partial<MountSpec> {
  return { source: needed(found, value, key) };
}

function takeTarget(found: Found, value: string | undefined, key: string): Partial<MountSpec> {
  return { target: needed(found, value, key) };
}

function takeReadOnly(found: Found, value: string | undefined, key: string): Partial<MountSpec> {
  return { readOnly: boolOf(found, value, key) };
}

function takeSubpath(found: Found, value: string | undefined, key: string): Partial<MountSpec> {
  return { subpath: needed(found, value, key) };
}

function typeOf({ text }: Found, value: string): MountType {
  const word = value.toLowerCase();
  const type = MOUNT_TYPES.find((known) => known === word);
  if (type !== undefined) return type;
  const instead = Object.hasOwn(OTHER_TYPES, word) ? OTHER_TYPES[word] : undefined;
  throw badMount(text, `there is no type ${value}`, instead ?? `there are ${MOUNT_TYPES.join(", ")}`);
}

/** Which types a word goes with, where it does not go with all. */
const GOES_WITH: readonly (readonly [RegExp, readonly MountType[]])[] = [
  [/^volume-(?!subpath)/, ["volume"]],
  [/^(bind-|relabel$|soft$|notify$|idmap$)/, ["bind"]],
  [/^(tmpfs-|notmpcopyup$|noexec$|nosuid$|nodev$)/, ["tmpfs"]],
  [/^subpath$/, ["volume", "image"]],
  [/^source$/, ["volume", "bind", "image", "device"]],
];

function checkTypes({ text, mount, said }: Found): void {
  for (const word of said) {
    const types = GOES_WITH.find(([pattern]) => pattern.test(word))?.[1];
    if (types?.includes(mount.type) === false)
      throw badMount(text, `${word} goes not with type=${mount.type}`);
  }
  if (mount.type === "image" && said.has("readonly") && !mount.readOnly) {
    throw cannotMount(text, "an image can only be read; what the VM is to change goes on a volume");
  }
}

function targetOf({ text, mount }: Found): string {
  if (mount.target !== "") return parseTarget(text, mount.target);
  throw badMount(text, "its target is missing", "say target=/path");
}

function sourceOf({ text, mount }: Found, facts: PathFacts): { source: string } {
  const { type, source } = mount;
  if (type === "volume" && source !== "") checkVolumeName(text, source);
  if (type === "volume" || type === "tmpfs") return { source };
  if (source === "") throw badMount(text, `type=${type} needs a source`);
  if (type === "image") return { source };
  const path = hostPath(text, source, facts);
  if (path === "")
    throw badMount(text, `its source "${source}" is no path`, `write /${source} or ./${source}`);
  return { source: path };
}
