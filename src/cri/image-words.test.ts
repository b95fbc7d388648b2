// Whatever a client calls an image: an answer or a refusal that says why, and nothing done.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { CriCase } from "../../test/fixtures/cri-case.js";
import { tinyImage } from "../../test/fixtures/registry/tiny-image.js";

const PAUSE = "registry.k8s.io/pause:3.9";

let cri: CriCase;
before(async () => {
  cri = await CriCase.open();
  cri.registry.addImage("pause", "3.9", tinyImage());
  await cri.pull(PAUSE);
});
after(() => cri.close());

/** Pieces of names, and what is none. */
const piece = fc.oneof(
  fc.constantFrom(
    "registry.k8s.io",
    "pause",
    "/",
    ":",
    "@",
    "sha256",
    "3.9",
    "..",
    "oci:",
    "docker-archive:",
  ),
  fc.constantFrom(
    "0123456789ab",
    "A",
    "-",
    "_",
    "localhost",
    "docker://",
    "[::1]",
    ":0",
    ":65536",
    "\0",
    "%2f",
  ),
  fc.string({ maxLength: 5, unit: "binary" }),
  fc.nat({ max: 64 }).map((length) => "f".repeat(length)),
);
const words = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));

async function codeOf(calling: Promise<unknown>): Promise<Code | undefined> {
  return await calling.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error).code,
  );
}

describe("an image's name that anybody made up", () => {
  it("is answered or refused as no name, by every call that reads", async () => {
    await fc.assert(
      fc.asyncProperty(words, async (image) => {
        const calls = [
          cri.images.imageStatus({ image: { image }, verbose: true }),
          cri.images.listImages({ filter: { image: { image } } }),
        ];
        for (const code of await Promise.all(calls.map(codeOf))) {
          assert.ok(code === undefined || code === Code.InvalidArgument, `${JSON.stringify(image)}: ${code}`);
        }
      }),
      { numRuns: 400 },
    );
    assert.equal((await cri.images.listImages({})).images.length, 1);
  });

  it("removes nothing but the image whose name or id it is", async () => {
    const id = (await cri.status(PAUSE))?.id ?? "";
    const others = words.filter((image) => image !== "" && !id.includes(image) && !image.includes("pause"));
    await fc.assert(
      fc.asyncProperty(others, async (image) => {
        const code = await codeOf(cri.images.removeImage({ image: { image } }));
        assert.ok(code === undefined || code === Code.InvalidArgument, `${JSON.stringify(image)}: ${code}`);
        assert.ok(await cri.status(id));
      }),
      { numRuns: 300 },
    );
  });
});
