// The microVM behind the stand-in's API: Firecracker's states and rules, with QEMU under software emulation as the
// machine. It dies with this process: a Firecracker is one process.

import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { constants, existsSync, statSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { connectUnix } from "../../src/base/pinned.js";
import { delay } from "../../src/base/runtime.js";
import { QmpClient, type QmpEvent } from "../../src/vmm/qemu/client.js";
import { DriveFiles } from "./drive-file.js";
import { findHostPorts, HostPorts } from "./host-ports.js";
import { BALLOON, CHANNEL_ID, planMachine } from "./machine.js";
import {
  ActionError,
  checkDriveUpdate,
  checkId,
  checkKernel,
  NO_PCI,
  openable,
  POST_BOOT,
  PRE_BOOT,
  type VmState,
} from "./refusals.js";
import type { Body, ShapeName } from "./schema.js";
import { VsockBridge } from "./vsock.js";

export interface MicrovmEvents {
  /** What the guest writes to its serial port. */
  onConsole(chunk: Buffer): void;
  /** The guest asked for a reset: the real one ends with status 0. */
  onReset(): void;
  /** The machine broke. */
  onFailure(why: string): void;
}

const MAX_DEVICES = 17;
const ABSTRACT_NAME_BYTES = 107;

export class Microvm {
  readonly #events: MicrovmEvents;
  readonly #drives = new Map<string, Body>();
  readonly #serials = new Map<string, string>();
  readonly #nets = new Map<string, Body>();
  #bootSource: Body | undefined;
  #machine: Body = {
    vcpu_count: 1,
    mem_size_mib: 128,
    smt: false,
    track_dirty_pages: false,
    huge_pages: "None",
  };
  #vsock: Body | undefined;
  #balloon: Body | undefined;
  #entropy = false;
  #hasMetrics: boolean;
  /** Something was set that a snapshot would bring. */
  #isConfigured = false;
  #state: VmState = "Not started";
  #qmp: QmpClient | undefined;
  readonly #files = new DriveFiles();
  #bridge: VsockBridge | undefined;
  #hostPorts: HostPorts | undefined;
  #ended: "guest-shutdown" | "guest-reset" | undefined;

  /** @param hasMetrics by the command line */
  constructor(events: MicrovmEvents, hasMetrics: boolean) {
    this.#events = events;
    this.#hasMetrics = hasMetrics;
  }

  get state(): VmState {
    return this.#state;
  }

  get machineConfig(): Body {
    return this.#machine;
  }

  get balloon(): Body {
    if (this.#balloon === undefined) throw new ActionError("Balloon config error: No balloon device found.");
    return this.#balloon;
  }

  get config(): Body {
    return {
      "boot-source": this.#bootSource ?? {},
      "machine-config": this.#machine,
      drives: [...this.#drives.values()],
      "network-interfaces": [...this.#nets.values()],
      vsock: this.#vsock ?? null,
      balloon: this.#balloon ?? null,
    };
  }

  /** PUT of a resource, or a section of the configuration file. */
  configure(shape: ShapeName, body: Body): void {
    if (this.#state !== "Not started") {
      const isPlugged = shape === "drive" || shape === "network-interface";
      throw new ActionError(isPlugged ? NO_PCI : POST_BOOT);
    }
    if (shape === "logger" || shape === "metrics") {
      this.#setOutput(shape, body);
    } else {
      this.#configure(shape, body);
      this.#isConfigured ||= shape !== "serial";
    }
  }

  #configure(shape: ShapeName, body: Body): void {
    switch (shape) {
      case "boot-source":
        this.#setBootSource(body);
        break;
      case "machine-config":
        this.#setMachine(body);
        break;
      case "drive":
        this.#setDrive(body);
        break;
      case "network-interface":
        checkId(String(body.iface_id));
        this.#nets.set(String(body.iface_id), body);
        break;
      case "vsock":
        this.#setVsock(body);
        break;
      case "balloon":
        this.#setBalloon(body);
        break;
      case "entropy":
        this.#entropy = true;
        break;
      default:
    }
  }

  /** Another file of a drive, or the same with another size; other limits are looked at, and not set. */
  async updateDrive(body: Body): Promise<void> {
    if (this.#state === "Not started") throw new ActionError(PRE_BOOT);
    const drive = this.#drives.get(String(body.drive_id));
    checkDriveUpdate(body, drive);
    if (drive === undefined || typeof body.path_on_host !== "string") return;
    // Its serial would be the new file's; here it stays, since no QEMU gives a disk another.
    await this.#files.change(this.#qmp, drive, body.path_on_host);
    this.#drives.set(String(body.drive_id), { ...drive, path_on_host: body.path_on_host });
  }

  get isConfigured(): boolean {
    return this.#isConfigured;
  }

  async start(): Promise<void> {
    if (this.#state !== "Not started") throw new ActionError(POST_BOOT);
    if (this.#bootSource === undefined) {
      throw new ActionError("Start microvm error: Cannot start microvm without kernel configuration.");
    }
    const others = [this.#vsock, this.#balloon, this.#entropy].filter(Boolean).length;
    const devices = this.#drives.size + this.#nets.size + others;
    if (devices > MAX_DEVICES) throw new ActionError("Start microvm error: no more device slots");
    checkKernel(String(this.#bootSource.kernel_image_path));
    await this.#startMachine(this.#bootSource);
    this.#state = "Running";
  }

  async setState(word: string): Promise<void> {
    if (this.#state === "Not started") throw new ActionError(PRE_BOOT);
    if (this.#ended === undefined) await this.#qmp?.execute(word === "Paused" ? "stop" : "cont");
    this.#state = word === "Paused" ? "Paused" : "Running";
  }

  async updateBalloon(amountMib: number): Promise<void> {
    if (this.#state === "Not started") throw new ActionError(PRE_BOOT);
    const balloon = this.balloon;
    if (!(await this.#guestHasBalloon()))
      throw new ActionError("Balloon update error: Balloon: Device not activated yet.");
    const memory = Number(this.#machine.mem_size_mib);
    if (amountMib > memory) throw new ActionError("Balloon update error: amount exceeds the memory");
    await this.#qmp?.execute("balloon", { value: (memory - amountMib) * 1024 * 1024 });
    this.#balloon = { ...balloon, amount_mib: amountMib };
  }

  /** The guest's driver is up. */
  async #guestHasBalloon(): Promise<boolean> {
    const path = `/machine/peripheral/${BALLOON}`;
    const device = (await this.#qmp?.execute("x-query-virtio-status", { path })) as
      | { status?: { statuses?: readonly string[] } }
      | undefined;
    return (device?.status?.statuses ?? []).some((status) => status.startsWith("VIRTIO_CONFIG_S_DRIVER_OK"));
  }

  #setOutput(shape: "logger" | "metrics", body: Body): void {
    const path = shape === "logger" ? body.log_path : body.metrics_path;
    const refuse = (why: string) =>
      new ActionError(
        shape === "logger"
          ? `Logger error: Failed to open target file: ${why}`
          : `Metrics error: Cannot initialize the metrics system due to bad user input: ${why}`,
      );
    if (typeof path === "string" && !existsSync(dirname(path)))
      throw refuse("No such file or directory (os error 2)");
    if (shape === "logger") return;
    if (this.#hasMetrics) throw refuse("Reinitialization of metrics not allowed.");
    this.#hasMetrics = true;
  }

  #setBootSource(body: Body): void {
    openable(String(body.kernel_image_path), constants.R_OK, "The kernel file cannot be opened");
    if (typeof body.initrd_path === "string") {
      openable(body.initrd_path, constants.R_OK, "The initrd file cannot be opened");
    }
    const line = String(body.boot_args ?? "");
    if (line.length > 2047)
      throw new ActionError("Boot source error: The kernel command line is invalid: too large");
    this.#bootSource = body;
  }

  #setMachine(body: Body): void {
    const vcpus = Number(body.vcpu_count);
    if (vcpus < 1 || vcpus > 32) throw new ActionError("Machine config error: The vCPU number is invalid!");
    if (Number(body.mem_size_mib) < 1)
      throw new ActionError("Machine config error: The memory size is invalid!");
    const memory = Number(body.mem_size_mib);
    if (body.huge_pages === "2M" && memory % 2 !== 0)
      throw new ActionError(
        "Machine config error: The memory size (MiB) is not a multiple of the page size.",
      );
    if (body.smt === true && vcpus > 1 && vcpus % 2 !== 0)
      throw new ActionError(
        "Machine config error: The vCPU number is invalid! With SMT it must be 1 or even.",
      );
    if (memory < Number(this.#balloon?.amount_mib ?? 0))
      throw new ActionError("Machine config error: The memory size is below the balloon's.");
    this.#machine = { ...this.#machine, ...body };
  }

  #setVsock(body: Body): void {
    if (Number(body.guest_cid) < 3) throw new ActionError("Vsock config error: invalid guest CID");
    const path = String(body.uds_path);
    if (Buffer.byteLength(path) > 107 || existsSync(path))
      throw new ActionError("Vsock config error: Cannot create backend for vsock device: in use or too long");
    this.#vsock = body;
  }

  #setDrive(body: Body): void {
    const id = String(body.drive_id);
    checkId(id);
    if (typeof body.socket === "string")
      throw new ActionError("Drive config error: socket and path together");
    const isOtherRoot = ([known, drive]: [string, Body]) => known !== id && drive.is_root_device === true;
    if (body.is_root_device === true && [...this.#drives].some(isOtherRoot))
      throw new ActionError("Drive config error: A root block device already exists!");
    const mode = body.is_read_only === true ? constants.R_OK : constants.R_OK | constants.W_OK;
    openable(String(body.path_on_host), mode, "Drive config error: Error manipulating the backing file");
    const file = statSync(String(body.path_on_host), { bigint: true });
    if (file.isDirectory())
      throw new ActionError("Drive config error: Error manipulating the backing file: Is a directory");
    this.#drives.set(id, body);
    // The real one names a disk after its file, and the disk's field has 20 bytes.
    this.#serials.set(id, `${file.dev}${file.rdev}${file.ino}`.slice(0, 20));
  }

  #setBalloon(body: Body): void {
    if (Number(body.amount_mib) > Number(this.#machine.mem_size_mib)) {
      throw new ActionError("Balloon config error: amount exceeds the memory");
    }
    this.#balloon = body;
  }

  async #startMachine(source: Body): Promise<void> {
    const uds = this.#vsock === undefined ? `${tmpdir()}/fcs-${process.pid}` : String(this.#vsock.uds_path);
    if (existsSync(uds))
      throw new ActionError("Vsock error: Error binding to the host-side Unix socket: in use");
    // The channel is dialled later too, when the VM's directory may be closed to us: it hangs on no directory.
    // As long as such a name can be: Node and QEMU do not agree on where a shorter one ends.
    const channel = `kiln-standin-${randomUUID()}`.padEnd(ABSTRACT_NAME_BYTES, "-");
    const sockets = { channel, qmp: `${uds}.q`, console: `${uds}.c` };
    const hostPorts = findHostPorts(uds);
    // By the installed program: nothing in a jail tells it.
    const khz = process.env.FC_STANDIN_TSC_KHZ;
    const argv = planMachine({
      ...{ source, machine: this.#machine, sockets },
      ...{ drives: [...this.#drives.values()], nets: [...this.#nets.values()] },
      ...{ serials: this.#serials, hostPorts },
      ...{ hasBalloon: this.#balloon !== undefined, hasEntropy: this.#entropy },
      khz: khz === undefined ? undefined : Number(khz),
    });
    // Without kilnd's mark: the real one has no such process, and QEMU would be taken for the VM's VMM.
    const { KILN_OWNER: _, ...env } = process.env;
    const child = spawn("setpriv", argv, { env, stdio: ["ignore", "ignore", "pipe"] });
    let words = "";
    let gone = false;
    child.stderr.on("data", (chunk: Buffer) => {
      words = (words + chunk.toString("utf8")).slice(-2000);
    });
    child.once("close", () => {
      gone = true;
      this.#afterMachine(child, words);
    });
    this.#hostPorts = new HostPorts(uds, hostPorts);
    const qmp = await connectWhenUp(sockets.qmp, () => gone);
    this.#qmp = await QmpClient.begin(qmp, (event) => this.#take(event));
    const console = await connectWhenUp(sockets.console, () => gone);
    console.on("error", () => undefined);
    console.on("data", (chunk: Buffer) => this.#events.onConsole(chunk));
    if (this.#vsock !== undefined) this.#bridge = await VsockBridge.listen(uds, `\0${channel}`);
    await this.#qmp.execute("cont");
  }

  #take(event: QmpEvent): void {
    if (event.name === "VSERPORT_CHANGE") {
      const [id, open] = [String(event.data.id), event.data.open === true];
      if (id === CHANNEL_ID) this.#bridge?.setGuestListens(open);
      else this.#hostPorts?.setGuestConnects(id, open);
    }
    if (event.name !== "SHUTDOWN") return;
    this.#ended = event.data.reason === "guest-reset" ? "guest-reset" : "guest-shutdown";
  }

  #afterMachine(child: ChildProcess, words: string): void {
    this.#bridge?.close();
    this.#hostPorts?.close();
    if (this.#ended === "guest-reset") this.#events.onReset();
    // A guest that powered off leaves the real one running, with nothing in it.
    else if (this.#ended === undefined)
      this.#events.onFailure(`qemu: ${child.signalCode ?? child.exitCode} ${words}`);
  }
}

/** By the plain name: in a jail there is no /proc to go through. */
async function connectWhenUp(path: string, gone: () => boolean): Promise<Socket> {
  for (;;) {
    try {
      return await connectUnix(path);
    } catch (error) {
      if (gone()) throw error;
      await delay(5);
    }
  }
}
