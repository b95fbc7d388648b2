import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { chooseDefault, findKernel } from "./choice.js";
import type { StoredKernel } from "./types.js";

function kernel(name: string, more: Partial<StoredKernel> = {}): StoredKernel {
  return {
    id: Buffer.from(name).toString("hex").padEnd(64, "0"),
    name,
    release: "6.1.0",
    source: "/boot/vmlinuz",
    architecture: "amd64",
    pvh: true,
    vmlinux: "/k/vmlinux",
    sizeBytes: 1,
    createdAt: "2026-01-01T00:00:00Z",
    ...more,
  };
}
const OWN = { source: "linux-source-6.1 6.1.192-2", configuration: "c".repeat(64) };
const plain = kernel("plain");
const debian = kernel("packaged", { release: "6.1.0-56-cloud-amd64" });
const newerDebian = kernel("newer", { source: "debian: linux-image-6.1.0-57-cloud-amd64.deb" });
const own = kernel("6.1.190-kiln", { own: OWN });
const newerOwn = kernel("6.1.192-kiln", { own: OWN });
const foreign = kernel("arm", { architecture: "arm64", own: OWN });

const choose = (all: StoredKernel[], set?: string) => chooseDefault(all, set, "amd64");

describe("the default kernel", () => {
  it("is the newest of kiln's own, whatever else is there", () => {
    assert.deepEqual(choose([own, newerOwn, plain, newerDebian]), { kernel: newerOwn, why: "kiln's own" });
  });

  it("is the newest of Debian's without one, and says how to get kiln's own", () => {
    const chosen = choose([plain, debian, newerDebian]);
    assert.equal(chosen?.kernel, newerDebian);
    assert.match(chosen?.why ?? "", /^Debian's: `kiln kernel build`/);
  });

  it("is the first import without either", () => {
    assert.equal(choose([plain, kernel("second")])?.kernel, plain);
  });

  it("is the one that was set, before all", () => {
    assert.deepEqual(choose([own, plain], plain.id), { kernel: plain, why: "set as the default" });
  });

  it("is never one of another architecture", () => {
    assert.equal(choose([foreign, debian])?.kernel, debian);
    assert.equal(choose([foreign]), undefined);
  });
});

describe("a kernel's key", () => {
  const all = [plain, debian, own, newerDebian, newerOwn, foreign];
  const find = (key: string, among = all) => findKernel(key, among, "amd64");

  it("may be a name, an id or the beginning of one", () => {
    for (const key of [plain.name, plain.id, plain.id.slice(0, 6)]) assert.equal(find(key), plain);
  });

  it('may be "kiln" and "debian" for the newest of each', () => {
    assert.equal(find("kiln"), newerOwn);
    assert.equal(find("debian"), newerDebian);
  });

  it("is a kernel of that name before the newest of its maker", () => {
    const named = kernel("debian");
    assert.equal(find("debian", [...all, named]), named);
  });

  it("of a maker that has none here says how to get one", () => {
    for (const [key, hint] of [
      ["kiln", /kiln kernel build/],
      ["debian", /kiln kernel import debian/],
    ] as const) {
      assert.throws(
        () => find(key, [plain, foreign]),
        (error) => hasReason(error, "kernel-not-found") && hint.test((error as { hint?: string }).hint ?? ""),
      );
    }
  });
});
