import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, it } from "node:test";
import { silentLogger } from "../../base/log.js";
import { Notifier } from "../common/notifier.js";
import { VmLog } from "../output/vm-log.js";
import type { EngineContext } from "../run/context.js";
import type { VmVerbs } from "../run/vm-verbs.js";
import type { VmEntry } from "../vm/entry.js";
import type { AttachSpec } from "./process-io.js";
import { attachToVm } from "./vm-attach.js";

const NEW_RUN = { boot: 2, sequence: 0n };
let directory: string;
let log: VmLog;
let starts: number;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "attach-"));
  log = new VmLog(directory);
  starts = 0;
  await write(1, "last week's\n");
});
afterEach(() => rm(directory, { recursive: true }));

async function write(boot: number, text: string): Promise<void> {
  await log.begin(boot);
  await log.append([{ sequence: 0n, stream: "stdout", timeNs: 1n, data: Buffer.from(text) }]);
  await log.end();
}

/** What an attachment to a VM that has run once, or `boot` times, says. */
async function said(spec: Partial<AttachSpec>, boot = 1): Promise<string[]> {
  const entry = {
    name: "job",
    id: "a",
    state: "exited",
    status: { exitCode: 3, boot, state: "exited", reason: "" },
    log,
    live: undefined,
    changed: new Notifier(),
    followers: { now: 0, missed: 0 },
    record: { config: { autoRemove: false, openStdin: false } },
  };
  const verbs = {
    wait: async () => undefined,
    start: async () => {
      starts++;
      await write(++entry.status.boot, "new\n");
      entry.status.exitCode = 0;
    },
  };
  const ctx = { log: silentLogger, leaving: new AbortController().signal };
  const whole = { stdin: false, logs: false, start: true, id: "0123456789abcdef", ...spec };
  const words: string[] = [];
  const outputs = attachToVm(
    ctx as unknown as EngineContext,
    verbs as unknown as VmVerbs,
    entry as unknown as VmEntry,
    whole,
    Readable.from([]),
    undefined,
  );
  for await (const output of outputs) {
    if (output.kind === "output") words.push(Buffer.from(output.data).toString());
    else if (output.kind === "starting") words.push(`starting ${output.next.boot} after ${starts} starts`);
    else if (output.kind === "resumable") words.push(`resumable ${output.stdinUnwanted}`);
    else words.push(output.kind === "exit" ? `exit ${output.code}` : output.kind);
  }
  return words;
}

describe("attaching to a VM that is to be started", () => {
  it("says where its output will begin before it starts it", async () => {
    const words = ["attached", "starting 2 after 0 starts", "resumable true", "new\n", "exit 0"];
    assert.deepEqual(await said({}), words);
  });

  it("goes on with the new run, which it starts where kilnd went before it had", async () => {
    const words = ["attached", "starting 2 after 0 starts", "resumable true", "new\n", "exit 0"];
    assert.deepEqual(await said({ resume: { after: NEW_RUN } }), words);
  });

  it("starts none twice", async () => {
    await write(2, "ran\n");
    const words = ["attached", "resumable true", "ran\n", "exit 3"];
    assert.deepEqual(await said({ resume: { after: NEW_RUN } }, 2), words);
    assert.equal(starts, 0);
  });

  it("starts none that has run before where it is not known which run is meant", async () => {
    assert.equal((await said({ resume: { after: undefined } })).at(-1), "exit 3");
    assert.equal(starts, 0);
  });
});
