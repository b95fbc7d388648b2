import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  blob,
  indexOf,
  manifestOf,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  tinyImage,
} from "../../test/fixtures/registry/tiny-image.js";
import { KilnError } from "../base/errors.js";
import { DEFAULT_LIMITS } from "./limits.js";
import { checkRunnable, type ImageManifest, makeManifest, parseManifest, selectEntry } from "./manifest.js";

const AMD64 = { os: "linux", architecture: "amd64" };

function failsWith(reason: string, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof KilnError);
    assert.equal(error.reason, reason);
    assert.match(error.message, message);
    return true;
  };
}

function imageManifest(replaced: object = {}): ImageManifest {
  const image = tinyImage();
  const parsed = parseManifest(manifestOf(image.config, image.layers, replaced).bytes, OCI_MANIFEST, "x");
  assert.equal(parsed.kind, "manifest");
  return parsed as ImageManifest;
}

describe("parseManifest", () => {
  const image = tinyImage();

  it("reads an OCI manifest", () => {
    const parsed = parseManifest(image.manifest.bytes, OCI_MANIFEST, "x");
    assert.equal(parsed.kind === "manifest" && parsed.config.digest, image.config.digest);
  });
  it("lets the document decide where the server only says JSON", () => {
    assert.equal(
      parseManifest(image.manifest.bytes, "application/json; charset=utf-8", "x").kind,
      "manifest",
    );
    assert.equal(parseManifest(indexOf([{ image }]).bytes, undefined, "x").kind, "index");
  });
  it("refuses schema 1 by name", () => {
    const old = JSON.stringify({ schemaVersion: 1, fsLayers: [] });
    assert.throws(
      () => parseManifest(Buffer.from(old), "application/json", "x"),
      failsWith("unknown-media-type", /schema 1/),
    );
  });
  it("refuses a media type that it does not know", () => {
    assert.throws(
      () => parseManifest(Buffer.from("{}"), "application/vnd.example+json", "x"),
      failsWith("unknown-media-type", /vnd\.example/),
    );
  });
  it("refuses a document that calls itself other than it is served", () => {
    assert.throws(
      () => parseManifest(image.manifest.bytes, OCI_INDEX, "x"),
      failsWith("invalid-manifest", /calls itself/),
    );
  });
  it("refuses a document that is manifest and index at once", () => {
    const both = manifestOf(image.config, image.layers, { manifests: [] });
    assert.throws(
      () => parseManifest(both.bytes, OCI_MANIFEST, "x"),
      failsWith("invalid-manifest", /at once/),
    );
  });
  it("refuses other digests than sha256, saying so", () => {
    const odd = { config: { mediaType: "x", digest: `sha512:${"a".repeat(128)}`, size: 2 } };
    assert.throws(() => imageManifest(odd), failsWith("unsupported-digest", /not sha256/));
  });
  for (const [what, replaced] of [
    ["a negative size", { config: { mediaType: "x", digest: `sha256:${"a".repeat(64)}`, size: -1 } }],
    [
      "a size that is no integer",
      { config: { mediaType: "x", digest: `sha256:${"a".repeat(64)}`, size: 1e300 } },
    ],
    ["layers that are no list", { layers: {} }],
    ["no config", { config: null }],
  ] as const) {
    it(`refuses ${what}`, () =>
      assert.throws(() => imageManifest(replaced), failsWith("invalid-manifest", /./)));
  }
  for (const text of ["", "null", "[]", "nonsense", "\xff\xfe"]) {
    it(`refuses ${JSON.stringify(text)} as a manifest`, () => {
      const bytes = Buffer.from(text, "latin1");
      assert.throws(() => parseManifest(bytes, OCI_MANIFEST, "x"), failsWith("invalid-manifest", /./));
    });
  }
  it("throws nothing but KilnErrors, whatever the document", () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(OCI_MANIFEST, OCI_INDEX, undefined), (text, type) => {
        try {
          parseManifest(Buffer.from(text), type, "x");
        } catch (error) {
          assert.ok(error instanceof KilnError);
        }
      }),
    );
  });
});

describe("selectEntry", () => {
  const image = tinyImage();
  const select = (platforms: (string | undefined)[], wanted = AMD64) => {
    const entries = platforms.map((platform) => ({ image, ...(platform === undefined ? {} : { platform }) }));
    const index = parseManifest(indexOf(entries).bytes, OCI_INDEX, "img");
    assert.equal(index.kind, "index");
    return index.kind === "index" ? selectEntry(index, wanted, "img") : undefined;
  };

  it("takes the entry of the platform", () => {
    assert.equal(select(["linux/arm64", "linux/amd64"])?.platform?.architecture, "amd64");
  });
  it("takes the best of the ARM variants that fit", () => {
    const arm = { os: "linux", architecture: "arm", variant: "v7" };
    assert.equal(select(["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], arm)?.platform?.variant, "v6");
  });
  it("lists what there is, attestations left out", () => {
    assert.throws(
      () => select(["linux/arm64", "unknown/unknown", "linux/s390x"]),
      failsWith("no-such-platform", /not built for linux\/amd64; it is for linux\/arm64, linux\/s390x$/),
    );
  });
  it("takes an entry without a platform where nothing else fits", () => {
    assert.equal(select(["linux/arm64", undefined])?.platform, undefined);
  });
});

describe("checkRunnable", () => {
  const check = (replaced: object, limits = {}) =>
    checkRunnable(imageManifest(replaced), { ...DEFAULT_LIMITS, ...limits }, "img");
  const digest = `sha256:${"b".repeat(64)}`;

  it("lets an image through", () => assert.doesNotThrow(() => check({})));
  it("refuses an artifact", () => {
    const config = { mediaType: "application/vnd.cncf.helm.config.v1+json", digest, size: 2 };
    assert.throws(() => check({ config }), failsWith("not-an-image", /helm/));
  });
  it("lets non-distributable layers through: who has them may run them", () => {
    for (const mediaType of [
      "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
      "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    ])
      assert.doesNotThrow(() => check({ layers: [{ mediaType, digest, size: 1 }] }));
  });
  for (const mediaType of [
    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
    "application/x-other",
    "",
  ]) {
    it(`refuses a layer of type ${JSON.stringify(mediaType)}`, () => {
      assert.throws(
        () => check({ layers: [{ mediaType, digest, size: 1 }] }),
        failsWith("unknown-media-type", /./),
      );
    });
  }
  it("bounds the size of a layer, of all layers, of the config, and their number", () => {
    const layers = [1, 2].map(() => ({ mediaType: OCI_LAYER, digest, size: 600 }));
    for (const limits of [{ layerBytes: 599 }, { imageBytes: 1199 }, { layers: 1 }, { configBytes: 1 }]) {
      assert.throws(() => check({ layers }, limits), failsWith("image-too-large", /above the limit/));
    }
  });
});

describe("makeManifest", () => {
  it("makes the same readable bytes each time", () => {
    const image = tinyImage();
    const { digest, bytes } = blob(image.config.bytes, "");
    const layers = [{ mediaType: OCI_LAYER, digest, size: 3 }];
    const made = makeManifest({ digest, size: bytes.length }, layers);
    assert.deepEqual(made, makeManifest({ digest, size: bytes.length }, layers));
    assert.equal(parseManifest(made, undefined, "x").kind, "manifest");
  });
});
