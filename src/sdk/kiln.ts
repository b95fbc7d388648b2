// `Kiln`: the SDK's front, one connection to one kilnd.

import { type ConnectOptions, openTransport } from "./connect.js";
import type { CallOptions } from "./deadline.js";
import { type EventOptions, readEvents } from "./events.js";
import { Images } from "./images.js";
import { Kernels } from "./kernels.js";
import { CALL, checkOptions } from "./known-options.js";
import { Networks } from "./networks.js";
import {
  infoFromJson,
  PRUNE_ALL_OPTIONS,
  type PruneAllOptions,
  pruneFromJson,
  versionFromJson,
} from "./system.js";
import type { Transport } from "./transport.js";
import type { KilnEvent, PruneResult, SystemInfo, VersionInfo } from "./types.js";
import { DISK_USAGE_OPTIONS, type DiskUsage, type DiskUsageOptions, usageFromJson } from "./usage.js";
import type { Vm } from "./vm.js";
import type { CreateOptions, RunOptions } from "./vm-options.js";
import { Vms } from "./vms.js";
import { Volumes } from "./volumes.js";

/**
 * A connection to kilnd.
 *
 * ```ts
 * await using kiln = await Kiln.connect();
 * await using vm = await kiln.run("alpine:3.20", { memory: "512MiB", publish: ["8080:80"] });
 * const { stdout, exitCode } = await vm.exec(["uname", "-r"]);
 * ```
 *
 * Every call takes `{ signal, timeoutMs }` and fails with a `KilnError`.
 */
export class Kiln implements AsyncDisposable {
  readonly vms: Vms;
  readonly images: Images;
  readonly kernels: Kernels;
  readonly volumes: Volumes;
  readonly networks: Networks;
  /** Path of the socket. */
  readonly socket: string;
  readonly #transport: Transport;

  private constructor(transport: Transport, socket: string) {
    this.#transport = transport;
    this.socket = socket;
    this.vms = new Vms(transport);
    this.images = new Images(transport);
    this.kernels = new Kernels(transport);
    this.volumes = new Volumes(transport);
    this.networks = new Networks(transport);
  }

  /**
   * Connects; starts kilnd where none runs and nobody named a socket.
   *
   * @throws KilnError unavailable `daemon-not-running` or `daemon-start-failed`, permission_denied
   */
  static async connect(options: ConnectOptions = {}): Promise<Kiln> {
    const { transport, socket } = await openTransport(options);
    return new Kiln(transport, socket);
  }

  /**
   * Makes a VM of an image and starts it. The handle owns it: disposing (or `close()`) removes it.
   *
   * Without a `command` the program's stdin is held open, so that an image whose program is a shell stays up.
   *
   * ```ts
   * await using vm = await kiln.run("alpine:3.20", { memory: "512MiB", publish: ["8080:80"] });
   * ```
   */
  run(image: string, options: RunOptions = {}): Promise<Vm> {
    return this.vms.run(image, { openStdin: options.command === undefined, ...options });
  }

  /** Makes a VM without starting it. The handle does not own it. */
  create(image: string, options: CreateOptions = {}): Promise<Vm> {
    return this.vms.create(image, options);
  }

  /**
   * What happens from now on, or from a cursor or a time on.
   *
   * ```ts
   * for await (const event of kiln.events({ filter: ["type=vm"] })) console.log(event.action, event.id);
   * ```
   */
  events(options: EventOptions = {}): AsyncGenerator<KilnEvent, void> {
    return readEvents(this.#transport, options);
  }

  async version(options: CallOptions = {}): Promise<VersionInfo> {
    checkOptions("kiln.version()", options, CALL);
    return versionFromJson(await this.#transport.unary("SystemService/Version", {}, options));
  }

  async info(options: CallOptions = {}): Promise<SystemInfo> {
    checkOptions("kiln.info()", options, CALL);
    return infoFromJson(await this.#transport.unary("SystemService/Info", {}, options));
  }

  /** Disk taken, by kind of object. */
  async df(options: DiskUsageOptions = {}): Promise<DiskUsage> {
    checkOptions("kiln.df()", options, DISK_USAGE_OPTIONS);
    const request = { items: options.items ?? false };
    return usageFromJson(await this.#transport.unary("SystemService/DiskUsage", request, options));
  }

  /** Removes ended VMs, networks that no VM has, images without a name and bases that nobody uses; with `all` every unused image, with `volumes` volumes without a name. */
  async prune(options: PruneAllOptions = {}): Promise<PruneResult> {
    checkOptions("kiln.prune()", options, PRUNE_ALL_OPTIONS);
    const { all = false, volumes = false, filter } = options;
    const request = { all, volumes, filters: filter?.slice() ?? [] };
    return pruneFromJson(await this.#transport.unary("SystemService/Prune", request, options));
  }

  /** Closes the connection. VMs go on; calls under way, and later ones, fail with cancelled `client-closed`. */
  close(): Promise<void> {
    return this.#transport.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
