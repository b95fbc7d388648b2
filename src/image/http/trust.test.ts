import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { secureContext } from "./trust.js";

describe("secureContext", () => {
  it("refuses a FIFO and an endless device as the bundle of CAs at once", async () => {
    const directory = await mkdtemp(join(tmpdir(), "kiln-trust-"));
    try {
      const fifo = join(directory, "fifo");
      execFileSync("mkfifo", [fifo]);
      for (const place of [fifo, "/dev/zero"]) {
        const why = { reason: "tls-error", message: /is not a regular file/ };
        assert.throws(() => secureContext({}, { SSL_CERT_FILE: place }), why);
      }
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
