import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KilnError } from "../base/errors.js";
import { describeSource, parseImageSource } from "./source.js";

describe("parseImageSource", () => {
  it("reads a plain name as a registry's", () => {
    const source = parseImageSource("alpine");
    assert.deepEqual(source, {
      kind: "registry",
      reference: { registry: "docker.io", repository: "library/alpine", tag: "latest" },
    });
  });
  it("reads a layout directory with and without a tag", () => {
    assert.deepEqual(parseImageSource("oci:/srv/x"), { kind: "oci", path: "/srv/x" });
    assert.deepEqual(parseImageSource("oci:/srv/x:v1"), { kind: "oci", path: "/srv/x", tag: "v1" });
  });
  it("takes a full name as a layout's tag, colon included", () => {
    const source = parseImageSource("oci-archive:/x.tar:ghcr.io/a/b:v1");
    assert.deepEqual(source, { kind: "oci-archive", path: "/x.tar", tag: "ghcr.io/a/b:v1" });
  });
  it("reads the image of a docker archive by name or by index", () => {
    const named = parseImageSource("docker-archive:/x.tar:nginx:1.25");
    assert.equal(describeSource(named), "docker-archive:/x.tar:docker.io/library/nginx:1.25");
    assert.deepEqual(parseImageSource("docker-archive:/x.tar:@2"), {
      kind: "docker-archive",
      path: "/x.tar",
      index: 2,
    });
  });
  it("lets docker:// reach an image that is called like a transport", () => {
    assert.equal(describeSource(parseImageSource("docker://oci:x")), "docker.io/library/oci:x");
  });

  for (const [text, why] of [
    ["oci:", /no path/],
    ["oci:relative/dir", /must be absolute/],
    ["oci:/a\0b", /no path/],
    ["oci:/a:bad tag", /not a tag/],
    [`docker-archive:/a:x@sha256:${"a".repeat(64)}`, /not by digest/],
  ] as const) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parseImageSource(text),
        (error: unknown) =>
          error instanceof KilnError && error.reason === "invalid-image-source" && why.test(error.message),
      );
    });
  }
});
