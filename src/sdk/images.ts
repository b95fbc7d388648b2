// `kiln.images`: the image store.

import { defined } from "../base/defined.js";
import { Code, KilnError } from "../base/errors.js";
import { imageFromJson, numberOf, progressFromJson } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import { Listing } from "./listing.js";
import { sendSource } from "./send-source.js";
import { PRUNE_OPTIONS, type PruneOptions } from "./system.js";
import type { Transport } from "./transport.js";
import type { ImageInfo, Progress, PulledImage } from "./types.js";

/** Credentials for a registry: name and password, or an identity token. */
export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly identityToken?: string;
}

const AUTH_FIELDS: NamesOf<RegistryAuth> = { username: true, password: true, identityToken: true };

/** Options of `kiln.images.pull()`. */
export interface PullOptions extends CallOptions {
  /** "linux/amd64". Default: the host's. */
  readonly platform?: string | undefined;
  /** Default: the credential files of kilnd's user. */
  readonly auth?: RegistryAuth | undefined;
  /** Credentials by registry host. */
  readonly auths?: Readonly<Record<string, RegistryAuth>> | undefined;
  /** Plain HTTP also for a registry that is not on loopback. */
  readonly plainHttp?: boolean | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

const PULL_OPTIONS: NamesOf<PullOptions> = {
  ...CALL,
  platform: true,
  auth: true,
  auths: true,
  plainHttp: true,
  onProgress: true,
};

/** Options of `kiln.images.list()`. */
export interface ListImagesOptions extends CallOptions {
  readonly all?: boolean | undefined;
  /** "reference=nginx*", "dangling=true", "label=k=v". */
  readonly filter?: readonly string[] | undefined;
}

const LIST_IMAGES_OPTIONS: NamesOf<ListImagesOptions> = { ...CALL, all: true, filter: true };

/** Options of `kiln.images.import()`. */
export interface ImportOptions extends CallOptions {
  /** Dockerfile lines: `CMD ["/bin/sh"]`, `ENV A=b`. */
  readonly changes?: readonly string[] | undefined;
  readonly message?: string | undefined;
  readonly platform?: string | undefined;
}

const IMPORT_IMAGE_OPTIONS: NamesOf<ImportOptions> = {
  ...CALL,
  changes: true,
  message: true,
  platform: true,
};

/** Options of `kiln.images.remove()`. */
export interface RemoveImageOptions extends CallOptions {
  readonly force?: boolean | undefined;
}

const REMOVE_IMAGE_OPTIONS: NamesOf<RemoveImageOptions> = { ...CALL, force: true };

/** An image with its documents. */
export interface ImageDetails extends ImageInfo {
  /** As the registry had them. */
  readonly manifestJson: string;
  readonly configJson: string;
}

/** What a removal took: names, and images that lost their last one. */
export interface RemovedImage {
  readonly untagged: readonly string[];
  readonly deleted: readonly string[];
}

/** The images of one kilnd. */
export class Images {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Brings an image into the store: a registry reference, `oci:DIR[:TAG]`, `oci-archive:FILE` or `docker-archive:FILE`.
   *
   * ```ts
   * await kiln.images.pull("nginx:1.27", { onProgress: ({ id, status }) => console.log(id, status) });
   * ```
   */
  async pull(reference: string, options: PullOptions = {}): Promise<PulledImage> {
    checkOptions("kiln.images.pull()", options, PULL_OPTIONS);
    for (const auth of [options.auth, ...Object.values(options.auths ?? {})]) {
      if (auth !== undefined) checkOptions("auth", auth, AUTH_FIELDS);
    }
    const request = defined({
      reference,
      platform: options.platform ?? "",
      plainHttp: options.plainHttp ?? false,
      auth: options.auth,
      auths: options.auths && { ...options.auths },
    });
    let image: PulledImage | undefined;
    for await (const message of this.#transport.serverStream("ImageService/PullImage", request, options)) {
      if (message.progress !== undefined) options.onProgress?.(progressFromJson(message.progress));
      if (message.image !== undefined) {
        const pulled = imageFromJson(message.image);
        image = { ...pulled, name: message.name || pulled.names[0] || pulled.id };
      }
    }
    if (image !== undefined) return image;
    throw new KilnError(Code.Internal, `pull ${reference}: kilnd ended the call without an image`, {
      reason: "unexpected-answer",
    });
  }

  list(options: ListImagesOptions = {}): Listing<ImageInfo> {
    return new Listing(async () => {
      checkOptions("kiln.images.list()", options, LIST_IMAGES_OPTIONS);
      const request = { all: options.all ?? false, filters: options.filter?.slice() ?? [] };
      const { images } = await this.#transport.unary("ImageService/ListImages", request, options);
      return (images ?? []).map(imageFromJson);
    });
  }

  /** @param image name, digest, id or unique id prefix */
  async get(image: string, options: CallOptions = {}): Promise<ImageDetails> {
    checkOptions("kiln.images.get()", options, CALL);
    const json = await this.#transport.unary("ImageService/GetImage", { image }, options);
    return {
      ...imageFromJson(json.image),
      manifestJson: json.manifestJson ?? "",
      configJson: json.configJson ?? "",
    };
  }

  /**
   * Makes an image of a root file system: a tar stream, plain, gzip or zstd.
   *
   * ```ts
   * await kiln.images.import(createReadStream("rootfs.tar"), "mine:1", { changes: ['CMD ["/bin/sh"]'] });
   * ```
   */
  async import(
    source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    name: string,
    options: ImportOptions = {},
  ): Promise<ImageInfo> {
    checkOptions("kiln.images.import()", options, IMPORT_IMAGE_OPTIONS);
    const { changes = [], message = "", platform = "" } = options;
    const stream = this.#transport.stream("ImageService/ImportImage", options);
    const start = { start: { name, changes: changes.slice(), message, platform } };
    const answer = await sendSource(stream, start, source);
    return imageFromJson(answer?.image);
  }

  /**
   * Images as one tar stream, which kiln, skopeo, podman and docker read.
   *
   * ```ts
   * await pipeline(kiln.images.save(["mine:1"]), createWriteStream("mine.tar"));
   * ```
   */
  async *save(images: readonly string[], options: CallOptions = {}): AsyncGenerator<Uint8Array, void> {
    checkOptions("kiln.images.save()", options, CALL);
    const request = { images: [...images] };
    for await (const message of this.#transport.serverStream("ImageService/SaveImages", request, options)) {
      if (message.data !== undefined) yield Buffer.from(message.data, "base64");
    }
  }

  /** Gives an image another name. */
  async tag(image: string, name: string, options: CallOptions = {}): Promise<void> {
    checkOptions("kiln.images.tag()", options, CALL);
    await this.#transport.unary("ImageService/TagImage", { image, name }, options);
  }

  /** Removes a name, and with its last name the image. */
  async remove(image: string, options: RemoveImageOptions = {}): Promise<RemovedImage> {
    checkOptions("kiln.images.remove()", options, REMOVE_IMAGE_OPTIONS);
    const request = { image, force: options.force ?? false };
    const json = await this.#transport.unary("ImageService/RemoveImage", request, options);
    return { untagged: json.untagged ?? [], deleted: json.deleted ?? [] };
  }

  /** Removes images without a name; with `all` every image that no VM uses. */
  async prune(options: PruneOptions = {}): Promise<{ deleted: readonly string[]; reclaimedBytes: number }> {
    checkOptions("kiln.images.prune()", options, PRUNE_OPTIONS);
    const request = { all: options.all ?? false, filters: options.filter?.slice() ?? [] };
    const json = await this.#transport.unary("ImageService/PruneImages", request, options);
    return { deleted: json.deleted ?? [], reclaimedBytes: numberOf(json.reclaimedBytes) };
  }
}
