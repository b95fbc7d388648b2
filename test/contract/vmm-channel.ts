// The byte stream between host and guest.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { hasReason } from "../../src/base/errors.js";
import type { VmmHandle } from "../../src/vmm/index.js";
import { type DriverFactory, MIB, shellOf, VmmBench } from "./vmm-bench.js";

export function channelContract(makeDriver: DriverFactory): void {
  describe("channel", () => {
    let bench: VmmBench;
    let handle: VmmHandle;
    before(async () => {
      bench = await VmmBench.open(makeDriver);
      handle = await bench.launch();
    });
    after(() => bench[Symbol.asyncDispose]());

    it("carries bytes into the guest as they are", async () => {
      const shell = await shellOf(handle);
      const data = randomBytes(2 * MIB);
      const answer = shell.post(`head -c ${data.length} <&3 | sha256sum`);
      shell.write(data);
      assert.match((await answer).output, new RegExp(createHash("sha256").update(data).digest("hex")));
      await shell.close();
    });

    it("carries bytes out of the guest as they are", async () => {
      const shell = await shellOf(handle);
      const text = await shell.output(
        "head -c 300000 /dev/urandom > /tmp/r; sha256sum /tmp/r; base64 /tmp/r",
      );
      const [sum = "", ...lines] = text.split("\n");
      const data = Buffer.from(lines.join(""), "base64");
      assert.equal(data.length, 300_000);
      assert.equal(sum.split(" ")[0], createHash("sha256").update(data).digest("hex"));
      await shell.close();
    });

    it("serves one stream after the other, in the same guest", async () => {
      const first = await shellOf(handle);
      await first.output("echo kept > /tmp/state");
      await first.close();
      const second = await shellOf(handle);
      assert.equal(await second.output("cat /tmp/state"), "kept");
      await second.close();
    });

    it("refuses a second stream while the first lives", async () => {
      const shell = await shellOf(handle);
      await assert.rejects(handle.dialChannel(), (error) => hasReason(error, "channel-busy"));
      await shell.close();
    });

    it("gives no stream to a caller that has given up", async () => {
      await assert.rejects(handle.dialChannel({ signal: AbortSignal.abort() }), { name: "AbortError" });
      const shell = await shellOf(handle);
      assert.equal(await shell.output("echo free again"), "free again");
      await shell.close();
    });

    it("ends with the VM", async () => {
      const stream = await handle.dialChannel();
      stream.on("error", () => undefined);
      const closed = new Promise((resolve) => stream.once("close", resolve));
      await handle.kill();
      await closed;
      await assert.rejects(handle.dialChannel(), (error) => hasReason(error, "vmm-gone"));
    });
  });
}
