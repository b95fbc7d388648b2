// Contract of file sinks: owners, modes, times and extended attributes.

import assert from "node:assert/strict";
import { it } from "node:test";
import { hasReason } from "../../src/base/errors.js";
import type { Inode } from "../../src/base/tree.js";
import type { SinkBench } from "./file-sink-bench.js";
import { directory, special } from "./file-sink-tree.js";

const SECOND = 1_000_000_000n;

export function attributeContract(bench: SinkBench): void {
  it("keeps owners beyond 65535 and all twelve mode bits", async () => {
    await bench.roundTrip(async (make) =>
      directory({
        setuid: await make.file([], { mode: 0o6755, uid: 65_536, gid: 100_000 }),
        nobody: await make.file([], { mode: 0o7777, uid: 2 ** 32 - 2, gid: 2 ** 32 - 2 }),
        none: await make.file([], { mode: 0 }),
      }),
    );
  });

  it("keeps nanoseconds, times before 1970 and after 2038", async () => {
    const times = [-1n, 1n, -(2n ** 31n) * SECOND, 2n ** 31n * SECOND + 999_999_999n, 2n ** 33n * SECOND];
    await bench.roundTrip(() =>
      directory(times.map((mtimeNs, i): [string, Inode] => [`t${i}`, special("fifo", { mtimeNs })])),
    );
  });
}

export function xattrContract(bench: SinkBench): void {
  it("keeps capabilities", async () => {
    const value = Buffer.from("0100000200200000000000000000000000000000", "hex");
    await bench.roundTrip(async (make) =>
      directory({ ping: await make.file([], { xattrs: new Map([["security.capability", value]]) }) }),
    );
  });

  it("keeps as many attributes as 4 KiB hold", async () => {
    const xattrs = new Map([
      ["user.large", Buffer.alloc(3000, 65)],
      ["user.empty", Buffer.alloc(0)],
      ["user.odd", Buffer.alloc(33, 1)],
      ["trusted.a", Buffer.from("b")],
      ["security.selinux", Buffer.from("system_u:object_r:bin_t:s0\0")],
    ]);
    await bench.roundTrip(async (make) =>
      directory({ file: await make.file([], { xattrs }), directory: directory({}, { xattrs }) }),
    );
  });

  it("keeps attributes that more files share than one block can count", async () => {
    const xattrs = new Map([["user.shared", Buffer.alloc(200, 65)]]);
    await bench.roundTrip(async (make) => {
      const files: [string, Inode][] = [];
      for (let i = 0; i < 1100; i++) files.push([`f${i}`, await make.file([], { xattrs })]);
      return directory(files);
    });
  });

  it("refuses more attributes than a file can have", async () => {
    const xattrs = new Map([["user.huge", Buffer.alloc(5000)]]);
    await assert.rejects(
      bench.write(bench.newPath(), async (make) => directory({ big: await make.file([], { xattrs }) })),
      (error) => hasReason(error, "xattrs-too-large") && /"\/big"/.test((error as Error).message),
    );
  });

  it("keeps ACLs, access and default", async () => {
    const acl = (hex: string) => Buffer.from(`02000000${hex}`, "hex");
    // u::rwx u:1234:rw- g::r-x m::rwx o::---, with id 0 where there is none, as debugfs gives it back.
    const access = acl(
      "010007000000000002000600d20400000400050000000000100007000000000020000000" + "00000000",
    );
    const plain = acl("010007000000000004000500000000002000000000000000");
    await bench.roundTrip(async (make) =>
      directory({
        file: await make.file([], { mode: 0o770, xattrs: new Map([["system.posix_acl_access", access]]) }),
        directory: directory({}, { mode: 0o755, xattrs: new Map([["system.posix_acl_default", plain]]) }),
      }),
    );
  });

  it("leaves foreign attributes out, and says so", async () => {
    const xattrs = new Map([["com.apple.quarantine", Buffer.from("x")]]);
    const { result } = await bench.write(bench.newPath(), async (make) =>
      directory({ it: await make.file([], { xattrs }) }),
    );
    assert.match(result.warnings?.join() ?? "", /"\/it": .*com\.apple\.quarantine/);
  });
}
