// What a start that fails tells, on the real Firecracker and on the stand-in.

import assert from "node:assert/strict";
import { hasReason } from "../../src/base/errors.js";
import type { VmmBench } from "./vmm-bench.js";

/** A call of its API that waits meanwhile would make it panic without a word of the cause, now and then. */
export async function tellsWhyItDoesNotStart(bench: VmmBench): Promise<void> {
  for (let time = 0; time < 3; time++) {
    const spec = await bench.spec();
    await assert.rejects(bench.newDriver().launch({ ...spec, kernel: spec.initrd }), (error) => {
      assert.ok(hasReason(error, "vmm-failed"), String(error));
      assert.match(String(error), /Cannot load kernel/);
      return true;
    });
  }
}
