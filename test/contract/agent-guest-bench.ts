// A guest with the real agent: busybox on a base disk of our own writer, a cow file, QEMU.

import { cp, mkdir, mkdtemp, open, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { newId } from "../../src/base/ids.js";
import { buildDiskFromDirectory } from "../../src/disk/index.js";
import { type BootRequestSchema, EndAction, Mode } from "../../src/gen/kiln/agent/v1/machine_pb.js";
import { createQemuDriver, type DiskSpec, type VmmDriver, type VmmHandle } from "../../src/vmm/index.js";
import { openWire, type WireSession } from "../fixtures/agent-wire.js";
import { defaultInitramfs, defaultKernel } from "../fixtures/assets.js";
import type { ProcessSpec } from "./agent-bench.js";

const MIB = 1024 * 1024;
const NAMES = (
  "sh cat echo env id ls mount ps pwd kill sleep touch rm test stat sync true yes head tail tr date free dd hostname init " +
  "poweroff reboot ip readlink mv setsid mkdir ln chmod chown umount mknod mkfifo df find grep wc cmp killall flock"
).split(" ");
type BootChange = Exclude<MessageInitShape<typeof BootRequestSchema>, { $typeName: string }>;
export const GUEST_ENV = ["PATH=/bin"];
/** Long enough for a machine that is on its knees; nothing waits for it to pass. */
const HELLO_MS = 120_000;

export class GuestBench implements AsyncDisposable {
  readonly root: string;
  readonly base: string;
  readonly #driver: VmmDriver;
  readonly #guests: Guest[] = [];
  #count = 0;

  private constructor(root: string, base: string, driver: VmmDriver) {
    this.root = root;
    this.base = base;
    this.#driver = driver;
  }

  static async open(): Promise<GuestBench> {
    const root = await mkdtemp(join(tmpdir(), "kg-"));
    const cacheDirectory = join(root, "cache");
    await mkdir(cacheDirectory);
    const base = join(root, "base.img");
    await buildDiskFromDirectory(await writeTree(join(root, "tree")), base, { identity: "agent guest" });
    return new GuestBench(root, base, createQemuDriver({ cacheDirectory }));
  }

  /** A fresh cow file, as large as any test fills. */
  async cow(): Promise<string> {
    const path = join(this.root, `cow-${this.#count++}.img`);
    const file = await open(path, "wx");
    await file.truncate(256 * MIB);
    await file.close();
    return path;
  }

  /** Empty disks that no guest needs. */
  async fillers(count: number): Promise<DiskSpec[]> {
    const disks = Array.from({ length: count }, (_, index) => {
      const id = `filler${index}`;
      return { id, path: join(this.root, `${id}.img`), readOnly: true };
    });
    await Promise.all(disks.map(({ path }) => writeFile(path, Buffer.alloc(4096))));
    return disks;
  }

  /**
   * A VM whose agent has answered.
   *
   * @param before disks that come before its own
   * @param own has ports of these ids, and kiln's own kernel, which can mount what comes over them
   */
  async start(
    cow: string,
    memoryBytes = 256 * MIB,
    before: readonly DiskSpec[] = [],
    own?: readonly string[],
  ): Promise<Guest> {
    const kernel = await defaultKernel(own === undefined ? undefined : "kiln");
    const place = join(this.root, `v${this.#count++}`);
    const [runDirectory, stateDirectory] = [join(place, "run"), join(place, "state")];
    await mkdir(runDirectory, { recursive: true });
    await mkdir(stateDirectory, { recursive: true });
    const disks: readonly DiskSpec[] = [
      ...before,
      { id: "base", path: this.base, readOnly: true },
      { id: "cow", path: cow, readOnly: false },
    ];
    const handle = await this.#driver.launch({
      vmId: newId(),
      runDirectory,
      stateDirectory,
      kernel: kernel.vmlinux,
      initrd: await defaultInitramfs(undefined, this.#driver.busesOf(disks).has("scsi")),
      kernelArgs: [],
      vcpus: 1,
      memoryBytes,
      disks,
      cards: [],
      ports: (own ?? []).map((id) => ({ id })),
    });
    const guest = new Guest(handle);
    this.#guests.push(guest);
    await guest.connect();
    return guest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const guest of this.#guests) await guest.end();
    await rm(this.root, { recursive: true, force: true });
  }
}

/** One VM and the session with its agent. */
export class Guest {
  readonly handle: VmmHandle;
  #session: WireSession | undefined;

  constructor(handle: VmmHandle) {
    this.handle = handle;
  }

  get session(): WireSession {
    if (this.#session === undefined) throw new Error("the guest is not connected");
    return this.#session;
  }

  /** A new session in place of the old. */
  async connect(): Promise<WireSession> {
    await this.#session?.close();
    this.#session = await openWire((options) => this.handle.dialChannel(options), {
      helloTimeoutMs: HELLO_MS,
    });
    return this.#session;
  }

  boot(process: ProcessSpec, change: BootChange = {}) {
    return this.session.client.boot({
      mode: Mode.APP,
      root: { baseDevice: "/dev/vda", cowDevice: "/dev/vdb", persistent: true, chunkSectors: 128 },
      process: { env: GUEST_ENV, ...process },
      hostname: "guest",
      endAction: EndAction.POWEROFF,
      ...change,
    });
  }

  async end(): Promise<void> {
    await this.#session?.close();
    await this.handle.kill();
    await this.handle.detach();
  }
}

async function writeTree(tree: string): Promise<string> {
  for (const directory of ["bin", "sbin", "etc", "run/kept", "tmp", "var"]) {
    await mkdir(join(tree, directory), { recursive: true });
  }
  await cp("/bin/busybox", join(tree, "bin/busybox"));
  for (const name of NAMES) await symlink("busybox", join(tree, "bin", name));
  await symlink("../bin/busybox", join(tree, "sbin/init"));
  await symlink("../run", join(tree, "var/run"));
  await symlink("../run/kept/resolv.conf", join(tree, "etc/resolv.conf"));
  await writeFile(join(tree, "etc/hosts"), "the image's own\n");
  await writeFile(
    join(tree, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n",
  );
  await writeFile(join(tree, "etc/group"), "root:x:0:\napp:x:1000:\nextra:x:2000:app\n");
  await writeFile(join(tree, "etc/inittab"), "::sysinit:/bin/true\n::askfirst:/bin/sleep 1000\n");
  // Room for what tests write, and for inodes: our disks of directories are as small as their content.
  await writeFile(join(tree, "spare"), Buffer.alloc(4 * MIB, 1));
  await mkdir(join(tree, "spares"));
  for (let index = 0; index < 100; index++) await writeFile(join(tree, "spares", String(index)), "");
  return tree;
}
