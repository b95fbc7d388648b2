import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  cutAfter,
  type FakeRegistry,
  sendError,
  serveBytes,
  startFakeRegistry,
} from "../../../test/fixtures/registry/fake-registry.js";
import { openStoreLab, type StoreLab } from "../../../test/fixtures/registry/store-lab.js";
import { type Blob, type TinyImage, tarOf, tinyImage } from "../../../test/fixtures/registry/tiny-image.js";
import { planBlobAnswer } from "./blob-download.js";

const HALF = 300_000;

let registry: FakeRegistry;
let lab: StoreLab;
let image: TinyImage;
let layer: Blob;
beforeEach(async () => {
  registry = await startFakeRegistry();
  lab = await openStoreLab();
  image = tinyImage({ tars: [tarOf({ data: randomBytes(2 * HALF) })], compress: false });
  const [first] = image.layers;
  assert.ok(first);
  layer = first;
  registry.addImage("a", "v1", image);
});
afterEach(async () => {
  await registry.close();
  await lab[Symbol.asyncDispose]();
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Answers the first requests for the layer with these, the others as a sound registry does. */
function answerLayer(...answers: Answer[]): void {
  registry.intercept = (request, response) => {
    const answer = request.url?.endsWith(layer.digest) ? answers.shift() : undefined;
    answer?.(request, response);
    return answer !== undefined;
  };
}
const always = (answer: Answer): Answer[] => Array.from({ length: 50 }, () => answer);
const cut: Answer = (_request, response) => cutAfter(layer.bytes, HALF, response);
const pull = () => lab.pull(`${registry.host}/a:v1`);
const ranges = () => registry.asked(layer.digest).map(({ headers }) => headers.range);
const nothingLeft = async () => assert.deepEqual(await lab.files(), []);

async function stored(): Promise<Buffer> {
  return await readFile(lab.store.blobPath(layer.digest));
}

describe("downloading a layer", () => {
  it("goes on by Range where the connection was cut", async () => {
    answerLayer(cut);
    await pull();
    assert.deepEqual(await stored(), layer.bytes);
    const [first, second] = ranges();
    assert.equal(first, undefined);
    const from = Number(/^bytes=([0-9]+)-$/.exec(second ?? "")?.[1]);
    assert.ok(from > 0 && from <= HALF, `asked again from ${second}`);
    assert.ok(lab.progress.some(({ id, status }) => id === layer.digest && status === "retrying"));
  });

  it("begins anew where the server does not know ranges", async () => {
    answerLayer(cut, (_request, response) => response.end(layer.bytes));
    await pull();
    assert.deepEqual(await stored(), layer.bytes);
  });

  it("begins anew where the server gives another range than was asked for", async () => {
    answerLayer(cut, (_request, response) => {
      response.writeHead(206, { "content-range": `bytes 0-${layer.bytes.length - 1}/${layer.bytes.length}` });
      response.end(layer.bytes);
    });
    await pull();
    assert.deepEqual(await stored(), layer.bytes);
    assert.equal(ranges().at(-1), undefined);
  });

  it("begins anew after 416", async () => {
    answerLayer(cut, (_request, response) => response.writeHead(416).end());
    await pull();
    assert.deepEqual(await stored(), layer.bytes);
  });

  it("gives up after so many tries without progress, and keeps what it has", async () => {
    answerLayer(cut, ...always((_request, response) => response.destroy()));
    await assert.rejects(pull(), { reason: "registry-unreachable", message: /the connection was cut/ });
    assert.ok((await lab.store.usage()).ingestBytes >= HALF - 65_536);
  });

  it("resumes after a restart from what an earlier daemon has fetched", async () => {
    answerLayer(cut, ...always((_request, response) => response.destroy()));
    await assert.rejects(pull());
    const before = registry.requests.length;
    registry.intercept = () => false;
    await lab.restart();
    await pull();
    assert.deepEqual(await stored(), layer.bytes);
    const range = registry.requests.slice(before).find(({ path }) => path.endsWith(layer.digest))
      ?.headers.range;
    assert.match(range ?? "", /^bytes=[1-9][0-9]+-$/);
    assert.equal((await lab.store.usage()).ingestBytes, 0);
  });

  it("fetches all again where the earlier piece turns out to be damaged", async () => {
    answerLayer(
      (_request, response) => cutAfter(randomBytes(layer.bytes.length), HALF, response),
      ...always((_request, response) => response.destroy()),
    );
    await assert.rejects(pull());
    registry.intercept = () => false;
    await lab.restart();
    await pull();
    assert.deepEqual(await stored(), layer.bytes);
  });

  it("does not keep what an interrupted pull has left for ever", async () => {
    answerLayer(cut, ...always((_request, response) => response.destroy()));
    await assert.rejects(pull());
    await lab.restart({ resumeMs: -1 });
    await nothingLeft();
  });

  it("gives the space of interrupted pulls back when it is asked to", async () => {
    answerLayer(cut, ...always((_request, response) => response.destroy()));
    await assert.rejects(pull());
    const { bytes } = await lab.store.collectGarbage();
    assert.ok(bytes > 0);
    await nothingLeft();
  });

  it("refuses bytes that are not what the digest says, and leaves nothing", async () => {
    answerLayer((_request, response) => response.end(randomBytes(layer.bytes.length)));
    await assert.rejects(pull(), { reason: "digest-mismatch", message: new RegExp(layer.digest) });
    await nothingLeft();
  });

  it("refuses a truncated copy, and leaves nothing", async () => {
    answerLayer((_request, response) => response.end(layer.bytes.subarray(0, HALF)));
    await assert.rejects(pull(), { reason: "size-mismatch", message: /has 300000 bytes of it/ });
    await nothingLeft();
  });

  it("refuses a truncated copy whose length was not announced", async () => {
    answerLayer((_request, response) => {
      response.write(layer.bytes.subarray(0, HALF));
      response.end();
    });
    await assert.rejects(pull(), { reason: "size-mismatch", message: /only 300000/ });
    await nothingLeft();
  });

  it("stops reading where there is more than the manifest says", async () => {
    answerLayer((_request, response) => {
      response.write(layer.bytes);
      response.end("more");
    });
    await assert.rejects(pull(), { reason: "size-mismatch", message: /more than/ });
    await nothingLeft();
  });

  it("tries again after 500 and 429, and waits as it is told", async () => {
    answerLayer(
      (_request, response) => sendError(response, 500, "UNKNOWN", "oops"),
      (_request, response) => {
        response.setHeader("retry-after", "0");
        sendError(response, 429, "TOOMANYREQUESTS", "slow down");
      },
    );
    await pull();
    assert.equal(ranges().length, 3);
  });

  it("reports 500 when it does not end", async () => {
    answerLayer(...always((_request, response) => sendError(response, 500, "UNKNOWN", "disk on fire")));
    await assert.rejects(pull(), { reason: "registry-error", message: /HTTP 500: UNKNOWN disk on fire/ });
    assert.equal(ranges().length, 3);
  });

  it("reports a rate limit, and for how long", async () => {
    answerLayer(
      ...always((_request, response) => {
        response.setHeader("retry-after", "3600");
        sendError(response, 429, "TOOMANYREQUESTS", "pull rate limit");
      }),
    );
    await assert.rejects(pull(), { reason: "rate-limited", hint: /3600 s/ });
    assert.equal(ranges().length, 1);
  });

  it("reports a blob that the registry has lost", async () => {
    answerLayer((_request, response) => sendError(response, 404, "BLOB_UNKNOWN", "blob unknown"));
    await assert.rejects(pull(), { reason: "blob-not-found", message: /HTTP 404: BLOB_UNKNOWN/ });
    await nothingLeft();
  });

  it("times out where the answer stalls", async () => {
    await lab.restart({ stallMs: 50, attempts: 2 });
    const halves = always((_request, response) => {
      response.setHeader("content-length", layer.bytes.length);
      response.write(layer.bytes.subarray(0, 10));
    });
    answerLayer(...halves);
    await assert.rejects(pull(), { reason: "registry-timeout" });
  });

  it("times out where no answer comes", async () => {
    await lab.restart({ answerMs: 50, attempts: 2 });
    registry.intercept = () => true;
    await assert.rejects(lab.pull(`${registry.host}/a:v1`, { plainHttp: true }), {
      reason: "registry-timeout",
    });
  });

  it("refuses a content encoding: the digest is of other bytes", async () => {
    answerLayer((request, response) => {
      response.setHeader("content-encoding", "gzip");
      serveBytes(layer.bytes, request, response);
    });
    await assert.rejects(pull(), { reason: "registry-error", message: /content encoding/ });
  });

  it("ends at once when it is cancelled, and keeps what it has", async () => {
    const controller = new AbortController();
    answerLayer((_request, response) => {
      response.setHeader("content-length", layer.bytes.length);
      response.write(layer.bytes.subarray(0, HALF));
    });
    const pulling = lab.pull(`${registry.host}/a:v1`, {
      signal: controller.signal,
      onProgress: ({ id, current }) => id === layer.digest && (current ?? 0) > 0 && controller.abort(),
    });
    await assert.rejects(pulling, { reason: "cancelled" });
    assert.ok((await lab.files()).includes(join("ingest", `${layer.digest.slice(7)}.part`)));
  });

  it("reports a time-out of the caller's as such", async () => {
    answerLayer(() => undefined);
    await assert.rejects(lab.pull(`${registry.host}/a:v1`, { signal: AbortSignal.timeout(200) }), {
      reason: "timeout",
    });
  });
});

describe("planBlobAnswer", () => {
  const plan = (status: number, headers: Record<string, string>, offset: number) => {
    const answer = planBlobAnswer(status, headers, { offset, size: 10, what: "blob x", host: "h" });
    return answer.action === "refuse" ? answer.error.reason : answer.action;
  };
  for (const [what, status, headers, offset, expected] of [
    ["the whole", 200, { "content-length": "10" }, 0, "whole"],
    ["the whole of unknown length", 200, {}, 0, "whole"],
    ["the whole though a part was asked for", 200, { "content-length": "10" }, 4, "whole"],
    ["a whole of another size", 200, { "content-length": "9" }, 0, "size-mismatch"],
    ["the rest", 206, { "content-range": "bytes 4-9/10" }, 4, "append"],
    ["a piece of the rest", 206, { "content-range": "bytes 4-6/*" }, 4, "append"],
    ["the rest of something else", 206, { "content-range": "bytes 4-10/11" }, 4, "size-mismatch"],
    ["another piece", 206, { "content-range": "bytes 5-9/10" }, 4, "restart"],
    ["a piece without saying which", 206, {}, 4, "restart"],
    ["no such range", 416, { "content-range": "bytes */10" }, 4, "restart"],
    ["no such range though none was asked for", 416, {}, 0, "status"],
    ["an error", 503, {}, 0, "status"],
    ["other bytes than asked for", 200, { "content-encoding": "br" }, 0, "registry-error"],
  ] as const) {
    it(`answers ${what} with ${expected}`, () => assert.equal(plan(status, headers, offset), expected));
  }
});
