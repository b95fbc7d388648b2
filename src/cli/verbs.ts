// The table of verbs: words, one line each, and where the rest is. A verb's own file is loaded when it is used.

import type { Command } from "./command.js";

/** Headings of `kiln --help`. */
export type VerbGroup =
  | "Run"
  | "VMs"
  | "Files and output"
  | "Images"
  | "Volumes"
  | "Networks"
  | "Kernels"
  | "System";

/** One line of the table. */
export interface Verb {
  /** "run", "image ls". */
  readonly name: string;
  readonly summary: string;
  readonly group: VerbGroup;
  /** Further spellings. The long forms `kiln vm VERB` need none. */
  readonly aliases?: readonly string[];
  readonly hidden?: boolean;
  load(): Promise<Command>;
}

/** All verbs, in the order of help. */
export const VERBS: readonly Verb[] = [
  verb("run", "Run", "Create a VM from an image and start it", () => import("./verbs/run.js")),
  verb("create", "Run", "Create a VM without starting it", () => import("./verbs/create.js")),
  verb("exec", "Run", "Run a program in a running VM", () => import("./verbs/exec.js")),
  verb(
    "execs",
    "Run",
    "List the programs that exec -d has started in a VM",
    () => import("./verbs/execs.js"),
    ["execs ls"],
  ),
  verb("execs rm", "Run", "Remove such programs and their output", () => import("./verbs/execs-rm.js")),
  verb("start", "VMs", "Start VMs", () => import("./verbs/start.js")),
  verb("stop", "VMs", "Stop VMs: stop signal, grace, then kill", () => import("./verbs/stop.js")),
  verb("restart", "VMs", "Stop and start VMs", () => import("./verbs/restart.js")),
  verb("kill", "VMs", "End VMs at once, or send their program a signal", () => import("./verbs/kill.js")),
  verb("pause", "VMs", "Halt the CPUs of VMs", () => import("./verbs/pause.js")),
  verb("unpause", "VMs", "Let paused VMs go on", () => import("./verbs/unpause.js")),
  verb("update", "VMs", "Change the lifetime of VMs", () => import("./verbs/update.js")),
  verb("rm", "VMs", "Remove VMs and their disks", () => import("./verbs/rm.js"), ["vm remove"]),
  verb("ps", "VMs", "List VMs", () => import("./verbs/ps.js"), ["vm ls", "vm list"]),
  verb(
    "inspect",
    "VMs",
    "Show all that is known of VMs, images, kernels, volumes or networks",
    () => import("./verbs/inspect.js"),
  ),
  verb("wait", "VMs", "Wait until VMs end, and print their exit codes", () => import("./verbs/wait.js")),
  verb("port", "VMs", "List the published ports of a VM", () => import("./verbs/port.js"), ["port ls"]),
  verb("port add", "VMs", "Publish a port of a running VM", () => import("./verbs/port-add.js")),
  verb("port rm", "VMs", "End the publication of a port", () => import("./verbs/port-rm.js")),
  verb("stats", "VMs", "Show what VMs use, live", () => import("./verbs/stats.js")),
  verb(
    "attach",
    "Files and output",
    "Attach to the program of a running VM",
    () => import("./verbs/attach.js"),
  ),
  verb("logs", "Files and output", "Show what the program of a VM wrote", () => import("./verbs/logs.js")),
  verb("cp", "Files and output", "Copy files to, from and between VMs", () => import("./verbs/cp.js")),
  verb("pull", "Images", "Bring an image into the store", () => import("./verbs/pull.js"), ["image pull"]),
  verb("images", "Images", "List images", () => import("./verbs/images.js"), ["image ls", "image list"]),
  verb("rmi", "Images", "Remove images", () => import("./verbs/rmi.js"), ["image rm", "image remove"]),
  verb(
    "image import",
    "Images",
    "Make an image of a root file system",
    () => import("./verbs/image-import.js"),
  ),
  verb(
    "image inspect",
    "Images",
    "Show all that is known of images",
    () => import("./verbs/image-inspect.js"),
  ),
  verb("image save", "Images", "Write images to a tar", () => import("./verbs/image-save.js"), ["save"]),
  verb("image tag", "Images", "Give an image another name", () => import("./verbs/image-tag.js"), ["tag"]),
  verb("image prune", "Images", "Remove images that nobody uses", () => import("./verbs/image-prune.js")),
  verb("volume create", "Volumes", "Make a volume", () => import("./verbs/volume-create.js")),
  verb("volume ls", "Volumes", "List volumes", () => import("./verbs/volume-ls.js"), ["volume list"]),
  verb(
    "volume inspect",
    "Volumes",
    "Show all that is known of volumes",
    () => import("./verbs/volume-inspect.js"),
  ),
  verb("volume grow", "Volumes", "Make a volume larger", () => import("./verbs/volume-grow.js")),
  verb(
    "volume export",
    "Volumes",
    "Write what is in a volume as a tar",
    () => import("./verbs/volume-export.js"),
  ),
  verb("volume import", "Volumes", "Unpack a tar into a volume", () => import("./verbs/volume-import.js")),
  verb(
    "volume attach",
    "Volumes",
    "Mount a volume on a VM that runs",
    () => import("./verbs/volume-attach.js"),
  ),
  verb("volume detach", "Volumes", "Take a volume from a VM", () => import("./verbs/volume-detach.js")),
  verb("volume rm", "Volumes", "Remove volumes", () => import("./verbs/volume-rm.js"), ["volume remove"]),
  verb("volume prune", "Volumes", "Remove volumes that no VM has", () => import("./verbs/volume-prune.js")),
  verb("network create", "Networks", "Make a network", () => import("./verbs/network-create.js")),
  verb("network ls", "Networks", "List networks", () => import("./verbs/network-ls.js"), ["network list"]),
  verb(
    "network inspect",
    "Networks",
    "Show all that is known of networks",
    () => import("./verbs/network-inspect.js"),
  ),
  verb("network connect", "Networks", "Put a VM on a network", () => import("./verbs/network-connect.js")),
  verb(
    "network disconnect",
    "Networks",
    "Take a VM off a network",
    () => import("./verbs/network-disconnect.js"),
  ),
  verb("network rm", "Networks", "Remove networks", () => import("./verbs/network-rm.js"), [
    "network remove",
  ]),
  verb(
    "network prune",
    "Networks",
    "Remove networks that no VM has",
    () => import("./verbs/network-prune.js"),
  ),
  verb("kernel ls", "Kernels", "List kernels", () => import("./verbs/kernel-ls.js"), ["kernel list"]),
  verb("kernel import", "Kernels", "Bring a kernel into the store", () => import("./verbs/kernel-import.js")),
  verb("kernel build", "Kernels", "Build kiln's own kernel", () => import("./verbs/kernel-build.js")),
  verb("kernel rm", "Kernels", "Remove kernels", () => import("./verbs/kernel-rm.js"), ["kernel remove"]),
  verb("info", "System", "Show the host, the VMM chosen, and why", () => import("./verbs/info.js"), [
    "system info",
  ]),
  verb("version", "System", "Show the versions of client and daemon", () => import("./verbs/version.js")),
  verb("doctor", "System", "Check this host for all that kiln needs", () => import("./verbs/doctor.js")),
  verb(
    "events",
    "System",
    "Follow what happens to VMs, images, volumes and networks",
    () => import("./verbs/events.js"),
    ["system events"],
  ),
  verb("system df", "System", "Show the disk that kiln takes", () => import("./verbs/system-df.js")),
  verb("system prune", "System", "Remove what nobody uses", () => import("./verbs/system-prune.js")),
  verb("completion", "System", "Print a shell's completion script", () => import("./verbs/completion.js")),
  hidden("__call-failed", () => import("./verbs/call-failed.js")),
  hidden("__run-ended", () => import("./verbs/run-ended.js")),
  hidden("__start-daemon", () => import("./verbs/start-daemon.js")),
];

type Loaded = { readonly command: Command };

function verb(
  name: string,
  group: VerbGroup,
  summary: string,
  load: () => Promise<Loaded>,
  aliases: readonly string[] = [],
): Verb {
  return { name, group, summary, aliases, load: async () => (await load()).command };
}

function hidden(name: string, load: () => Promise<Loaded>): Verb {
  return { name, group: "System", summary: "", hidden: true, load: async () => (await load()).command };
}

/** Words that begin longer verbs: "execs", "image", "kernel", "port", "system", "vm". */
export const FAMILIES: readonly string[] = [
  ...new Set(
    VERBS.flatMap(({ name, aliases = [] }) => [name, ...aliases])
      .filter((each) => each.includes(" "))
      .map((each) => each.slice(0, each.indexOf(" "))),
  ),
].sort();

/** A verb found at the start of the words. */
export interface FoundVerb {
  readonly verb: Verb;
  /** How many of the words it took. */
  readonly words: number;
}

/** The verb that words begin with, the longest spelling first; `vm ps` is `ps`, and `vm port add` is `port add`. */
export function findVerb(words: readonly string[]): FoundVerb | undefined {
  const found = longest(words);
  if (found !== undefined || words[0] !== "vm" || words[1] === "vm") return found;
  const short = longest(words.slice(1));
  return short !== undefined && isAboutVms(short.verb) ? { ...short, words: short.words + 1 } : undefined;
}

function longest(words: readonly string[]): FoundVerb | undefined {
  for (const length of [2, 1]) {
    if (words.length < length) continue;
    const verb = byName(words.slice(0, length).join(" "));
    if (verb !== undefined) return { verb, words: length };
  }
  return undefined;
}

/** True for verbs that help shows with the long form `kiln vm VERB` too. */
export function isVmVerb(verb: Verb): boolean {
  return isAboutVms(verb) && !verb.name.includes(" ");
}

function isAboutVms({ group }: Verb): boolean {
  return ["Run", "VMs", "Files and output"].includes(group);
}

function byName(name: string): Verb | undefined {
  return VERBS.find((verb) => verb.name === name || verb.aliases?.includes(name) === true);
}

/** The verbs of a family: "image ls", "image pull", ...; with their names in that family. */
export function familyVerbs(family: string): { readonly name: string; readonly verb: Verb }[] {
  const out: { name: string; verb: Verb }[] = [];
  for (const verb of VERBS) {
    if (verb.hidden === true) continue;
    const names = [verb.name, ...(verb.aliases ?? [])];
    const name = names.find((each) => each.startsWith(`${family} `));
    if (family === "vm" && isVmVerb(verb)) out.push({ name: `vm ${verb.name}`, verb });
    else if (name !== undefined) out.push({ name, verb });
  }
  return out;
}
