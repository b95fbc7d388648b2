// Bases: the read-only ext4 files that VMs share, one for each set of layers and disk size. Content-addressed: the
// key names layers, size and writer, so the same image never needs two, and a lost one can be made again.

import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { Code, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { allocatedBytes } from "../../base/files.js";
import { KeyedLock } from "../../base/lock.js";
import type { Logger } from "../../base/log.js";
import { type LoadedObject, ObjectStore } from "../../base/object-store.js";
import { UndoStack } from "../../base/undo.js";
import {
  keepUnknown,
  openObject,
  type Parsed,
  parseVersioned,
  type RecordKind,
} from "../../base/versioned.js";
import type { StoredImage } from "../../image/types.js";
import type { BuildLimits, BuildRequest, BuildResult } from "../common/base-protocol.js";
import type { BaseBuilder, CowBase } from "../common/rooms.js";
import { SharedWork, type WorkOptions } from "../common/shared-work.js";
import { type Host, requireDisk } from "../host/host.js";
import type { Ownership } from "../host/ownership.js";
import type { References } from "../objects/references.js";
import { explainUnusable } from "./unusable-image.js";

/** Part of every key: a new writer makes new bases beside the old, which their VMs keep. */
const WRITER_VERSION = 1;

const Count = v.optional(v.number(), 0);
const BaseSchema = openObject({
  version: v.number(),
  key: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  diskBytes: Count,
  /** Of the image file, sparse. */
  sizeBytes: v.number(),
  inodes: Count,
  dataBytes: Count,
  /** /sbin/init leads to an executable: `--init auto` boots an image without a command as a system. */
  hasInit: v.optional(v.boolean(), false),
  imageId: v.optional(v.string(), ""),
  createdAt: v.optional(v.string(), ""),
});
export type Base = v.InferOutput<typeof BaseSchema>;

export const BASE: RecordKind<Base> = { version: 1, schema: BaseSchema, migrations: {} };
const FILE = "base.ext4";
const KEY = /^[0-9a-f]{64}$/;

/** A record of another base says nothing of this one. */
function parseBase(json: unknown, key: string): Parsed<Base> | undefined {
  const parsed = parseVersioned(BASE, json);
  return parsed?.value.key === key ? parsed : undefined;
}

export interface BasesOptions {
  readonly dataRoot: string;
  readonly builder: BaseBuilder;
  readonly host: Host;
  readonly ownership: Ownership;
  readonly limits: BuildLimits;
  /** Bytes of disk that stay free. */
  readonly reserveBytes: number;
  readonly blobPath: (digest: string) => string;
  readonly log: Logger;
  readonly references: References;
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
  readonly #store: ObjectStore<Base>;
  readonly #bases = new Map<string, Base>();
  /** Keys of bases whose record is lost: VMs use them, new VMs make them anew, because they must know more. */
  readonly #guessed = new Set<string>();
  readonly #building = new SharedWork<Base>();
  readonly #lock = new KeyedLock();

  constructor(options: BasesOptions) {
    this.#options = options;
    this.#store = new ObjectStore({
      ...{ noun: "base", root: join(options.dataRoot, "bases"), id: KEY, log: options.log },
      record: { file: "base.json", kind: BASE, parse: parseBase },
      oldPrefixes: [".building-"],
      onStep: (step) => failpoint(`base.${step}`),
    });
  }

  /** Reads what is there; removes what a kill left half made. */
  async open(): Promise<void> {
    for (const found of await this.#store.load()) {
      const base = await this.#complete(found);
      // A directory without a base in it is of no use to anybody: the image makes it anew.
      if (base === undefined) await this.#discard(found.id);
      else await this.#keep(base);
    }
  }

  async #discard(key: string): Promise<void> {
    await this.#store.remove(key).catch((error: unknown) => {
      const why = KilnError.from(error).message;
      this.#options.log.warn("a directory that holds no base can't be removed", { base: key, why });
    });
  }

  /** Earlier releases let all VMMs in by a group. */
  async #keep(base: Base): Promise<void> {
    await this.#options.ownership.shareReadOnly(this.path(base.key));
    this.#bases.set(base.key, base);
  }

  list(): readonly Base[] {
    return [...this.#bases.values()];
  }

  /** The base, if its file is there and whole now: somebody may have removed it since kilnd's start. */
  async find(key: string): Promise<Base | undefined> {
    const base = this.#bases.get(key);
    return base !== undefined && (await this.#isWhole(base)) ? base : undefined;
  }

  path(key: string): string {
    return this.#store.path(key, FILE);
  }

  /**
   * The image's base, built if it is missing. Concurrent callers share one build. The caller holds a lease on it, or a
   * VM that needs it is there.
   *
   * @throws KilnError as the image room and the ext4 writer say; `host-disk-full` before anything is written
   */
  async ensure(image: StoredImage, diskBytes: number, options: WorkOptions): Promise<Base> {
    const key = baseKeyOf(image, diskBytes);
    const ready = await this.#findKnown(key);
    if (ready !== undefined) return ready;
    return this.#building.run(key, options, (signal, onProgress) =>
      this.#lock.run(key, async () => {
        const built = await this.#findKnown(key);
        if (built !== undefined) return built;
        onProgress({ id: "base", status: "building" });
        const base = await this.#build(key, image, diskBytes, { signal, onProgress });
        onProgress({ id: "base", status: "done" });
        return base;
      }),
    );
  }

  /** For who has claimed it. Where its directory can't be moved away it is there as it was. @returns the bytes that came back */
  async remove(key: string): Promise<number> {
    const bytes = await allocatedBytes(this.path(key));
    await this.#store.remove(key, () => {
      this.#bases.delete(key);
      this.#guessed.delete(key);
    });
    return bytes;
  }

  /** Bytes really taken by each. */
  async usage(): Promise<Map<string, number>> {
    const sizes = new Map<string, number>();
    for (const key of this.#bases.keys()) sizes.set(key, await allocatedBytes(this.path(key)));
    return sizes;
  }

  /** Names in bases/ that belong to no base and to no build that runs: for `system df`. */
  strays(): Promise<string[]> {
    return this.#store.strays(new Set(this.#bases.keys()));
  }

  /** For `system prune`. @returns the bytes that came back */
  clearLeftovers(): Promise<number> {
    return this.#store.clearLeftovers();
  }

  async #findKnown(key: string): Promise<Base | undefined> {
    return this.#guessed.has(key) ? undefined : this.find(key);
  }

  /** That nobody has removed or cut the file: a look at its size costs microseconds, its content is QEMU's to read. */
  async #isWhole(base: Base): Promise<boolean> {
    const file = await stat(this.path(base.key)).catch(() => undefined);
    return file?.isFile() === true && file.size === base.sizeBytes;
  }

  /** A base whose record is lost is still a base: it got its name when it was finished. */
  async #complete({ id, record }: LoadedObject<Base, never>): Promise<Base | undefined> {
    const size = await sizeOf(this.path(id));
    if (size === 0) return undefined;
    if (record.value !== undefined) return record.value;
    this.#guessed.add(id);
    return {
      ...{ version: 1, key: id, sizeBytes: size, diskBytes: size },
      ...{ inodes: 0, dataBytes: 0, hasInit: false, imageId: "", createdAt: "" },
    };
  }

  /** A base that is damaged gives way to the new one. VMs that run on it keep its file, which they hold open. */
  async #build(
    key: string,
    image: StoredImage,
    diskBytes: number,
    options: Required<Pick<WorkOptions, "signal" | "onProgress">>,
  ): Promise<Base> {
    const { host, reserveBytes, builder, ownership, references } = this.#options;
    const what = `build the base of image ${image.names[0] ?? image.id}`;
    await using leases = new UndoStack();
    // Its own: who asked for it may have left before it is at its end.
    for (const to of [{ noun: "image", id: image.id } as const, { noun: "base", id: key } as const]) {
      leases.push(`let go of the ${to.noun}`, references.lease(to, "a base is being built").release);
    }
    await requireDisk(host, what, this.#store.root, leastBytes(image), reserveBytes);
    const { record } = await this.#store.replace(
      key,
      (result: BuildResult) => {
        const createdAt = new Date().toISOString();
        const made = { version: 1, key, diskBytes, ...result, imageId: image.id, createdAt };
        return { record: keepUnknown(BASE, this.#bases.get(key), made) };
      },
      async (directory) => {
        const output = join(directory, FILE);
        const request = this.#request(key, image, diskBytes, output);
        const result = await builder(request, options).catch((error: unknown) => {
          throw explainUnusable(error, what);
        });
        await ownership.shareReadOnly(output);
        return result;
      },
    );
    this.#bases.set(key, record);
    this.#guessed.delete(key);
    return record;
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

/** Size of a file; 0 where there is none. */
async function sizeOf(path: string): Promise<number> {
  const file = await stat(path).catch(() => undefined);
  return file?.isFile() === true ? file.size : 0;
}

export interface BaseOfVm {
  /** Of the VM, for messages. */
  readonly name: string;
  readonly key: string;
  readonly diskBytes: number;
  /** The VM's image as it was named, and as it is here; undefined where it is not. */
  readonly imageName: string;
  readonly image: StoredImage | undefined;
}

/**
 * The base of a VM that is to start. One that was removed or cut is built again of the image's layers: the same layers
 * make the same base, and the cow is checked against it.
 *
 * @throws KilnError failed_precondition `base-missing`, and what the build says
 */
export async function requireBase(bases: Bases, vm: BaseOfVm, options: WorkOptions): Promise<Base> {
  const base = await bases.find(vm.key);
  if (base !== undefined) return base;
  const { image } = vm;
  if (image !== undefined && baseKeyOf(image, vm.diskBytes) === vm.key) {
    return bases.ensure(image, vm.diskBytes, options);
  }
  const what = `start VM ${vm.name}: its base ${vm.key.slice(0, 12)} is gone, and so is its image ${vm.imageName}`;
  throw new KilnError(Code.FailedPrecondition, what, {
    reason: "base-missing",
    hint: `pull it again with \`kiln pull ${vm.imageName}\`: the same layers make the same base`,
  });
}
