import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KilnError } from "../base/errors.js";
import { lookUp, planRemoval } from "./lookup.js";
import type { StoredImage } from "./types.js";

function image(hex: string, names: string[], digests: string[] = []): StoredImage {
  return {
    id: `sha256:${hex.padEnd(64, "0")}`,
    names,
    digests,
    manifestDigest: `sha256:${"d".repeat(64)}`,
    platform: { os: "linux", architecture: "amd64" },
    run: {
      env: [],
      entrypoint: [],
      cmd: [],
      workdir: "",
      user: "",
      labels: {},
      exposedPorts: [],
      volumes: [],
      stopSignal: "",
    },
    layers: [],
    sizeBytes: 1,
    createdAt: "2024-01-01T00:00:00Z",
  };
}

const INDEX_DIGEST = `sha256:${"e".repeat(64)}`;
const nginx = image(
  "abc1",
  ["docker.io/library/nginx:1.25", "docker.io/library/nginx:latest", "ghcr.io/me/web:v1"],
  [`docker.io/library/nginx@${INDEX_DIGEST}`, `ghcr.io/me/web@${INDEX_DIGEST}`],
);
const other = image("abc2", ["docker.io/library/cafe:latest"]);
const dangling = image("cafe", [], [`docker.io/library/old@${INDEX_DIGEST}`]);
const all = [nginx, other, dangling];
const find = (key: string) => lookUp(key, all)?.image.id;

describe("lookUp", () => {
  it("finds what a layout brought by its short name, after a registry's of that name", () => {
    const local = image("abc3", ["localhost/debian:bookworm", "localhost/nginx:latest"]);
    const inAll = (key: string) => lookUp(key, [...all, local])?.image.id;
    assert.equal(inAll("debian:bookworm"), local.id);
    assert.equal(inAll("nginx"), nginx.id);
    for (const key of [
      "debian",
      "docker.io/debian:bookworm",
      "ghcr.io/debian:bookworm",
      "library/debian:bookworm",
    ])
      assert.equal(inAll(key), undefined, key);
    const found = lookUp("debian:bookworm", [local]);
    assert.equal(found?.by === "name" ? found.name : "", "localhost/debian:bookworm");
  });
  it("finds by every spelling of a name", () => {
    for (const key of [
      "nginx",
      "nginx:1.25",
      "docker.io/nginx",
      "docker://nginx:latest",
      "ghcr.io/me/web:v1",
    ]) {
      assert.equal(find(key), nginx.id, key);
    }
  });
  it("finds by digest, a tag beside it notwithstanding", () => {
    assert.equal(find(`nginx@${INDEX_DIGEST}`), nginx.id);
    assert.equal(find(`nginx:other@${INDEX_DIGEST}`), nginx.id);
  });
  it("finds by the digest of the platform's own manifest", () => {
    assert.equal(find(`nginx@${nginx.manifestDigest}`), nginx.id);
  });
  it("does not find a digest in another repository", () =>
    assert.equal(find(`redis@${INDEX_DIGEST}`), undefined));
  it("finds by id, whole or in part, marked or not", () => {
    for (const key of [nginx.id, nginx.id.slice(7), "abc1", "sha256:abc1"])
      assert.equal(find(key), nginx.id, key);
  });
  it("prefers a name to an id that begins like it", () => assert.equal(find("cafe"), other.id));
  it("reads a marked id as an id, whatever is called so", () =>
    assert.equal(find("sha256:cafe"), dangling.id));
  it("says which images an ambiguous id could mean", () => {
    assert.throws(
      () => find("abc"),
      (error: unknown) =>
        error instanceof KilnError && error.reason === "ambiguous-id" && /nginx.*cafe/.test(error.message),
    );
  });
  it("knows nothing of what is not there", () => {
    for (const key of ["redis", "fff", "", "UPPER", "a b"]) assert.equal(find(key), undefined, key);
  });
});

describe("planRemoval", () => {
  const plan = (key: string, images = all) => {
    const found = lookUp(key, images);
    assert.ok(found);
    return planRemoval(found);
  };

  it("takes only the tag while others are left", () => {
    assert.deepEqual(plan("nginx:1.25"), { untagged: ["docker.io/library/nginx:1.25"], deletes: false });
  });
  it("takes a repository's digests with its last tag", () => {
    assert.deepEqual(plan("ghcr.io/me/web:v1"), {
      untagged: ["ghcr.io/me/web:v1", `ghcr.io/me/web@${INDEX_DIGEST}`],
      deletes: false,
    });
  });
  it("deletes with the last name", () => {
    assert.deepEqual(plan("cafe"), { untagged: ["docker.io/library/cafe:latest"], deletes: true });
  });
  it("deletes an image that had only a digest by that digest", () => {
    assert.equal(plan(`old@${INDEX_DIGEST}`).deletes, true);
  });
  it("takes only the digest where tags are left", () => {
    assert.deepEqual(plan(`nginx@${INDEX_DIGEST}`), {
      untagged: [`docker.io/library/nginx@${INDEX_DIGEST}`],
      deletes: false,
    });
  });
  it("takes everything by id", () => {
    const { untagged, deletes } = plan("abc1");
    assert.equal(untagged.length, 5);
    assert.equal(deletes, true);
  });
});
