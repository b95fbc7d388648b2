// The microVM behind the stand-in's API: Firecracker's states and rules, with QEMU under software emulation as the
// machine. It dies with this process: a Firecracker is one process.

import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { hostTscKhz } from "../../src/vmm/host-tsc.js";
import { QmpClient, type QmpEvent } from "../../src/vmm/qemu/client.js";
import type { Body, ShapeName } from "./schema.js";
import { VsockBridge } from "./vsock.js";

/** Thrown where the real one answers 400. */
export class ActionError extends Error {}

export const PRE_BOOT = "The requested operation is not supported before starting the microVM.";
export const POST_BOOT = "The requested operation is not supported after starting the microVM.";

export interface MicrovmEvents {
  /** What the guest writes to its serial port. */
  onConsole(chunk: Buffer): void;
  /** The guest asked for a reset: the real one ends with status 0. */
  onReset(): void;
  /** The machine broke. */
  onFailure(why: string): void;
}

const MAX_DEVICES = 17;

export class Microvm {
  readonly #events: MicrovmEvents;
  readonly #drives = new Map<string, Body>();
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
  #state: "Not started" | "Running" | "Paused" = "Not started";
  #qmp: QmpClient | undefined;
  #bridge: VsockBridge | undefined;
  #ended: "guest-shutdown" | "guest-reset" | undefined;

  constructor(events: MicrovmEvents) {
    this.#events = events;
  }

  get state(): string {
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
    if (this.#state !== "Not started") throw new ActionError(POST_BOOT);
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
    const memory = Number(this.#machine.mem_size_mib);
    if (amountMib > memory) throw new ActionError("Balloon update error: amount exceeds the memory");
    await this.#qmp?.execute("balloon", { value: (memory - amountMib) * 1024 * 1024 });
    this.#balloon = { ...balloon, amount_mib: amountMib };
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
    if (statSync(String(body.path_on_host)).isDirectory())
      throw new ActionError("Drive config error: Error manipulating the backing file: Is a directory");
    this.#drives.set(id, body);
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
    const sockets = { channel: `${uds}.h`, qmp: `${uds}.q`, console: `${uds}.c` };
    const child = spawn("setpriv", await this.#arguments(source, dirname(uds), sockets), {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let words = "";
    let gone = false;
    child.stderr.on("data", (chunk: Buffer) => {
      words = (words + chunk.toString("utf8")).slice(-2000);
    });
    child.once("close", () => {
      gone = true;
      this.#afterMachine(child, words);
    });
    this.#qmp = await QmpClient.connect(sockets.qmp, (event) => this.#take(event), { gone: () => gone });
    const console = connect(sockets.console);
    console.on("error", () => undefined);
    console.on("data", (chunk: Buffer) => this.#events.onConsole(chunk));
    await new Promise((resolve) => console.once("connect", resolve));
    if (this.#vsock !== undefined) this.#bridge = await VsockBridge.listen(uds, sockets.channel);
    await this.#qmp.execute("cont");
  }

  async #arguments(
    source: Body,
    scratch: string,
    sockets: { channel: string; qmp: string; console: string },
  ): Promise<string[]> {
    const khz = await hostTscKhz(scratch, async () => undefined);
    const line = `${source.boot_args ?? ""} pci=off tsc_early_khz=${khz} tsc=reliable`;
    const initrd = typeof source.initrd_path === "string" ? ["-initrd", source.initrd_path] : [];
    const server = (id: string, path: string) => [
      "-chardev",
      `socket,id=${id},path=${path},server=on,wait=off`,
    ];
    return [
      ...["--pdeathsig", "KILL", "--", "qemu-system-x86_64"],
      ...["-M", "microvm,acpi=on", "-accel", "tcg,tb-size=64", "-cpu", "max,erms=off,fsrm=off"],
      ...["-smp", String(this.#machine.vcpu_count), "-m", `${this.#machine.mem_size_mib}M`],
      ...["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-S"],
      ...["-kernel", String(source.kernel_image_path), ...initrd, "-append", line],
      ...[...server("console", sockets.console), "-serial", "chardev:console"],
      ...[...server("qmp", sockets.qmp), "-mon", "chardev=qmp,mode=control"],
      ...[...server("channel", sockets.channel), "-device", "virtio-serial-device,max_ports=2"],
      ...["-device", "virtserialport,chardev=channel,name=dev.kiln.channel,id=channel-port"],
      ...[...this.#drives.values()].flatMap(driveArguments),
      ...[...this.#nets.values()].flatMap(netArguments),
      ...(this.#balloon === undefined ? [] : ["-device", "virtio-balloon-device,free-page-reporting=on"]),
      ...(this.#entropy ? ["-object", "rng-builtin,id=r", "-device", "virtio-rng-device,rng=r"] : []),
    ];
  }

  #take(event: QmpEvent): void {
    if (event.name === "VSERPORT_CHANGE") this.#bridge?.setGuestListens(event.data.open === true);
    if (event.name !== "SHUTDOWN") return;
    this.#ended = event.data.reason === "guest-reset" ? "guest-reset" : "guest-shutdown";
  }

  #afterMachine(child: ChildProcess, words: string): void {
    this.#bridge?.close();
    if (this.#ended === "guest-reset") this.#events.onReset();
    // A guest that powered off leaves the real one running, with nothing in it.
    else if (this.#ended === undefined)
      this.#events.onFailure(`qemu: ${child.signalCode ?? child.exitCode} ${words}`);
  }
}

/** locking=off: Firecracker does not lock its disks. */
function driveArguments(drive: Body): string[] {
  const id = String(drive.drive_id);
  const readOnly = drive.is_read_only === true;
  const node = {
    driver: "raw",
    "node-name": id,
    "read-only": readOnly,
    file: { driver: "file", filename: drive.path_on_host, locking: "off", "read-only": readOnly },
  };
  return ["-blockdev", JSON.stringify(node), "-device", `virtio-blk-device,drive=${id}`];
}

function netArguments(net: Body, index: number): string[] {
  const mac = typeof net.guest_mac === "string" ? `,mac=${net.guest_mac}` : "";
  return [
    ...["-netdev", `tap,id=n${index},ifname=${net.host_dev_name},script=no,downscript=no`],
    ...["-device", `virtio-net-device,netdev=n${index}${mac}`],
  ];
}

function checkId(id: string): void {
  if (!/^[A-Za-z0-9_]+$/.test(id)) throw new ActionError("The provided ID contains invalid characters");
}

/** Looked at when the VM starts, not when it is named. */
function checkKernel(path: string): void {
  const magic = Buffer.alloc(4);
  const file = openSync(path, "r");
  readSync(file, magic);
  closeSync(file);
  if (magic.toString("latin1") !== "\x7fELF")
    throw new ActionError(
      "System configuration error: Cannot load kernel due to invalid memory configuration or invalid kernel image: Kernel Loader: failed to load ELF kernel image",
    );
}

function openable(path: string, mode: number, what: string): void {
  try {
    accessSync(path, mode);
  } catch (error) {
    throw new ActionError(`${what}: ${(error as Error).message}`);
  }
}
