// The ImageStore of types.ts: says which room of this house does what, and owns nothing but the wiring.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import { type Logger, silentLogger } from "../base/log.js";
import type { Abortable } from "../base/progress.js";
import { pullDockerArchive } from "./archive/docker-archive.js";
import { pullLayoutDirectory } from "./archive/layout-directory.js";
import { pullOciArchive } from "./archive/oci-archive.js";
import { saveImages } from "./archive/save.js";
import { createCredentialSource } from "./auth/credentials.js";
import { importTar } from "./import/import-tar.js";
import { type LayerLimits, layerLimits } from "./layers/index.js";
import { DEFAULT_LIMITS, type ImageLimits } from "./limits.js";
import { lookUp, planRemoval } from "./lookup.js";
import { hostPlatform, normalisePlatform } from "./platform.js";
import { pullFromRegistry } from "./pull/registry-pull.js";
import { ImageReason } from "./reasons.js";
import { formatReference, parseReference } from "./reference.js";
import { describeSource, type ImageSource, parseImageSource } from "./source.js";
import { StoreContext } from "./store/context.js";
import type {
  ImageStore,
  ImportOptions,
  PulledImage,
  PullOptions,
  RemovedImage,
  StoredImage,
} from "./types.js";

export interface ImageStoreOptions {
  /** Where images live: kiln's data directory. */
  readonly dataRoot: string;
  /** kiln's configuration directory: certs.d/<host>/hosts.toml in it. */
  readonly configRoot: string;
  /** The daemon's environment: credential files, proxies, CA bundle. */
  readonly env: NodeJS.ProcessEnv;
  /** Whose credential files; default this process's user. */
  readonly uid?: number;
  readonly log?: Logger;
  readonly limits?: Partial<ImageLimits>;
  /** For tars that become images, and for layers that are verified. */
  readonly layerLimits?: Partial<LayerLimits>;
  /** certs.d directories, most specific first; default kiln's, then containerd's. */
  readonly hostsDirectories?: readonly string[];
}

const CONTAINERD_HOSTS = "/etc/containerd/certs.d";

/** Call `open` before anything else. */
export function createImageStore(options: ImageStoreOptions): ImageStore {
  return new DiskImageStore(options);
}

class DiskImageStore implements ImageStore {
  readonly #options: ImageStoreOptions;
  readonly #context: StoreContext;

  constructor(options: ImageStoreOptions) {
    this.#options = options;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#context = new StoreContext(
      options.dataRoot,
      limits,
      layerLimits(options.layerLimits),
      options.log ?? silentLogger,
    );
  }

  async open(): Promise<void> {
    try {
      await this.#context.open();
    } catch (error) {
      throw KilnError.from(error, `open the image store in ${this.#options.dataRoot}`);
    }
  }

  async pull(text: string, options: PullOptions): Promise<PulledImage> {
    const source = parseImageSource(text);
    try {
      return await this.#pull(source, options);
    } catch (error) {
      throw named(error, describeSource(source), `pull ${describeSource(source)}`);
    }
  }

  find(key: string): StoredImage | undefined {
    return lookUp(key, this.list())?.image;
  }

  list(): readonly StoredImage[] {
    return this.#context.records.list();
  }

  async importTar(tar: AsyncIterable<Uint8Array>, options: ImportOptions): Promise<StoredImage> {
    try {
      return await importTar(this.#context, tar, options, this.#context.layerLimits);
    } catch (error) {
      throw named(error, `import ${options.name}`, `import ${options.name}`);
    }
  }

  save(keys: readonly string[], { signal }: Abortable): AsyncGenerator<Uint8Array> {
    return saveImages(this.#context, keys, signal);
  }

  async tag(key: string, name: string): Promise<void> {
    const reference = parseReference(name);
    if (reference.digest !== undefined) {
      throw new KilnError(Code.InvalidArgument, `tag ${key} as ${name}: a digest can't be given as a name`, {
        reason: ImageReason.InvalidReference,
      });
    }
    await this.#context.change(async () => {
      const { id } = this.#require(key).image;
      const record = this.#context.records.record(id);
      if (record === undefined) throw new TypeError("what is listed has a record");
      await this.#context.records.add(record, [formatReference(reference)], []);
    });
  }

  async remove(key: string, mayDelete = (_: StoredImage) => true): Promise<RemovedImage> {
    const removed = await this.#context.change(async () => {
      const found = this.#require(key);
      const plan = planRemoval(found);
      const { id } = found.image;
      if (plan.deletes && !mayDelete(found.image)) return { untagged: [], deleted: [] };
      if (plan.deletes) await this.#context.records.delete(id);
      else await this.#context.records.unname(id, plan.untagged);
      return { untagged: [...plan.untagged], deleted: plan.deletes ? [id] : [] };
    });
    if (removed.deleted.length > 0) await this.#context.sweep();
    return removed;
  }

  async collectGarbage(): Promise<{ blobs: number; bytes: number }> {
    await this.#context.journal.forget((digest) => this.#context.blobs.isLeased(digest));
    return await this.#context.sweep();
  }

  blobPath(digest: string): string {
    const path = this.#context.blobs.path(digest);
    if (existsSync(path)) return path;
    throw new KilnError(Code.NotFound, `no such blob: ${digest}`, { reason: ImageReason.BlobNotFound });
  }

  async readBlobText(digest: string, limitBytes: number): Promise<string> {
    return (await this.#context.blobs.read(digest, limitBytes)).toString("utf8");
  }

  async usage(): Promise<{ blobs: number; bytes: number; ingestBytes: number }> {
    const { blobs, journal, records } = this.#context;
    const total = { blobs: 0, bytes: 0, ingestBytes: await journal.bytes() };
    for (const digest of await blobs.list()) {
      const size = (await blobs.sizeOf(digest)) ?? 0;
      if (records.uses(digest)) {
        total.blobs++;
        total.bytes += size;
      } else total.ingestBytes += size; // fetched by a pull that is under way or was interrupted
    }
    return total;
  }

  async #pull(source: ImageSource, options: PullOptions): Promise<PulledImage> {
    const { env, uid, configRoot } = this.#options;
    const onProgress = options.onProgress ?? (() => undefined);
    const platform = normalisePlatform(options.platform ?? hostPlatform());
    const signal = options.signal ?? new AbortController().signal;
    if (source.kind === "registry") {
      const credentials = createCredentialSource({
        env,
        uid: uid ?? process.getuid?.() ?? 0,
        explicit: options.credentials,
        helperMs: this.#context.limits.helperMs,
        files: options.credentialFiles !== "only-given",
      });
      const hostsDirectories = this.#options.hostsDirectories ?? [
        join(configRoot, "certs.d"),
        CONTAINERD_HOSTS,
      ];
      const remote = { env, credentials, hostsDirectories, plainHttp: options.plainHttp === true };
      return await pullFromRegistry(this.#context, source.reference, {
        remote,
        platform,
        onProgress,
        signal,
      });
    }
    const local = { what: describeSource(source), platform, onProgress, signal };
    if (source.kind === "docker-archive") return await pullDockerArchive(this.#context, source, local);
    if (source.kind === "oci-archive")
      return await pullOciArchive(this.#context, source.path, source.tag, local);
    return await pullLayoutDirectory(this.#context, source.path, source.tag, local);
  }

  #require(key: string): NonNullable<ReturnType<typeof lookUp>> {
    const found = lookUp(key, this.list());
    if (found !== undefined) return found;
    throw new KilnError(Code.NotFound, `no such image: ${key}`, {
      reason: ImageReason.ImageNotFound,
      hint: "`kiln images` lists what is there",
    });
  }
}

/** A host, a path or a digest alone does not tell a user which image it was: the error says so unless it does already. */
function named(error: unknown, name: string, context: string): KilnError {
  const failure = KilnError.from(error);
  return failure.message.includes(name) ? failure : KilnError.from(failure, context);
}
