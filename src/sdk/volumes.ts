// `kiln.volumes`: disks that outlive VMs.

import type { VolumeJson } from "../gen/kiln/v1/types_pb.js";
import { dateOf, numberOf } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import { Listing } from "./listing.js";
import type { Mount, MountStatus } from "./mount-types.js";
import { mountStatusFromJson } from "./mount-views.js";
import { planMount } from "./mounts.js";
import { sendSource } from "./send-source.js";
import { wireDiskSize, wireSize } from "./size.js";
import type { Transport } from "./transport.js";
import type { Size } from "./types.js";

/** A volume. */
export interface VolumeInfo {
  readonly id: string;
  /** Of one without a name: its id. */
  readonly name: string;
  readonly createdAt: Date | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Of the disk. */
  readonly sizeBytes: number;
  /** Of its file system: less than the disk where that has grown and no VM has mounted it since. 0: not known. */
  readonly filesystemBytes: number;
  /** Really taken on the host. */
  readonly usedBytes: number;
  /** It was made without a name. */
  readonly anonymous: boolean;
  /** Names of the VMs that have it among their mounts. */
  readonly vms: readonly string[];
  /** Name of the VM that has it writable at this moment; "": none. */
  readonly writer: string;
}

/** Options of `kiln.volumes.create()`. */
export interface CreateVolumeOptions extends CallOptions {
  /** Default 64 GiB; only what is written takes space of the host. */
  readonly size?: Size | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

const CREATE_VOLUME_OPTIONS: NamesOf<CreateVolumeOptions> = { ...CALL, size: true, labels: true };

/** Options of `kiln.volumes.list()`. */
export interface ListVolumesOptions extends CallOptions {
  /** "name=data", "label=k=v", "dangling=true", "id=ab12". */
  readonly filter?: readonly string[] | undefined;
}

const LIST_VOLUMES_OPTIONS: NamesOf<ListVolumesOptions> = { ...CALL, filter: true };

/** Options of `kiln.volumes.prune()`. */
export interface PruneVolumesOptions extends CallOptions {
  /** Those with a name too. */
  readonly all?: boolean | undefined;
  /** "until=24h", "label=name=value". */
  readonly filter?: readonly string[] | undefined;
}

const PRUNE_VOLUMES_OPTIONS: NamesOf<PruneVolumesOptions> = { ...CALL, all: true, filter: true };

/** The volumes of one kilnd. */
export class Volumes {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Makes a volume: a disk with an ext4 file system. One of that name that is there already, and has that size where one
   * is asked for, is given as it is.
   *
   * @param name "": it has no other name than its id, and `prune` removes it as soon as no VM has it
   * @throws KilnError already_exists `volume-exists`, invalid_argument `bad-name`, `bad-volume-size`
   */
  async create(name: string, options: CreateVolumeOptions = {}): Promise<VolumeInfo> {
    checkOptions("kiln.volumes.create()", options, CREATE_VOLUME_OPTIONS);
    const { size, labels = {} } = options;
    const request = {
      name,
      labels: { ...labels },
      sizeBytes: size === undefined ? "0" : wireDiskSize(size, "size"),
    };
    const { volume } = await this.#transport.unary("VolumeService/CreateVolume", request, options);
    return volumeFromJson(volume);
  }

  list(options: ListVolumesOptions = {}): Listing<VolumeInfo> {
    return new Listing(async () => {
      checkOptions("kiln.volumes.list()", options, LIST_VOLUMES_OPTIONS);
      const request = { filters: options.filter?.slice() ?? [] };
      const { volumes } = await this.#transport.unary("VolumeService/ListVolumes", request, options);
      return (volumes ?? []).map(volumeFromJson);
    });
  }

  /** @param volume name, id or unique id prefix */
  async get(volume: string, options: CallOptions = {}): Promise<VolumeInfo> {
    checkOptions("kiln.volumes.get()", options, CALL);
    const answer = await this.#transport.unary("VolumeService/GetVolume", { volume }, options);
    return volumeFromJson(answer.volume);
  }

  /**
   * Removes a volume and all that is in it.
   *
   * @throws KilnError failed_precondition `volume-in-use` where a VM has it among its mounts, running or not
   */
  async remove(volume: string, options: CallOptions = {}): Promise<void> {
    checkOptions("kiln.volumes.remove()", options, CALL);
    await this.#transport.unary("VolumeService/RemoveVolume", { volume }, options);
  }

  /** Removes volumes without a name that no VM has; with `all` all that no VM has. */
  async prune(
    options: PruneVolumesOptions = {},
  ): Promise<{ volumes: readonly string[]; reclaimedBytes: number }> {
    checkOptions("kiln.volumes.prune()", options, PRUNE_VOLUMES_OPTIONS);
    const request = { all: options.all ?? false, filters: options.filter?.slice() ?? [] };
    const json = await this.#transport.unary("VolumeService/PruneVolumes", request, options);
    return { volumes: json.volumes ?? [], reclaimedBytes: numberOf(json.reclaimedBytes) };
  }

  /**
   * What is in a volume, as a tar stream: of one that a VM has open as that VM sees it now, else by a small VM of kiln's own.
   *
   * ```ts
   * await pipeline(kiln.volumes.export("data"), createWriteStream("data.tar"));
   * ```
   */
  async *export(volume: string, options: CallOptions = {}): AsyncGenerator<Uint8Array, void> {
    checkOptions("kiln.volumes.export()", options, CALL);
    for await (const message of this.#transport.serverStream(
      "VolumeService/ExportVolume",
      { volume },
      options,
    )) {
      if (message.data !== undefined) yield Buffer.from(message.data, "base64");
    }
  }

  /** Lays a tar stream, plain, gzip or zstd, over what a volume holds: directories merge, files are replaced, owners are the archive's. */
  async import(
    source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    volume: string,
    options: CallOptions = {},
  ): Promise<VolumeInfo> {
    checkOptions("kiln.volumes.import()", options, CALL);
    const stream = this.#transport.stream("VolumeService/ImportVolume", options);
    const answer = await sendSource(stream, { start: { volume } }, source);
    return volumeFromJson(answer?.volume);
  }

  /**
   * Makes a volume larger, also while a VM writes to it. Where none does, its file system grows at the next start of a VM that
   * may: `filesystemBytes` says what that has.
   *
   * @param size the whole size, not what is added
   */
  async grow(volume: string, size: Size, options: CallOptions = {}): Promise<VolumeInfo> {
    checkOptions("kiln.volumes.grow()", options, CALL);
    const request = { volume, sizeBytes: wireSize(size, "size") };
    const answer = await this.#transport.unary("VolumeService/GrowVolume", request, options);
    return volumeFromJson(answer.volume);
  }

  /**
   * Mounts a volume on a VM that exists: on one that runs at once, and at every later start.
   *
   * ```ts
   * await kiln.volumes.attach("web", "data:/data:ro");
   * ```
   *
   * @throws KilnError failed_precondition `volume-busy`, `no-hotplug`; invalid_argument `bad-mount`, `duplicate-mount`
   */
  async attach(vm: string, mount: string | Partial<Mount>, options: CallOptions = {}): Promise<MountStatus> {
    checkOptions("kiln.volumes.attach()", options, CALL);
    const request = { vm, mount: planMount(mount) };
    const answer = await this.#transport.unary("VolumeService/AttachVolume", request, options);
    return mountStatusFromJson(answer.mount ?? {});
  }

  /**
   * Takes a volume from a VM, which must not use it any more.
   *
   * @param target its path in the VM, or the volume's name where the VM has it once
   * @throws KilnError failed_precondition `mount-in-use` with the program that uses it; not_found `mount-not-found`
   */
  async detach(vm: string, target: string, options: CallOptions = {}): Promise<void> {
    checkOptions("kiln.volumes.detach()", options, CALL);
    await this.#transport.unary("VolumeService/DetachVolume", { vm, target }, options);
  }
}

function volumeFromJson(json: VolumeJson = {}): VolumeInfo {
  return {
    id: json.id ?? "",
    name: json.name ?? "",
    createdAt: dateOf(json.createdAt),
    labels: json.labels ?? {},
    sizeBytes: numberOf(json.sizeBytes),
    filesystemBytes: numberOf(json.filesystemBytes),
    usedBytes: numberOf(json.usedBytes),
    anonymous: json.anonymous ?? false,
    vms: json.vms ?? [],
    writer: json.writer ?? "",
  };
}
