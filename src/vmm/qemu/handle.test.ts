import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { QemuHandle } from "./handle.js";

type Parts = ConstructorParameters<typeof QemuHandle>[0];

describe("QemuHandle", () => {
  // Whoever waits for the end of a VM waits for this.
  it("tells the end also where what the VMM leaves can't be cleared up", async () => {
    const parts = {
      record: {},
      sockets: {},
      owners: [0],
      process: { ended: Promise.resolve({ code: 0 }), stderrTail: () => "", release: () => undefined },
      log: { path: "", firstOutput: Promise.resolve(), close: async () => undefined },
      memoryBytes: 1,
    } as unknown as Parts;
    const handle = new QemuHandle(parts);
    handle.keep({
      end: () => Promise.reject(Object.assign(new Error("EMFILE: too many open files"), { code: "EMFILE" })),
      detach: () => undefined,
      lost: () => undefined,
    } as unknown as Parameters<typeof handle.keep>[0]);
    const { detail } = await handle.exited;
    assert.match(detail, /not cleared up: .*EMFILE/);
  });
});
