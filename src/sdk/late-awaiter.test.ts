// Every call of the SDK, awaited when its whole answer has come already: it ends as one does that is awaited at once.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { openSdkBench, SDK_CALLS, type SdkBench, type SdkCall } from "../../test/fixtures/sdk-calls.js";
import { KilnError } from "../base/errors.js";

/** Two that are alike: each call has an effect, and is made once to each. */
let [prompt, late]: SdkBench[] = [];
before(async () => {
  [prompt, late] = [await openSdkBench(), await openSdkBench()];
});
after(async () => {
  for (const bench of [prompt, late]) await bench?.close();
});

/** Round trips on the same connection: whatever kilnd had to say before has arrived meanwhile. */
async function meanwhile({ kiln }: SdkBench): Promise<void> {
  for (let trip = 0; trip < 5; trip++) await kiln.version();
}

/** How it ended: with what kind of answer, or for which reason. */
async function outcomeOf(bench: SdkBench | undefined, call: SdkCall, later: boolean): Promise<string> {
  assert.ok(bench);
  try {
    const begun = call(bench, {});
    // An exec can be awaited too: that begins when it is.
    if (begun instanceof Promise) begun.catch(() => undefined);
    if (later) await meanwhile(bench);
    const answer = await begun;
    return answer instanceof Object ? answer.constructor.name : typeof answer;
  } catch (error) {
    const { codeName, reason } = KilnError.from(error);
    return `${codeName} ${reason}`;
  }
}

describe("every call, awaited later", { timeout: 120_000 }, () => {
  for (const [name, call] of Object.entries(SDK_CALLS)) {
    it(name, async () => {
      const [expected, found] = [await outcomeOf(prompt, call, false), await outcomeOf(late, call, true)];
      assert.equal(found, expected);
    });
  }
});
