import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { makeModule } from "../../test/fixtures/made-up-kernels.js";
import { readModuleInfo } from "./modinfo.js";

describe("a module's own words", () => {
  it("give its name, dependencies, soft dependencies and kernel, with underscores", () => {
    const file = makeModule("virtio-net", {
      depends: ["virtio", "net-failover"],
      softdep: "pre: crc32c aes-x86 post: other",
      release: "6.1.0-1-amd64",
    });
    assert.deepEqual(readModuleInfo(file), {
      name: "virtio_net",
      depends: ["virtio", "net_failover"],
      softPre: ["crc32c", "aes_x86"],
      release: "6.1.0-1-amd64",
    });
  });

  it("give no dependencies where there are none", () => {
    assert.deepEqual(readModuleInfo(makeModule("failover"))?.depends, []);
  });

  it("leave out names that could not be a module's", () => {
    const file = makeModule("a", { depends: ["../../etc/passwd", "ok", "with space"] });
    assert.deepEqual(readModuleInfo(file)?.depends, ["ok"]);
  });

  it("are undefined for what is no module", () => {
    assert.equal(readModuleInfo(Buffer.from("not an ELF file, but long enough to be looked at")), undefined);
  });

  it("are read without a throw from any bytes", () => {
    const good = makeModule("virtio_net", { depends: ["virtio"] });
    const changes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 })), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(changes, fc.nat(good.length), (pairs, length) => {
        const bad = Buffer.from(good);
        for (const [at, value] of pairs) bad[at] = value;
        const info = readModuleInfo(bad.subarray(0, length));
        assert.ok(info === undefined || info.name !== "");
      }),
    );
  });
});
