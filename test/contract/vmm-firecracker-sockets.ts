// The one directory that a VMM's user owns is that of Firecracker's sockets. Whatever is put there in their place, kilnd
// follows it nowhere: it refuses, or goes on without, and no other VM hears of it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chown, link, readdir, rename, rm, stat, symlink } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { hasReason, KilnError } from "../../src/base/errors.js";
import { isAlive } from "../../src/base/processes.js";
import type { VmmHandle, VmmSpec } from "../../src/vmm/index.js";
import { type DriverFactory, VmmBench } from "./vmm-bench.js";

const USER = { uid: 54321, gid: 54321 };
const OTHER = { uid: 54322, gid: 54322 };
const SOCKETS = ["api.sock", "vsock.sock"] as const;

/** What a VMM that was broken out of can make of a name in its directory; `victim` is another VM's socket. */
const PLANTED: Readonly<Record<string, (path: string, victim: string) => Promise<void>>> = {
  "a symbolic link": (path, victim) => symlink(victim, path),
  "a hard link": (path, victim) => link(victim, path),
  "a FIFO": async (path) => {
    execFileSync("mkfifo", ["-m", "666", path]);
    await chown(path, USER.uid, USER.gid);
  },
  "a link to a directory": (path) => symlink(".", path),
};

export function firecrackerSocketsContract(makeDriver: DriverFactory): void {
  const skip = process.getuid?.() !== 0 && "not root: VMMs have no user of their own";

  describe("sockets of a VMM that its user replaces", { skip }, () => {
    let bench: VmmBench;
    const servers: Server[] = [];
    let victims = "";
    let heard = 0;
    let spec: VmmSpec;
    let handle: VmmHandle;
    before(async () => {
      bench = await VmmBench.open(makeDriver);
      victims = join(bench.root, "other.sock");
      servers.push(await listen(victims));
      spec = await bench.spec({ runAs: USER });
      handle = bench.adopt(await bench.newDriver().launch(spec));
    });
    after(async () => {
      for (const server of servers) server.close();
      await bench[Symbol.asyncDispose]();
    });

    /** Another VM's socket; nobody who follows a name to it goes unheard. */
    async function listen(path: string): Promise<Server> {
      const server = createServer((socket) => {
        heard += 1;
        socket.destroy();
      }).listen(path);
      await once(server, "listening");
      await chown(path, OTHER.uid, OTHER.gid);
      return server;
    }

    /** With a name replaced; put back afterwards. */
    async function replaced(
      name: (typeof SOCKETS)[number],
      plant: (path: string, victim: string) => Promise<void>,
      action: () => Promise<void>,
    ): Promise<void> {
      const path = join(spec.runDirectory, "s", name);
      await rename(path, `${path}.real`);
      try {
        await plant(path, victims);
        await action();
      } finally {
        await rm(path, { force: true });
        await rename(`${path}.real`, path);
      }
    }

    it("are its own, in a directory of its own", async () => {
      const directory = join(spec.runDirectory, "s");
      assert.equal((await stat(directory)).uid, USER.uid);
      const names = await readdir(directory);
      for (const name of SOCKETS) assert.ok(names.includes(name), names.join());
    });

    /** A socket of another user's at that name. It is made elsewhere: its server removes the name that it knows. */
    async function plantServer(path: string): Promise<void> {
      const made = join(bench.root, `planted-${servers.length}.sock`);
      servers.push(await listen(made));
      await rename(made, path);
    }

    for (const [what, plant] of Object.entries({ ...PLANTED, "another user's socket": plantServer })) {
      it(`lead nowhere as ${what}`, async () => {
        await replaced("api.sock", plant, async () => {
          await assert.rejects(handle.pause(), refused);
          await assert.rejects(handle.isPaused(), refused);
          await assert.rejects(bench.newDriver().reattach(handle.record, spec), refused);
          // What is asked beside the process itself is left out.
          assert.ok((await handle.stats()).rssBytes > 0);
        });
        await replaced("vsock.sock", plant, async () => {
          await assert.rejects(handle.dialChannel(), refused);
        });
        assert.equal(heard, 0);
        assert.equal(await handle.isPaused(), false);
      });
    }

    it("are no way to keep a VM from its end", async () => {
      await replaced(
        "api.sock",
        (path, other) => symlink(other, path),
        async () => {
          await handle.kill();
          assert.equal((await handle.exited).cause, "killed");
        },
      );
      assert.equal(await isAlive(handle.record.process), false);
      assert.equal(heard, 0);
    });
  });
}

function refused(error: unknown): boolean {
  assert.ok(hasReason(error, "not-as-expected"), String(error));
  assert.ok(error instanceof KilnError);
  return true;
}
