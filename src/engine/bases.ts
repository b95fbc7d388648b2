// Bases: the read-only ext4 files that VMs share, one for each set of layers and disk size. Content-addressed: the
// key names layers, size and writer, so the same image never needs two, and a lost one can be made again.

import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { Code, KilnError } from "../base/errors.js";
import {
  allocatedBytes,
  exists,
  makeDirectory,
  readJson,
  syncDirectory,
  writeJsonAtomic,
} from "../base/files.js";
import { KeyedLock } from "../base/lock.js";
import { UndoStack } from "../base/undo.js";
import type { StoredImage } from "../image/types.js";
import type { BaseBuilder } from "./base-builder.js";
import type { BuildLimits, BuildRequest } from "./base-protocol.js";
import { Holds } from "./holds.js";
import { type Host, requireDisk } from "./host.js";
import type { Ownership } from "./ownership.js";
import type { CowBase } from "./rooms.js";
import { SharedWork, type WorkOptions } from "./shared-work.js";
import { explainUnusable } from "./unusable-image.js";
import { parseRecord } from "./vm-record.js";

/** Part of every key: a new writer makes new bases beside the old, which their VMs keep. */
export const WRITER_VERSION = 1;

const BaseSchema = v.strictObject({
  version: v.literal(1),
  key: v.string(),
  diskBytes: v.number(),
  /** Of the image file, sparse. */
  sizeBytes: v.number(),
  inodes: v.number(),
  dataBytes: v.number(),
  /** /sbin/init leads to an executable: `--init auto` boots an image without a command as a system. */
  hasInit: v.boolean(),
  imageId: v.string(),
  createdAt: v.string(),
});
export type Base = v.InferOutput<typeof BaseSchema>;

const BUILDING = ".building-";

export interface BasesOptions {
  readonly dataRoot: string;
  readonly builder: BaseBuilder;
  readonly host: Host;
  readonly ownership: Ownership;
  readonly limits: BuildLimits;
  /** Bytes of disk that stay free. */
  readonly reserveBytes: number;
  readonly blobPath: (digest: string) => string;
}

/** The key of the base that this image needs at this disk size. */
export function baseKeyOf(image: StoredImage, diskBytes: number): string {
  const layers = image.layers.map((layer) => layer.diffId);
  return createHash("sha256")
    .update(JSON.stringify({ writer: WRITER_VERSION, diskBytes, layers }))
    .digest("hex");
}

export class Bases {
  readonly #options: BasesOptions;
  readonly #root: string;
  readonly #bases = new Map<string, Base>();
  readonly #building = new SharedWork<Base>();
  readonly #lock = new KeyedLock();
  readonly #holds = new Holds();

  constructor(options: BasesOptions) {
    this.#options = options;
    this.#root = join(options.dataRoot, "bases");
  }

  /** Reads what is there; removes what a kill left half made. */
  async open(): Promise<void> {
    await makeDirectory(this.#root);
    await this.#options.ownership.openPassage(this.#root);
    for (const name of await readdir(this.#root)) {
      const base = name.startsWith(BUILDING) ? undefined : await this.#load(name);
      // A base without its record was never finished, or is damaged: the image makes it anew.
      if (base === undefined) await rm(join(this.#root, name), { recursive: true, force: true });
      else this.#bases.set(base.key, base);
    }
  }

  list(): readonly Base[] {
    return [...this.#bases.values()];
  }

  find(key: string): Base | undefined {
    return this.#bases.get(key);
  }

  path(key: string): string {
    return join(this.#root, key, "base.ext4");
  }

  /** Keeps a base from `collect` until released: between its build and the VM's record nothing else names it. */
  hold(key: string): () => void {
    return this.#holds.hold(key);
  }

  /**
   * The image's base, built if it is missing. Concurrent callers share one build.
   *
   * @throws KilnError as the image room and the ext4 writer say; `host-disk-full` before anything is written
   */
  async ensure(image: StoredImage, diskBytes: number, options: WorkOptions): Promise<Base> {
    const key = baseKeyOf(image, diskBytes);
    const ready = this.#bases.get(key);
    if (ready !== undefined) return ready;
    return this.#building.run(key, options, (signal, onProgress) =>
      this.#lock.run(key, async () => {
        const built = this.#bases.get(key);
        if (built !== undefined) return built;
        onProgress({ id: "base", status: "building" });
        const base = await this.#build(key, image, diskBytes, { signal, onProgress });
        onProgress({ id: "base", status: "done" });
        return base;
      }),
    );
  }

  /** Removes bases that nobody uses or holds. @returns their keys and the bytes that came back */
  async collect(used: ReadonlySet<string>): Promise<{ keys: string[]; bytes: number }> {
    const removed: string[] = [];
    let bytes = 0;
    for (const key of [...this.#bases.keys()]) {
      await this.#lock.run(key, async () => {
        if (used.has(key) || this.#holds.has(key)) return;
        this.#bases.delete(key);
        bytes += await allocatedBytes(this.path(key));
        const dying = join(this.#root, `${BUILDING}removing-${key}`);
        await rename(join(this.#root, key), dying);
        await rm(dying, { recursive: true, force: true });
        removed.push(key);
      });
    }
    return { keys: removed, bytes };
  }

  /** Bytes really taken by each. */
  async usage(): Promise<Map<string, number>> {
    const sizes = new Map<string, number>();
    for (const key of this.#bases.keys()) sizes.set(key, await allocatedBytes(this.path(key)));
    return sizes;
  }

  /** Names in bases/ that belong to no base and to no build that runs: for `system df`. */
  async strays(): Promise<string[]> {
    const names = await readdir(this.#root);
    return names
      .filter((name) => !this.#bases.has(name) && !name.startsWith(BUILDING))
      .map((name) => join(this.#root, name));
  }

  async #load(name: string): Promise<Base | undefined> {
    const path = join(this.#root, name, "base.json");
    try {
      const base = parseRecord(BaseSchema, await readJson(path), path);
      return base.key === name && (await exists(this.path(name))) ? base : undefined;
    } catch (error) {
      if (error instanceof KilnError || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  async #build(
    key: string,
    image: StoredImage,
    diskBytes: number,
    options: Required<Pick<WorkOptions, "signal" | "onProgress">>,
  ): Promise<Base> {
    const { host, reserveBytes, builder, ownership } = this.#options;
    const what = `build the base of image ${image.names[0] ?? image.id}`;
    await requireDisk(host, what, this.#root, leastBytes(image), reserveBytes);
    const directory = join(this.#root, `${BUILDING}${key}`);
    await using undo = new UndoStack();
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { mode: 0o700 });
    undo.push(`remove ${directory}`, () => rm(directory, { recursive: true, force: true }));
    await ownership.openPassage(directory);
    const output = join(directory, "base.ext4");
    const request = this.#request(key, image, diskBytes, output);
    const result = await builder(request, definedOptions(options)).catch((error: unknown) => {
      throw explainUnusable(error, what);
    });
    const createdAt = new Date().toISOString();
    const base: Base = { version: 1, key, diskBytes, ...result, imageId: image.id, createdAt };
    await ownership.shareReadOnly(output);
    await writeJsonAtomic(join(directory, "base.json"), base);
    await rename(directory, join(this.#root, key));
    undo.commit();
    await syncDirectory(this.#root);
    this.#bases.set(key, base);
    return base;
  }

  #request(key: string, image: StoredImage, diskBytes: number, output: string): BuildRequest {
    const { blobPath, limits } = this.#options;
    return {
      layers: image.layers.map(({ digest, diffId, sizeBytes, compression }) => ({
        path: blobPath(digest),
        digest,
        diffId,
        sizeBytes,
        compression,
      })),
      output,
      diskBytes,
      identity: key,
      limits,
    };
  }
}

function definedOptions(options: Required<Pick<WorkOptions, "signal" | "onProgress">>) {
  const { signal, onProgress } = options;
  return { signal, ...(onProgress === undefined ? {} : { onProgress }) };
}

// Compressed layers unpack to two to four times their size; plain ones to their own.
function leastBytes(image: StoredImage): number {
  return image.layers.reduce(
    (sum, layer) => sum + layer.sizeBytes * (layer.compression === "none" ? 1 : 2),
    0,
  );
}

/** What a cow remembers of its base. */
export function cowBase(base: Base): CowBase {
  return { baseDigest: base.key, baseSizeBytes: base.sizeBytes };
}

/** The base of a VM that is to start. @throws KilnError failed_precondition `base-missing` */
export function requireBase(bases: Bases, key: string, name: string): Base {
  const base = bases.find(key);
  if (base !== undefined) return base;
  throw new KilnError(Code.FailedPrecondition, `start VM ${name}: its base ${key.slice(0, 12)} is gone`, {
    reason: "base-missing",
    hint: "pull the VM's image again: the same layers make the same base",
  });
}
