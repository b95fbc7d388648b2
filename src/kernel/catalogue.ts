// The kernels that kiln has: imported from files, packages, trees or Debian; one of them the default. Composes the
// rest of this room; refuses to know who boots them.

import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { defined } from "../base/defined.js";
import { Code, KilnError } from "../base/errors.js";
import { failpoint } from "../base/failpoint.js";
import { exists, tempNameFor } from "../base/files.js";
import { shortId } from "../base/ids.js";
import { KeyedLock } from "../base/lock.js";
import { type Logger, silentLogger } from "../base/log.js";
import { SingleFlight } from "../base/single-flight.js";
import { keepUnknown } from "../base/versioned.js";
import { type ChosenKernel, chooseDefault, findKernel } from "./choice.js";
import { isDeb, unpackDeb } from "./deb.js";
import { fetchDebianKernel } from "./debian.js";
import { AgentHashes, buildInitramfs, planInitramfs } from "./initramfs.js";
import type { CopiedModules } from "./modules-directory.js";
import { type KernelSource, modulesPlace, type PreparedKernel, prepareImport } from "./prepare.js";
import { DEFAULT, type DefaultKernel, KERNEL, type KernelRecord, KernelStore } from "./store.js";
import { findImage, findModules } from "./tree.js";
import type {
  InitramfsOptions,
  KernelCatalogue,
  KernelImportOptions,
  StoredKernel,
  TreeImportOptions,
} from "./types.js";

export interface CatalogueOptions {
  /** kiln's data root; kernels live in its `kernels` directory. */
  readonly dataRoot: string;
  readonly log?: Logger;
  /** Of this host; default this process's. */
  readonly architecture?: "amd64" | "arm64";
}

/** Call `open()` before anything else. */
export function createKernelCatalogue(options: CatalogueOptions): KernelCatalogue {
  return new Catalogue(options);
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}$/;
const HOST = process.arch === "arm64" ? "arm64" : "amd64";

class Catalogue implements KernelCatalogue {
  readonly #store: KernelStore;
  readonly #log: Logger;
  readonly #architecture: string;
  readonly #records = new Map<string, KernelRecord>();
  readonly #lock = new KeyedLock();
  readonly #builds = new SingleFlight<string>();
  readonly #agents = new AgentHashes();
  #default: DefaultKernel | undefined;

  constructor({ dataRoot, log = silentLogger, architecture = HOST }: CatalogueOptions) {
    this.#store = new KernelStore(dataRoot, log);
    this.#log = log;
    this.#architecture = architecture;
  }

  async open(): Promise<void> {
    this.#records.clear();
    for (const record of await this.#store.load()) this.#records.set(record.id, record);
    this.#default = await this.#store.readDefault();
  }

  list(): readonly StoredKernel[] {
    return [...this.#records.values()]
      .sort((a, b) => a.createdAt.localeCompare(b.createdAt) || a.id.localeCompare(b.id))
      .map((record) => this.#store.stored(record));
  }

  find(key: string): StoredKernel {
    return findKernel(key, this.list(), this.#architecture);
  }

  default(): ChosenKernel | undefined {
    return chooseDefault(this.list(), this.#default?.id, this.#architecture);
  }

  async setDefault(key: string): Promise<void> {
    const { id } = this.find(key);
    const chosen = keepUnknown(DEFAULT, this.#default, { version: 1, id });
    await this.#store.writeDefault(chosen);
    this.#default = chosen;
  }

  async importFile(path: string, options: KernelImportOptions): Promise<StoredKernel> {
    return attempt(`import the kernel ${path}`, async () => {
      if ((await stat(path)).isFile() && (await isDeb(path))) return this.importDeb(path, options);
      const modules = options.modulesDirectory;
      return this.#import(options, async () => ({
        image: path,
        description: resolve(path),
        modules: async () => modules,
      }));
    });
  }

  async importDeb(path: string, options: KernelImportOptions): Promise<StoredKernel> {
    return attempt(`import the kernel package ${path}`, () =>
      this.#import(options, (staging) => this.#unpackDebs([path], resolve(path), staging, options)),
    );
  }

  async importTree(root: string, options: TreeImportOptions): Promise<StoredKernel> {
    const source = options.source ?? resolve(root);
    return attempt(`import the kernel of ${source}`, () =>
      this.#import(options, async () => ({ ...(await treeSource(root, source)), own: options.own })),
    );
  }

  async importDebian(options: KernelImportOptions): Promise<StoredKernel> {
    return attempt("import Debian's cloud kernel", () =>
      this.#import(options, async (staging) => {
        const debs = await fetchDebianKernel(join(staging, "debs"), join(staging, "apt"), options);
        const names = debs.map((deb) => deb.split("/").pop() ?? "");
        return this.#unpackDebs(debs, `debian: ${names.join(", ")}`, staging, options);
      }),
    );
  }

  async remove(key: string): Promise<void> {
    const { id } = this.find(key);
    await this.#lock.run(id, async () => {
      await this.#store.remove(id, () => this.#records.delete(id));
      if (this.#default?.id === id) {
        await this.#store.writeDefault(undefined);
        this.#default = undefined;
      }
    });
  }

  strays(): Promise<string[]> {
    return this.#store.strays(new Set(this.#records.keys()));
  }

  clearLeftovers(): Promise<number> {
    return this.#store.clearLeftovers();
  }

  async initramfs(kernel: StoredKernel, agentPath: string, options: InitramfsOptions = {}): Promise<string> {
    const stored = this.find(kernel.id);
    const sha256 = await this.#agents.of(agentPath);
    const plan = planInitramfs(stored, { path: agentPath, sha256 }, options);
    return this.#builds.run(`${stored.id} ${plan.name}`, {}, () =>
      attempt(`build the initramfs of kernel ${stored.name}`, () =>
        buildInitramfs(plan, this.#store.directory(stored.id)),
      ),
    );
  }

  async #unpackDebs(
    debs: readonly string[],
    description: string,
    staging: string,
    options: KernelImportOptions,
  ): Promise<KernelSource> {
    const tree = join(staging, "tree");
    await mkdir(tree);
    options.onProgress?.({ id: "kernel", status: "extracting" });
    for (const deb of debs) await unpackDeb(deb, tree, options);
    return treeSource(tree, description);
  }

  /** Everything slow happens in a staging directory; only renames are done under the lock. */
  async #import(
    options: KernelImportOptions,
    load: (staging: string) => Promise<KernelSource>,
  ): Promise<StoredKernel> {
    if (options.name !== undefined) checkName(options.name);
    const staging = tempNameFor(join(this.#store.root, "import"));
    await mkdir(staging, { mode: 0o700 });
    try {
      const source = await load(staging);
      const prepared = await prepareImport(source, staging, this.#log, options);
      failpoint("kernel.prepared");
      // One commit at a time: names are unique over all kernels.
      const record = await this.#lock.run("commit", () =>
        this.#lock.run(prepared.id, () => this.#commit(prepared, source, options.name)),
      );
      options.onProgress?.({ id: "kernel", status: "done" });
      return this.#store.stored(record);
    } finally {
      await rm(staging, { recursive: true, force: true });
    }
  }

  async #commit(
    prepared: PreparedKernel,
    source: KernelSource,
    name: string | undefined,
  ): Promise<KernelRecord> {
    const { id, boot, modules } = prepared;
    const before = this.#records.get(id);
    const made: KernelRecord = defined({
      version: 1 as const,
      id,
      name: this.#chooseName(id, boot.release, name, before),
      ...boot,
      source: before?.source ?? source.description,
      sizeBytes: prepared.imageBytes + (modules?.bytes ?? 0),
      // One that kiln builds again is its newest again.
      createdAt: (source.own ? undefined : before?.createdAt) ?? new Date().toISOString(),
      modules: modulesName(modules, before),
      own: source.own ?? before?.own,
    });
    const record = keepUnknown(KERNEL, before, made);
    const place = this.#store.directory(id);
    if (before !== undefined && (await exists(place))) {
      await moveIn(prepared, record, place);
      failpoint("kernel.moved");
      await this.#store.save(record);
    } else await this.#store.add(record, (directory) => moveIn(prepared, record, directory));
    this.#records.set(id, record);
    return record;
  }

  #chooseName(id: string, release: string, wanted: string | undefined, before?: KernelRecord): string {
    const taken = (name: string) =>
      [...this.#records.values()].some((other) => other.name === name && other.id !== id);
    if (wanted === undefined) {
      if (before !== undefined) return before.name;
      return taken(release) ? `${release}-${shortId(id)}` : release;
    }
    if (!taken(wanted)) return wanted;
    throw new KilnError(Code.AlreadyExists, `another kernel is named ${wanted}`, {
      reason: "kernel-name-taken",
      hint: "choose another --name, or remove that kernel first",
    });
  }
}

function treeSource(root: string, description: string): Promise<KernelSource> {
  return findImage(root).then((image) => ({
    image,
    description,
    modules: (release) => findModules(root, release),
  }));
}

/** By renames alone. Modules that are there already are these: their name says what they are. */
async function moveIn(
  { staging, boot, modules }: PreparedKernel,
  record: KernelRecord,
  directory: string,
): Promise<void> {
  await rename(join(staging, "vmlinux"), join(directory, "vmlinux"));
  if (modules === undefined || record.modules === undefined) return;
  const target = join(directory, record.modules);
  if (!(await exists(target))) await rename(modulesPlace(staging, boot.release), target);
}

/** The same vmlinux imported again without modules keeps those it had. */
function modulesName(modules: CopiedModules | undefined, before?: KernelRecord): string | undefined {
  return modules === undefined ? before?.modules : `modules-${modules.fingerprint.slice(0, 16)}`;
}

function checkName(name: string): void {
  if (NAME.test(name)) return;
  throw new KilnError(Code.InvalidArgument, `"${name}" can't be a kernel's name`, {
    reason: "bad-name",
    hint: "use letters, digits, dots, dashes, plus signs and underscores, at most 128",
  });
}

async function attempt<T>(what: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw KilnError.from(error, what);
  }
}
