// The few files that a VMM's program needs, as a tree of its own: what is bound as /usr in its jail. Made once for each
// state of the host's files, found again by a list of what it was made of; a security update of one library makes
// another tree. Bound whole it costs one mount, where each file by itself costs 14 ms.

import { createHash, randomBytes } from "node:crypto";
import { constants, statSync } from "node:fs";
import {
  copyFile,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errnoOf, KilnError } from "../../base/errors.js";
import { exists, makeDirectory, readJson, TEMP_MARK, writeJsonAtomic } from "../../base/files.js";
import { SingleFlight } from "../../base/single-flight.js";
import { UndoStack } from "../../base/undo.js";
import type { JailTree } from "./plan.js";

/** Part of every key: another way of making trees makes new ones. */
const FORMAT = 2;
const LIST = "files.json";
const MAKING_MS = 3_600_000;

/** Which files make a program run: found by programs of the host, so only when a tree is made. */
export type ListFiles = () => Promise<readonly string[]>;

export interface TreeOptions {
  /** Existing, of the daemon. */
  readonly directory: string;
  /** Of what the tree is for: the program's path and the like. */
  readonly purpose: string;
  readonly listFiles: ListFiles;
  /** Runs the program in the new tree; rejects where it does not work. */
  readonly tryOut: (tree: JailTree) => Promise<void>;
}

interface Source {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
}

interface Kept {
  readonly sources: readonly Source[];
  /** What was made of each source, in the same order. */
  readonly copies: readonly string[];
  readonly tree: JailTree;
}

/** How long a tree that can't be made is not tried again: each try may copy all of it. */
const REFUSAL_KEPT_MS = 10_000;

/** Directories that are links into /usr on most hosts. */
const TOP = ["bin", "sbin", "lib", "lib32", "lib64"] as const;

export class Trees {
  readonly #options: TreeOptions;
  readonly #making = new SingleFlight<JailTree>();
  readonly #now: () => number;
  #kept: Kept | undefined;
  #refused: { readonly why: string; readonly until: number } | undefined;

  /** @param now for tests; default: a clock that only goes on */
  constructor(options: TreeOptions, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#now = now;
  }

  /** The tree, or where none can be made the host's own programs, with why: they hold no secret, but are far more. */
  async getOrHost(): Promise<JailTree> {
    if (this.#refused === undefined || this.#now() >= this.#refused.until) {
      try {
        return await this.get();
      } catch (error) {
        const why = KilnError.from(error).message.split("\n").slice(0, 2).join(" ").trim();
        this.#refused = { why, until: this.#now() + REFUSAL_KEPT_MS };
      }
    }
    return { ...(await hostTree()), exposed: this.#refused.why };
  }

  /** The tree for the host's files as they are now. */
  async get(): Promise<JailTree> {
    if (this.#kept !== undefined && isFresh(this.#kept.sources) && isWhole(this.#kept))
      return this.#kept.tree;
    return this.#making.run("tree", {}, () => this.#findOrMake());
  }

  async #findOrMake(): Promise<JailTree> {
    const root = await makeDirectory(join(this.#options.directory, "trees"));
    for (const name of await readdir(root)) {
      const kept = name.includes(TEMP_MARK) ? undefined : await this.#load(join(root, name));
      if (kept !== undefined) {
        this.#kept = kept;
        return kept.tree;
      }
    }
    const kept = await this.#make(root);
    this.#kept = kept;
    await removeOthers(root, kept);
    return kept.tree;
  }

  async #load(directory: string): Promise<Kept | undefined> {
    const list = await readList(directory);
    if (list?.purpose !== this.#options.purpose || !isFresh(list.sources)) return undefined;
    const copies = list.copies.map((path) => join(directory, path));
    const found = { sources: list.sources, copies };
    return isWhole(found) ? { ...found, tree: await treeOf(directory) } : undefined;
  }

  async #make(root: string): Promise<Kept> {
    const sources = (await this.#options.listFiles()).map(sourceOf);
    const { purpose } = this.#options;
    const key = createHash("sha256")
      .update(JSON.stringify({ FORMAT, purpose, sources }))
      .digest("hex")
      .slice(0, 32);
    const making = join(root, `${key}${TEMP_MARK}${randomBytes(6).toString("hex")}`);
    await using undo = new UndoStack();
    // Everybody enters it in the jail, whatever this daemon's umask: its parents on the host are closed.
    await mkdir(making, { mode: 0o755 });
    undo.push(`remove ${making}`, () => rm(making, { recursive: true, force: true }));
    const copies: string[] = [];
    for (const { path } of sources) copies.push(await bring(path, making));
    await this.#options.tryOut(await treeOf(making));
    const saved: SavedList = { format: FORMAT, purpose, sources, copies };
    await writeJsonAtomic(join(making, LIST), saved, { durable: false });
    const directory = join(root, key);
    await rename(making, directory).catch(async (error: unknown) => {
      // Another kilnd's of the same data root can't be: a damaged one is replaced.
      if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "EEXIST") throw error;
      await rm(directory, { recursive: true, force: true });
      await rename(making, directory);
    });
    undo.commit();
    return { sources, copies: copies.map((path) => join(directory, path)), tree: await treeOf(directory) };
  }
}

interface SavedList {
  readonly format: number;
  readonly purpose: string;
  readonly sources: readonly Source[];
  /** Within the tree. */
  readonly copies: readonly string[];
}

/** Undefined where it is no tree of this form. */
async function readList(directory: string): Promise<SavedList | undefined> {
  const list = (await readJson(join(directory, LIST)).catch(() => undefined)) as
    | Partial<SavedList>
    | undefined;
  const { format, purpose, sources, copies } = list ?? {};
  if (format !== FORMAT || purpose === undefined) return undefined;
  if (!Array.isArray(sources) || !Array.isArray(copies) || copies.length !== sources.length) return undefined;
  return { format, purpose, sources, copies };
}

/** The host's programs whole: no secret is in there, but every program. */
export async function hostTree(): Promise<JailTree> {
  const [binds, links] = [[{ from: "/usr", at: "/usr" }], []] as [
    { from: string; at: string }[],
    JailTree["links"][number][],
  ];
  for (const name of TOP) await addTop("/", name, binds, links);
  return { binds, links };
}

/** The host's programs and these directories: for a program that is made of more than a tree can know. */
export async function treeWith(directories: readonly string[]): Promise<JailTree> {
  const { binds, links } = await hostTree();
  return { binds: [...binds, ...directories.map((path) => ({ from: path, at: path }))], links };
}

async function treeOf(directory: string): Promise<JailTree> {
  const binds: { from: string; at: string }[] = [];
  const links: { target: string; at: string }[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) binds.push({ from: join(directory, entry.name), at: `/${entry.name}` });
  }
  for (const name of TOP) {
    const host = await readlink(`/${name}`).catch(() => undefined);
    if (host !== undefined) links.push({ target: host, at: `/${name}` });
  }
  return { binds, links };
}

async function addTop(
  root: string,
  name: string,
  binds: { from: string; at: string }[],
  links: { target: string; at: string }[],
): Promise<void> {
  const path = join(root, name);
  const target = await readlink(path).catch(() => undefined);
  if (target !== undefined) links.push({ target, at: `/${name}` });
  else if (await exists(path)) binds.push({ from: path, at: `/${name}` });
}

/**
 * Its content under its own name, in its directory's real place.
 *
 * @returns the place within the tree
 */
async function bring(path: string, tree: string): Promise<string> {
  const place = join(await realpath(dirname(path)), basename(path));
  const target = join(tree, place);
  await makeOpenDirectories(tree, dirname(target));
  const source = await realpath(path);
  // The same bytes in memory for the host's own and the jails'. Only root may link files that aren't its own.
  await link(source, target).catch(async () => {
    await copyFile(source, target, constants.COPYFILE_FICLONE);
    // A power cut would leave libraries of no bytes behind a list that calls them whole.
    const copy = await open(target);
    await copy.sync().finally(() => copy.close());
  });
  return place;
}

async function makeOpenDirectories(tree: string, directory: string): Promise<void> {
  if (directory === tree || (await exists(directory))) return;
  await makeOpenDirectories(tree, dirname(directory));
  await mkdir(directory, { mode: 0o755 });
}

function sourceOf(path: string): Source {
  const { size, mtimeMs } = statSync(path);
  return { path, size, mtimeMs };
}

/** Some fifty calls of 3 us: cheaper done at once than one by one. */
function isFresh(sources: readonly Source[]): boolean {
  return sources.every(({ path, size, mtimeMs }) => {
    const now = statSync(path, { throwIfNoEntry: false });
    return now !== undefined && now.size === size && now.mtimeMs === mtimeMs;
  });
}

/** None of the tree was lost, by whoever clears a cache or by a power cut. */
function isWhole({ sources, copies }: Pick<Kept, "sources" | "copies">): boolean {
  return copies.every((path, at) => statSync(path, { throwIfNoEntry: false })?.size === sources[at]?.size);
}

/** Trees of earlier states of the host, once no VMM lives in them. */
async function removeOthers(root: string, kept: Kept): Promise<void> {
  const current = new Set(kept.tree.binds.map(({ from }) => basename(dirname(from))));
  for (const name of await readdir(root)) {
    // What bears the mark may be in the making, for another driver of this kilnd; leftovers go with a later kilnd.
    const making = name.includes(TEMP_MARK) && Date.now() - statSync(join(root, name)).mtimeMs < MAKING_MS;
    if (current.has(name) || making || (await isAnothers(join(root, name), kept))) continue;
    if (await isMounted(join(root, name))) continue;
    await rm(join(root, name), { recursive: true, force: true });
  }
}

/** A good tree of another program, or of a second one by the same name. */
async function isAnothers(directory: string, kept: Kept): Promise<boolean> {
  const list = await readList(directory);
  const ours = list?.sources.every(({ path }, at) => path === kept.sources[at]?.path) ?? true;
  return !ours && list !== undefined && isFresh(list.sources);
}

/** True where a process has a part of the directory mounted, or where nobody can tell. */
async function isMounted(directory: string): Promise<boolean> {
  const name = basename(directory);
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const mounts = await readFile(`/proc/${pid}/mountinfo`, "utf8").catch(() => "");
    if (mounts.includes(`/${name}/`)) return true;
  }
  return false;
}
