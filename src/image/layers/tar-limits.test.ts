import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readTar } from "../../../test/fixtures/images/tar-reading.js";
import { archiveBytes, extension, paxHeader } from "../../../test/fixtures/images/tar-writer.js";
import type { LayerLimits } from "./limits.js";

describe("the tar parser's limits", () => {
  const tooMuch = (bytes: Buffer, limits: Partial<LayerLimits>, reason: string) =>
    assert.throws(() => readTar(bytes, limits), { code: 8, reason });

  it("bound extended headers before they are kept", () => {
    const huge = extension("x", Buffer.alloc(5000)).subarray(0, 512);
    tooMuch(huge, { maxExtensionBytes: 4999 }, "tar-header-too-large");
    tooMuch(
      extension("L", Buffer.alloc(5000)).subarray(0, 512),
      { maxExtensionBytes: 4999 },
      "tar-header-too-large",
    );
  });

  it("bound attributes one by one and together", () => {
    const xattrs = { "user.a": "x".repeat(100), "user.b": "x".repeat(100) };
    tooMuch(archiveBytes([{ path: "a", xattrs }]), { maxXattrBytes: 99 }, "xattr-too-large");
    tooMuch(archiveBytes([{ path: "a", xattrs }]), { maxNameBytes: 5 }, "xattr-too-large");
    tooMuch(archiveBytes([{ path: "a", xattrs }]), { maxXattrTotalBytes: 211 }, "xattr-too-large");
    assert.equal(readTar(archiveBytes([{ path: "a", xattrs }]), { maxXattrTotalBytes: 212 }).length, 1);
  });

  it("bound the attributes of global headers together", () => {
    const globals = ["a", "b", "c"].map((name) =>
      paxHeader("g", { [`SCHILY.xattr.user.${name}`]: "x".repeat(50) }),
    );
    tooMuch(archiveBytes(globals), { maxXattrTotalBytes: 120 }, "xattr-too-large");
  });

  it("bound sparse maps", () => {
    const parts = Array.from({ length: 30 }, (_, i) => ({ offset: i * 10, data: "x" }));
    for (const form of ["0.0", "0.1", "1.0", "old-gnu"] as const) {
      const dialect = form === "old-gnu" ? "gnu" : "pax";
      const bytes = archiveBytes([{ path: "s", dialect, sparse: { form, size: 1000, parts } }]);
      tooMuch(bytes, { maxSparseExtents: 20 }, "sparse-map-too-large");
    }
  });

  it("bound a file's logical size", () => {
    const sparse = { form: "1.0", size: 2 ** 50, parts: [] } as const;
    tooMuch(archiveBytes([{ path: "s", sparse }]), {}, "file-too-large");
  });
});
