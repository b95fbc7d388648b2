// Images as users see them: pull, import, tag, remove. The store is the image room's; here is what depends on VMs:
// an image that a VM was made from is not removed by accident, and its base goes with it.

import { Code, KilnError } from "../../base/errors.js";
import type {
  ImportOptions,
  PulledImage,
  PullOptions,
  RemovedImage,
  StoredImage,
} from "../../image/types.js";
import type { EventLog } from "../common/events.js";
import { IMAGE_FILTERS, matchesImage, parseFilters } from "../common/filters.js";
import type { Rooms } from "../common/rooms.js";
import type { EngineSettings } from "../common/settings.js";
import type { Bases } from "../disks/bases.js";
import { explainUnusable } from "../disks/unusable-image.js";
import { defaultPlatform, type PlatformDeps } from "../host/guest-platform.js";
import { type Host, requireDisk } from "../host/host.js";
import { collect, requireAll } from "../objects/collect.js";
import type { References } from "../objects/references.js";
import { removeIdle, removeImage } from "./remove-image.js";

export interface ImageVerbsDeps extends PlatformDeps {
  readonly dataRoot: string;
  readonly rooms: Pick<Rooms, "images" | "registryOf" | "vmms">;
  readonly settings: Pick<EngineSettings, "vmm" | "diskReserveBytes">;
  readonly host: Host;
  readonly events: Pick<EventLog, "emit">;
  readonly references: References;
  readonly bases: Pick<Bases, "list" | "remove" | "usage">;
}

export class ImageVerbs {
  readonly #deps: ImageVerbsDeps;

  constructor(deps: ImageVerbsDeps) {
    this.#deps = deps;
  }

  /** @param filters "reference=nginx", "label=a=b", "dangling=true" */
  list(filters: readonly string[] = []): readonly StoredImage[] {
    const parsed = parseFilters("images", filters, IMAGE_FILTERS);
    return this.#deps.rooms.images.list().filter((image) => matchesImage(image, parsed));
  }

  /** A blob's text for `image inspect`. */
  readText(digest: string, limitBytes: number): Promise<string> {
    return this.#deps.rooms.images.readBlobText(digest, limitBytes);
  }

  /** The registry that a reference names. @throws KilnError invalid_argument `bad-reference` */
  registryOf(reference: string): string {
    return this.#deps.rooms.registryOf(reference);
  }

  /** The image, or undefined where it is not here. @throws KilnError invalid_argument `ambiguous-id` */
  look(key: string): StoredImage | undefined {
    return this.#deps.rooms.images.find(key);
  }

  /** @throws KilnError not_found `image-not-found` */
  find(key: string): StoredImage {
    const image = this.look(key);
    if (image !== undefined) return image;
    throw new KilnError(Code.NotFound, `no such image: ${key}`, {
      reason: "image-not-found",
      hint: `pull it with \`kiln pull ${key}\`, or see what is there with \`kiln images\``,
    });
  }

  async pull(reference: string, options: PullOptions): Promise<PulledImage> {
    await this.#requireDisk(`pull ${reference}`);
    const platform = options.platform ?? (await defaultPlatform(this.#deps, options));
    const image = await this.#deps.rooms.images
      .pull(reference, { ...options, platform })
      .catch((error: unknown) => {
        throw explainUnusable(error);
      });
    this.#emit("pull", image.id, reference);
    return image;
  }

  async import(tar: AsyncIterable<Uint8Array>, options: ImportOptions): Promise<StoredImage> {
    await this.#requireDisk(`import ${options.name}`);
    const image = await this.#deps.rooms.images.importTar(tar, options).catch((error: unknown) => {
      throw explainUnusable(error);
    });
    this.#emit("import", image.id, options.name);
    return image;
  }

  /** @throws KilnError not_found `image-not-found`, before the first byte */
  save(keys: readonly string[], signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    return this.#deps.rooms.images.save(keys, { signal });
  }

  async tag(key: string, name: string): Promise<void> {
    const { id } = this.find(key);
    await this.#deps.rooms.images.tag(id, name);
    this.#emit("tag", id, name);
  }

  /**
   * Removes a name, or all of an image by id. Its bases go when no VM stands on them.
   *
   * @param force also where VMs were made from it; they keep their base and go on
   * @throws KilnError failed_precondition `image-in-use`
   */
  async remove(key: string, force: boolean): Promise<RemovedImage> {
    const { id } = this.find(key);
    const { rooms, references } = this.#deps;
    const hint = "remove those VMs first, or force it: they keep their disks";
    const options = force ? ({ breaks: ["made-from"] } as const) : { hint };
    const removed = await removeImage(rooms.images, key, (image) =>
      references.claim({ noun: "image", id: image.id }, options),
    );
    for (const name of removed.untagged) this.#emit("untag", id, name);
    for (const gone of removed.deleted) this.#emit("delete", gone, key);
    if (removed.deleted.length > 0) await this.collectBases();
    return removed;
  }

  /** Whether VMs were made from it. */
  hasVms(id: string): boolean {
    return this.#deps.references.usersOf({ noun: "image", id }).some(({ from }) => from.noun === "vm");
  }

  /** What images take on disk, with what was made of them for VMs to share. */
  async usage(): Promise<{ readonly bytes: number; readonly files: number }> {
    const { blobs, bytes, ingestBytes } = await this.#deps.rooms.images.usage();
    const bases = await this.#deps.bases.usage();
    let total = bytes + ingestBytes;
    for (const size of bases.values()) total += size;
    return { bytes: total, files: blobs + bases.size };
  }

  /**
   * Removes images that no VM was made from: those without a name, or with `all` every one.
   */
  async prune(all: boolean): Promise<{ deleted: string[]; bytes: number }> {
    const { rooms, references } = this.#deps;
    const before = await this.#storedBytes();
    const deleted: string[] = [];
    for (const {
      id,
      names: [name = ""],
    } of this.list()) {
      const isWanted = ({ names }: StoredImage) => all || names.length === 0;
      if (!(await removeIdle(rooms.images, references, id, isWanted))) continue;
      this.#emit("delete", id, name);
      deleted.push(id);
    }
    await rooms.images.collectGarbage();
    return { deleted, bytes: Math.max(0, before - (await this.#storedBytes())) };
  }

  async #storedBytes(): Promise<number> {
    const { bytes, ingestBytes } = await this.#deps.rooms.images.usage();
    return bytes + ingestBytes;
  }

  /**
   * Removes bases that no VM needs.
   *
   * @param all also those of images that are here, whose next VM would want them
   */
  async collectBases(all = false): Promise<{ keys: readonly string[]; bytes: number }> {
    const { bases, references } = this.#deps;
    let bytes = 0;
    const collected = await collect(references, "base", this.#idleBases(all), async (key) => {
      bytes += await bases.remove(key);
    });
    requireAll(collected);
    return { keys: collected.removed, bytes };
  }

  /** Asked at each one's turn: its image may have come back meanwhile. */
  *#idleBases(all: boolean): Generator<string> {
    const { bases, rooms } = this.#deps;
    for (const { key, imageId } of bases.list()) {
      const spared = !all && imageId !== "" && rooms.images.find(imageId) !== undefined;
      if (!spared) yield key;
    }
  }

  #requireDisk(what: string): Promise<void> {
    const { host, dataRoot, settings } = this.#deps;
    return requireDisk(host, what, dataRoot, 0, settings.diskReserveBytes);
  }

  #emit(action: string, id: string, name: string): void {
    this.#deps.events.emit({ type: "image", action, id, attributes: { name } });
  }
}
