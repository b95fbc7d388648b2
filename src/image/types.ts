// What the other rooms (through the engine) know of images.

import type { Abortable, OnProgress } from "../base/progress.js";

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** The part of an OCI image config that says what to run (image-spec, config.md). Unknown fields are kept in raw. */
export interface ImageRunConfig {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workdir: string;
  readonly user: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  readonly stopSignal: string;
}

export interface LayerInfo {
  /** Digest of the blob as stored: "sha256:..." */
  readonly digest: string;
  readonly sizeBytes: number;
  /** Digest of the uncompressed tar. */
  readonly diffId: string;
  readonly compression: "none" | "gzip" | "zstd";
}

/** An image in the store: all of its blobs are here and verified. */
export interface StoredImage {
  /** Digest of the config blob: the image's id. */
  readonly id: string;
  /** Full names: "docker.io/library/nginx:1.25". */
  readonly names: readonly string[];
  /** "docker.io/library/nginx@sha256:..." */
  readonly digests: readonly string[];
  readonly manifestDigest: string;
  readonly platform: Platform;
  readonly run: ImageRunConfig;
  readonly layers: readonly LayerInfo[];
  readonly sizeBytes: number;
  readonly createdAt: string;
}

export interface PulledImage extends StoredImage {
  /** What this pull has called it: a name, a digest name, or its id. */
  readonly pulledAs: string;
}

/** How to log in at one registry: user and password, an identity token, or the very token that the registry takes. */
export interface RegistryCredentials {
  readonly username?: string;
  readonly password?: string;
  readonly identityToken?: string;
  /** Shown as it is where the registry asks for a bearer token; nobody is asked for another. */
  readonly registryToken?: string;
}

export interface PullOptions extends Abortable {
  readonly platform?: Platform;
  readonly onProgress?: OnProgress | undefined;
  /** By registry host; before all files. */
  readonly credentials?: ReadonlyMap<string, RegistryCredentials> | undefined;
  /** "only-given": the files of whoever runs kiln are not looked at. */
  readonly credentialFiles?: "only-given" | undefined;
  /** Plain HTTP also off loopback. */
  readonly plainHttp?: boolean;
}

export interface ImportOptions extends Abortable {
  readonly name: string;
  /** Dockerfile lines: ENTRYPOINT, CMD, ENV, USER, WORKDIR, EXPOSE, LABEL, STOPSIGNAL, VOLUME. */
  readonly changes?: readonly string[];
  readonly platform?: Platform;
  readonly onProgress?: OnProgress | undefined;
  /** Default now; fixed, the same tar gives the same image. */
  readonly createdAt?: Date;
  /** What the image's history says; default "kiln image import". */
  readonly createdBy?: string;
}

/** What a removal took. */
export interface RemovedImage {
  /** Names. */
  readonly untagged: string[];
  /** Ids. */
  readonly deleted: string[];
}

/**
 * The content-addressed store: blobs/sha256/<hex>, images/<config hex>.json, names.json; downloads in ingest/.
 * Every write is atomic; several daemons never share one store.
 */
export interface ImageStore {
  /** Repairs after a kill: removes what is half done and can't be resumed. */
  open(): Promise<void>;
  /**
   * Any image name a user may write: a registry reference, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
   * `docker-archive:FILE[:REF]`. An interrupted pull resumes.
   */
  pull(source: string, options: PullOptions): Promise<PulledImage>;
  /** Looks up by id, id prefix or name (normalised); undefined where there is none. Never asks a registry. */
  find(key: string): StoredImage | undefined;
  list(): readonly StoredImage[];
  importTar(tar: AsyncIterable<Uint8Array>, options: ImportOptions): Promise<StoredImage>;
  /** Images as one tar: an OCI layout, which docker load takes too. Nothing is removed from under it. */
  save(keys: readonly string[], options: Abortable): AsyncGenerator<Uint8Array>;
  tag(key: string, name: string): Promise<void>;
  /**
   * Removes a name, or all of an image by id; blobs nobody else uses go with the last name.
   *
   * @param mayDelete asked of an image that would be gone, when nothing else changes it any more; false: all stays
   * @throws KilnError not_found `image-not-found`, and what `mayDelete` throws
   */
  remove(key: string, mayDelete?: (image: StoredImage) => boolean): Promise<RemovedImage>;
  /** Removes blobs that no image uses. */
  collectGarbage(): Promise<{ blobs: number; bytes: number }>;
  /** The blob's file; throws not_found. */
  blobPath(digest: string): string;
  /** Raw JSON for `image inspect`. */
  readBlobText(digest: string, limitBytes: number): Promise<string>;
  usage(): Promise<{ blobs: number; bytes: number; ingestBytes: number }>;
}
