import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { hasReason, KilnError } from "../../base/errors.js";
import { isAlive } from "../../base/processes.js";
import type { ProgressUpdate } from "../../base/progress.js";
import { type BuildRequest, decodeMessage, encodeError, encodeMessage } from "../common/base-protocol.js";
import { createBaseBuilder } from "./base-builder.js";

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-builder-"));
});
after(() => rm(directory, { recursive: true, force: true }));

const REQUEST: BuildRequest = { layers: [], output: "/nowhere", diskBytes: 1, identity: "x", limits: {} };

/** A builder program whose text is `body`; `request` is the parsed request. */
async function builderThat(body: string) {
  const path = join(directory, `${Math.random()}.mjs`);
  await writeFile(
    path,
    `process.stdin.once("data", async (line) => { const request = JSON.parse(line); ${body} });
     process.stdin.on("end", () => process.exit(1));`,
  );
  return createBaseBuilder(path);
}

const RESULT = `{"result":{"sizeBytes":1,"inodes":2,"dataBytes":3,"hasInit":true}}`;

describe("the base builder", () => {
  it("gives progress as it comes, then the result", async () => {
    const build = await builderThat(`
      console.log('{"progress":{"id":"a","status":"extracting","current":5}}');
      console.log('${RESULT}'); process.exit(0)`);
    const seen: ProgressUpdate[] = [];
    const result = await build(REQUEST, { onProgress: (update) => void seen.push(update) });
    assert.deepEqual(result, { sizeBytes: 1, inodes: 2, dataBytes: 3, hasInit: true });
    assert.deepEqual(seen, [{ id: "a", status: "extracting", current: 5 }]);
  });

  it("fails with the builder's own error: code, reason, hint, details", async () => {
    const error = new KilnError(8, "layer is a bomb", {
      reason: "layer-too-large",
      hint: "raise",
      details: { limit: "x" },
    });
    const build = await builderThat(
      `console.log(${JSON.stringify(encodeMessage(encodeError(error)).trim())}); process.exit(0)`,
    );
    await assert.rejects(build(REQUEST, {}), {
      code: 8,
      message: "layer is a bomb",
      reason: "layer-too-large",
      hint: "raise",
      details: { limit: "x" },
    });
  });

  it("says how it died when it dies without a word", async () => {
    const build = await builderThat(`console.error("why it died"); process.exit(7)`);
    await assert.rejects(build(REQUEST, {}), (error) => {
      return (
        hasReason(error, "base-builder-died") && /exit code 7.*why it died/.test((error as Error).message)
      );
    });
  });

  it("names memory when the kernel killed it", async () => {
    const build = await builderThat(`process.kill(process.pid, "SIGKILL")`);
    await assert.rejects(build(REQUEST, {}), (error) => hasReason(error, "base-builder-out-of-memory"));
  });

  it("refuses an answer that is none", async () => {
    const build = await builderThat(`console.log("hello"); setInterval(() => {}, 1000)`);
    await assert.rejects(build(REQUEST, {}), (error) => hasReason(error, "base-builder-garbage"));
  });

  it("ends the builder when nobody waits any more", async () => {
    const file = join(directory, "pid");
    const build = await builderThat(`
      const { writeFileSync } = await import("node:fs");
      writeFileSync(${JSON.stringify(file)}, String(process.pid));
      console.log('{"progress":{"id":"a","status":"building"}}'); setInterval(() => {}, 1000)`);
    const abort = new AbortController();
    const onProgress = () => abort.abort(new Error("enough"));
    await assert.rejects(build(REQUEST, { signal: abort.signal, onProgress }), { message: "enough" });
    const pid = Number(await readFile(file, "utf8"));
    assert.equal(await isAlive({ pid, startTime: "" }), false);
  });

  it("is not begun for a caller that has already left", async () => {
    const build = await builderThat(`console.log('${RESULT}'); process.exit(0)`);
    await assert.rejects(build(REQUEST, { signal: AbortSignal.abort(new Error("left")) }), {
      message: "left",
    });
  });
});

describe("the real builder", () => {
  it("refuses a request that is none with an error, not a crash", async () => {
    const build = createBaseBuilder();
    await assert.rejects(build({} as BuildRequest, {}), KilnError);
  });
});

describe("decodeMessage", () => {
  it("throws nothing but its own error, whatever the line", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        try {
          decodeMessage(line);
        } catch (error) {
          assert.ok(hasReason(error, "base-builder-garbage"));
        }
      }),
    );
  });
});
