// One guest that has the same directory of the host by every way there is: kiln's share, QEMU's own virtio-9p, and
// virtiofsd where the host has one. All are mounted at once, so that they can be asked turn by turn.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, open, realpath, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { newId } from "../src/base/ids.js";
import { findProgram } from "../src/base/programs.js";
import { delay } from "../src/base/runtime.js";
import type { UndoStack } from "../src/base/undo.js";
import { buildDiskFromDirectory } from "../src/disk/index.js";
import { createShareRoom } from "../src/engine/share-room.js";
import { EndAction, Mode } from "../src/gen/kiln/agent/v1/machine_pb.js";
import { createQemuDriver, type VmmHandle } from "../src/vmm/index.js";
import { run } from "../test/contract/agent-bench.js";
import { openWire, type WireSession } from "../test/fixtures/agent-wire.js";
import { sharePath } from "../test/fixtures/assets.js";
import { bootFiles } from "./bare-guest.js";

const MIB = 1024 ** 2;
const MEMORY_MIB = 768;
const HELLO_MS = 120_000;
/** Far more than anything here takes. */
const STEP_MS = 180_000;
const PORT = "share";
const VIRTIOFSD = "/usr/lib/qemu/virtiofsd";
const NAMES = "sh cat dd echo find ls mount sleep stat sync xargs".split(" ");
/** What Linux's 9p client is asked for on both sides. Over virtio it takes 500 KiB, its bound there. */
const NINE = "version=9p2000.L,msize=524288,cache=mmap,access=any";

export interface ShareGuest {
  /** What serves: each has mounted the tree at the directory of its name. */
  readonly ways: readonly string[];
  /** Why virtiofsd is not among them, where it is not. */
  readonly without: string;
  readonly hasGit: boolean;
  /** Runs a script and returns the milliseconds that it took, by the guest's own clock. */
  time(script: string, before: string): Promise<number>;
}

/** @param root the directory that all of them serve */
export async function startShareGuest(undo: UndoStack, scratch: string, root: string): Promise<ShareGuest> {
  const virtiofs = await startVirtiofsd(undo, scratch, root);
  const [qemu, hasGit] = [await writeQemu(scratch, root, virtiofs.socket), await writeTree(scratch)];
  const handle = await launch(undo, scratch, qemu);
  const port = await serveKiln(undo, scratch, root, handle);
  const session = await openWire((options) => handle.dialChannel(options), { helloTimeoutMs: HELLO_MS });
  undo.push("close the channel", () => session.close());
  await session.client.boot({
    mode: Mode.APP,
    root: { baseDevice: "/dev/vda", cowDevice: "/dev/vdb", persistent: false, chunkSectors: 128 },
    process: { args: ["sleep", "100000"], env: ["PATH=/bin"] },
    endAction: EndAction.POWEROFF,
    mounts: [{ id: PORT, target: "/kiln", source: { case: "share", value: { port } } }],
  });
  await inGuest(session, `mount -t 9p -o trans=virtio,${NINE} nine /qemu`);
  if (virtiofs.socket !== undefined) await inGuest(session, "mount -t virtiofs files /virtiofsd");
  return {
    ways: ["kiln", "qemu", ...(virtiofs.socket === undefined ? [] : ["virtiofsd"])],
    without: virtiofs.without,
    hasGit,
    time: async (script, before) => {
      const clock = "$EPOCHREALTIME";
      const times = await inGuest(session, `${before}\na=${clock}\n${script}\necho $a ${clock}`);
      const [begun = Number.NaN, ended = Number.NaN] = times.split(" ").map(Number);
      return (ended - begun) * 1000;
    },
  };
}

async function inGuest(session: WireSession, script: string): Promise<string> {
  const spec = { env: ["PATH=/bin"] };
  const signal = AbortSignal.timeout(STEP_MS);
  const { stdout, stderr, exit } = await run(session, ["sh", "-e", "-c", script], { spec, signal });
  if (exit?.code !== 0) throw new Error(`in the guest: ${script}: ${stdout}${stderr}${exit?.error ?? ""}`);
  return stdout.trim();
}

/** Debian's own, in C. It wants root, for its namespaces. */
async function startVirtiofsd(undo: UndoStack, scratch: string, root: string) {
  if ((await findProgram(VIRTIOFSD)) === undefined) return { without: `there is no ${VIRTIOFSD}` };
  if (process.getuid?.() !== 0) return { without: `${VIRTIOFSD} wants root` };
  const socket = join(scratch, "virtiofsd.sock");
  const args = [`--socket-path=${socket}`, "-o", `source=${root}`, "-o", "cache=auto"];
  const child = spawn(VIRTIOFSD, args, { stdio: "ignore" });
  const ended = once(child, "exit").catch(() => undefined);
  undo.push("end virtiofsd", async () => {
    child.kill("SIGKILL");
    await ended;
  });
  while (child.exitCode === null && child.signalCode === null) {
    if ((await stat(socket).catch(() => undefined)) !== undefined) return { without: "", socket };
    await delay(10);
  }
  return { without: `${VIRTIOFSD} ends with ${child.exitCode ?? child.signalCode}` };
}

/** QEMU with what kiln never asks it for, behind kiln's own words. */
async function writeQemu(scratch: string, root: string, virtiofsd: string | undefined): Promise<string> {
  const memory = `memory-backend-memfd,id=memory,size=${MEMORY_MIB}M,share=on`;
  const words = [
    // vhost-user knows no other devices than those of virtio 1.
    ...["-global", "virtio-mmio.force-legacy=false"],
    ...["-fsdev", `local,id=nine,path=${root},security_model=none`],
    ...["-device", "virtio-9p-device,fsdev=nine,mount_tag=nine"],
    ...(virtiofsd === undefined
      ? []
      : [
          ...["-object", memory, "-machine", "memory-backend=memory"],
          ...["-chardev", `socket,id=files,path=${virtiofsd}`],
          ...["-device", "vhost-user-fs-device,chardev=files,tag=files"],
        ]),
  ];
  const path = join(scratch, "qemu");
  const script = `#!/bin/sh
case "$*" in
*"-name guest=kiln-"*) exec qemu-system-x86_64 "$@" ${words.map((word) => `'${word}'`).join(" ")} ;;
*) exec qemu-system-x86_64 "$@" ;;
esac
`;
  await writeFile(path, script, { mode: 0o755 });
  return path;
}

/** Without a jail, which shows QEMU no directory: the same for all that is measured. */
async function launch(undo: UndoStack, scratch: string, qemu: string): Promise<VmmHandle> {
  const at = (name: string) => join(scratch, name);
  await buildDiskFromDirectory(at("guest"), at("base"), { identity: "share bench" });
  const cow = await open(at("cow"), "wx");
  await cow.truncate(MEMORY_MIB * MIB);
  await cow.close();
  for (const name of ["run", "state"]) await mkdir(at(name));
  const unconfined = { bwrap: "/nonexistent/bwrap", allowUnconfined: true };
  const driver = createQemuDriver({ cacheDirectory: scratch, qemu, ...unconfined });
  const handle = await driver.launch({
    ...{ vmId: newId(), runDirectory: at("run"), stateDirectory: at("state") },
    ...(await bootFiles("kiln")),
    ...{ kernelArgs: [], vcpus: 1, memoryBytes: MEMORY_MIB * MIB, cards: [] },
    disks: [
      { id: "base", path: at("base"), readOnly: true },
      { id: "cow", path: at("cow"), readOnly: false },
    ],
    ports: [{ id: PORT }],
  });
  undo.push("end QEMU", async () => {
    await handle.kill();
    await handle.detach();
  });
  return handle;
}

/** The guest's root, below `guest`. Returns whether git is in it, which it is where the host has it. */
async function writeTree(scratch: string): Promise<boolean> {
  const tree = join(scratch, "guest");
  for (const directory of ["bin", "dev", "etc", "proc", "sys", "tmp", "kiln", "qemu", "virtiofsd"])
    await mkdir(join(tree, directory), { recursive: true });
  await cp("/bin/busybox", join(tree, "bin/busybox"));
  for (const name of NAMES) await symlink("busybox", join(tree, "bin", name));
  const git = await findProgram("git");
  if (git === undefined) return false;
  const libraries = execFileSync("ldd", [git], { encoding: "utf8" }).matchAll(/(\/\S+) \(0x/g);
  for (const path of [...libraries].map(([, path = ""]) => path)) {
    await mkdir(join(tree, dirname(path)), { recursive: true });
    await cp(await realpath(path), join(tree, path));
  }
  await cp(await realpath(git), join(tree, "bin/git"));
  return true;
}

/** A server as kilnd starts it. Returns the name of its port in the guest. */
async function serveKiln(undo: UndoStack, scratch: string, root: string, handle: VmmHandle): Promise<string> {
  const port = handle.ports.get(PORT);
  if (port === undefined || !("port" in port.guest)) throw new Error("QEMU has no port for the share");
  const share = await createShareRoom(sharePath()).serve(
    { id: PORT, source: root, readOnly: false, map: { kind: "squash", uid: 0, gid: 0 }, notify: false },
    {
      ...{ port, runDirectory: join(scratch, "run"), runAs: undefined, environment: undefined },
      ...{ join: async () => undefined, vmLives: async () => true },
    },
  );
  undo.push("end kiln-share", () => share.end());
  return port.guest.port;
}
