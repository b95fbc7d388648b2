// Guests with disks to mount, what they are told of them, and how these are looked at from outside.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { GuestMountSchema } from "../../src/gen/kiln/agent/v1/mount_pb.js";
import type { DiskSpec } from "../../src/vmm/index.js";
import { run } from "./agent-bench.js";
import { GUEST_ENV, type Guest, GuestBench } from "./agent-guest-bench.js";

export type Mount = Exclude<MessageInitShape<typeof GuestMountSchema>, { $typeName: string }>;
type DiskChange = { mount?: Mount; node?: boolean; fill?: boolean; filesystem?: string };
type BootChange = NonNullable<Parameters<Guest["boot"]>[1]>;

/** A guest that waits for its boot, and what to tell it. */
export type WaitingGuest = Awaited<ReturnType<MountBench["start"]>>;

export class MountBench implements AsyncDisposable {
  readonly #bench: GuestBench;
  #roomy = "";

  private constructor(bench: GuestBench) {
    this.#bench = bench;
  }

  static async open(): Promise<MountBench> {
    const bench = new MountBench(await GuestBench.open());
    bench.#roomy = await bench.#bench.cow();
    const { guest, boot } = await bench.start([], bench.#roomy);
    await boot({}, "rm -r /spare /spares");
    assert.equal((await finish(guest, 0))?.code, 0);
    return bench;
  }

  /** A cow whose root has room for files. */
  async cow(): Promise<string> {
    const path = await this.#bench.cow();
    execFileSync("cp", ["--sparse=always", this.#roomy, path]);
    return path;
  }

  /** A disk with an ext4 of e2fsprogs, which a guest's kernel can grow. @param tree what is in it */
  async volume(id: string, tree: Readonly<Record<string, string>> = {}): Promise<DiskSpec> {
    const from = join(this.#bench.root, `${id}.tree`);
    await mkdir(from);
    for (const [name, text] of Object.entries(tree)) {
      await mkdir(join(from, name, ".."), { recursive: true });
      await writeFile(join(from, name), text);
    }
    const path = join(this.#bench.root, `${id}.ext4`);
    execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", "-d", from, path, "32m"]);
    return { id, path, readOnly: false };
  }

  async start(disks: readonly DiskSpec[] = [], cow?: string, ports: readonly string[] = []) {
    const guest = await this.#bench.start(cow ?? (await this.cow()), undefined, disks, ports);
    const serial = (id: string) => guest.handle.disks.get(id) ?? "";
    const root = {
      ...{ persistent: true, chunkSectors: 128 },
      ...{ baseDevice: "", cowDevice: "", baseSerial: serial("base"), cowSerial: serial("cow") },
    };
    const disk = (id: string, target: string, { mount = {}, ...source }: DiskChange = {}) =>
      ({
        ...{ id, target, ...mount },
        source: { case: "disk", value: { serial: serial(id), ...source } },
      }) satisfies Mount;
    const boot = (change: BootChange, script = "while :; do sleep 1000; done") =>
      guest.boot({ args: ["sh", "-c", script] }, { root, ...change });
    return { guest, disk, boot };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#bench[Symbol.asyncDispose]();
  }
}

export const tmpfs = (id: string, target: string, value: object = {}) =>
  ({ id, target, source: { case: "tmpfs", value } }) satisfies Mount;

export function debugfs(disk: DiskSpec, request: string): string {
  return execFileSync("debugfs", ["-w", "-R", request, disk.path], { encoding: "utf8", stdio: "pipe" });
}

/** Throws where anything is not as it has to be. */
export function checkDisk(disk: DiskSpec): void {
  execFileSync("e2fsck", ["-fn", disk.path], { stdio: "pipe" });
}

export async function sh(guest: Guest, script: string): Promise<string> {
  const { stdout, stderr, exit } = await run(guest.session, ["sh", "-c", script], {
    spec: { env: GUEST_ENV },
  });
  assert.equal(exit?.code, 0, `${script}: ${stderr} ${exit?.error}`);
  return stdout.trimEnd();
}

/** Its program's end, and then the machine's. @param signal 0: it ends by itself */
export async function finish(guest: Guest, signal = 9) {
  if (signal !== 0) await guest.session.client.stop({ signal, timeoutMs: 60_000 }).catch(() => undefined);
  const { exit } = await guest.session.client.wait({});
  await guest.session.client.ackExit({}).catch(() => undefined);
  assert.equal((await guest.handle.exited).cause, "guest-shutdown");
  return exit;
}

/** For assert.rejects. */
export const refused = (code: Code, text: RegExp) => (error: unknown) => {
  const is = error instanceof ConnectError && error.code === code && text.test(error.rawMessage);
  return is || assert.fail(`${Code[code]} ${text}: ${error}`);
};
