// Images as users see them: pull, import, tag, remove. The store is the image room's; here is what depends on VMs:
// an image that a VM was made from is not removed by accident, and its base goes with it.

import { Code, KilnError } from "../../base/errors.js";
import type { ImportOptions, PulledImage, PullOptions, StoredImage } from "../../image/types.js";
import type { EventLog } from "../common/events.js";
import { IMAGE_FILTERS, matchesImage, parseFilters } from "../common/filters.js";
import type { Rooms } from "../common/rooms.js";
import type { EngineSettings } from "../common/settings.js";
import { type Bases, basesInUse } from "../disks/bases.js";
import { explainUnusable } from "../disks/unusable-image.js";
import { defaultPlatform, type PlatformDeps } from "../host/guest-platform.js";
import { type Host, requireDisk } from "../host/host.js";
import type { Holds } from "../objects/holds.js";
import type { VmRegistry } from "../vm/registry.js";

export interface ImageVerbsDeps extends PlatformDeps {
  readonly dataRoot: string;
  readonly rooms: Pick<Rooms, "images" | "registryOf" | "vmms">;
  readonly settings: Pick<EngineSettings, "vmm" | "diskReserveBytes">;
  readonly host: Host;
  readonly events: Pick<EventLog, "emit">;
  readonly vms: Pick<VmRegistry, "list">;
  readonly bases: Pick<Bases, "list" | "collect">;
  /** Images (by id) that a create needs. */
  readonly imageHolds: Pick<Holds, "has">;
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

  /** @throws KilnError not_found `image-not-found` */
  find(key: string): StoredImage {
    const image = this.#deps.rooms.images.find(key);
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
    await this.#deps.rooms.images.tag(key, name);
    this.#emit("tag", this.find(key).id, name);
  }

  /**
   * Removes a name, or all of an image by id. Its bases go when no VM stands on them.
   *
   * @param force also where VMs were made from it; they keep their base and go on
   * @throws KilnError failed_precondition `image-in-use`
   */
  async remove(key: string, force: boolean): Promise<{ untagged: string[]; deleted: string[] }> {
    const image = this.find(key);
    const last = image.names.length <= 1 || image.id === key || image.id.startsWith(`sha256:${key}`);
    if (last && !force) this.#requireUnused(image, key);
    this.#requireNotHeld(image);
    const removed = await this.#deps.rooms.images.remove(key);
    for (const name of removed.untagged) this.#emit("untag", image.id, name);
    if (removed.deleted.length > 0) {
      this.#emit("delete", image.id, key);
      await this.collectBases();
    }
    return removed;
  }

  /**
   * Removes images that no VM was made from: those without a name, or with `all` every one.
   */
  async prune(all: boolean): Promise<{ deleted: string[]; bytes: number }> {
    const { images } = this.#deps.rooms;
    const before = await this.#storedBytes();
    const used = new Set(this.#deps.vms.list().map((entry) => entry.record.config.imageId));
    const deleted: string[] = [];
    for (const image of this.list()) {
      const wanted = all || image.names.length === 0;
      if (!wanted || used.has(image.id) || this.#deps.imageHolds.has(image.id)) continue;
      await images.remove(image.id);
      this.#emit("delete", image.id, image.names[0] ?? "");
      deleted.push(image.id);
    }
    await images.collectGarbage();
    return { deleted, bytes: Math.max(0, before - (await this.#storedBytes())) };
  }

  async #storedBytes(): Promise<number> {
    const { bytes, ingestBytes } = await this.#deps.rooms.images.usage();
    return bytes + ingestBytes;
  }

  /** Removes bases that neither a VM nor an image that is here needs. */
  async collectBases(): Promise<{ keys: string[]; bytes: number }> {
    const images = new Set(this.list().map(({ id }) => id));
    const used = basesInUse(this.#deps.vms.list());
    for (const base of this.#deps.bases.list()) if (images.has(base.imageId)) used.add(base.key);
    return this.#deps.bases.collect(used);
  }

  #requireUnused(image: StoredImage, key: string): void {
    const users = this.#deps.vms.list().filter((entry) => entry.record.config.imageId === image.id);
    if (users.length === 0) return;
    const names = users.slice(0, 5).map((entry) => entry.name);
    throw new KilnError(Code.FailedPrecondition, `image ${key} is used by VM ${names.join(", ")}`, {
      reason: "image-in-use",
      hint: "remove those VMs first, or force it: they keep their disks",
    });
  }

  #requireNotHeld(image: StoredImage): void {
    if (!this.#deps.imageHolds.has(image.id)) return;
    throw new KilnError(
      Code.FailedPrecondition,
      `image ${image.names[0] ?? image.id} is in use: a VM is being made from it`,
      {
        reason: "image-in-use",
      },
    );
  }

  #requireDisk(what: string): Promise<void> {
    const { host, dataRoot, settings } = this.#deps;
    return requireDisk(host, what, dataRoot, 0, settings.diskReserveBytes);
  }

  #emit(action: string, id: string, name: string): void {
    this.#deps.events.emit({ type: "image", action, id, attributes: { name } });
  }
}
