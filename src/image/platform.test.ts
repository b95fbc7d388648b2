import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KilnError } from "../base/errors.js";
import { formatPlatform, hostPlatform, parsePlatform, rankPlatform } from "./platform.js";

describe("parsePlatform", () => {
  for (const [text, expected] of [
    ["linux/amd64", "linux/amd64"],
    ["amd64", "linux/amd64"],
    ["x86_64", "linux/amd64"],
    ["linux/aarch64", "linux/arm64"],
    ["linux/arm64/v8", "linux/arm64"],
    ["linux/arm", "linux/arm/v7"],
    ["linux/arm/6", "linux/arm/v6"],
    ["armhf", "linux/arm/v7"],
    ["Linux/AMD64/v3", "linux/amd64/v3"],
  ] as const) {
    it(`reads ${text} as ${expected}`, () => assert.equal(formatPlatform(parsePlatform(text)), expected));
  }
  for (const text of ["", "linux/", "windows/amd64", "a/b/c/d", "linux/am d64"]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parsePlatform(text),
        (error: unknown) => error instanceof KilnError && error.reason === "invalid-platform",
      );
    });
  }
});

describe("rankPlatform", () => {
  const rank = (wanted: string, offered: string) =>
    rankPlatform(parsePlatform(wanted), parsePlatform(offered));

  it("is 0 for the same platform in other words", () => {
    assert.equal(rank("linux/arm64", "linux/aarch64/v8"), 0);
    assert.equal(rank("linux/amd64/v1", "linux/amd64"), 0);
  });
  it("prefers the newer of the older ARM variants", () => {
    assert.equal(rank("linux/arm/v7", "linux/arm/v6"), 10);
    assert.equal(rank("linux/arm/v7", "linux/arm/v5"), 20);
  });
  const best = (wanted: string, ...offered: string[]) =>
    offered
      .filter((text) => rank(wanted, text) !== undefined)
      .sort((a, b) => (rank(wanted, a) ?? 0) - (rank(wanted, b) ?? 0));
  it("takes the highest level of amd64 that the machine has, and 386 last", () => {
    const all = [
      "linux/386",
      "linux/amd64",
      "linux/amd64/v4",
      "linux/amd64/v2",
      "linux/amd64/v3",
      "linux/arm64",
    ];
    assert.deepEqual(best("linux/amd64/v3", ...all), [
      "linux/amd64/v3",
      "linux/amd64/v2",
      "linux/amd64",
      "linux/386",
    ]);
    assert.deepEqual(best("linux/amd64", ...all), ["linux/amd64", "linux/386"]);
    assert.deepEqual(best("linux/386", ...all), ["linux/386"]);
  });
  it("runs arm64's v8 on v9, never the reverse", () => {
    assert.deepEqual(best("linux/arm64/v9", "linux/arm64", "linux/arm64/v9", "linux/arm64/v9.2"), [
      "linux/arm64/v9",
      "linux/arm64",
    ]);
    assert.deepEqual(best("linux/arm64", "linux/arm64/v8.2", "linux/arm64/v9", "linux/arm64/v8"), [
      "linux/arm64/v8",
    ]);
  });
  it("knows nothing of a variant that it does not know", () => {
    assert.equal(rank("linux/amd64/v3", "linux/amd64/fast"), undefined);
    assert.equal(rank("linux/amd64/fast", "linux/amd64"), undefined);
    assert.equal(rank("linux/amd64/fast", "linux/amd64/fast"), 0);
    assert.equal(rank("linux/riscv64/v3", "linux/riscv64/v2"), undefined);
  });
  it("does not run what is newer than the machine", () => {
    assert.equal(rank("linux/arm/v6", "linux/arm/v7"), undefined);
    assert.equal(rank("linux/amd64", "linux/amd64/v3"), undefined);
    assert.equal(rank("linux/amd64/v3", "linux/amd64/v4"), undefined);
  });
  it("does not run another architecture", () => assert.equal(rank("linux/amd64", "linux/arm64"), undefined));
});

describe("hostPlatform", () => {
  it("speaks OCI's words for Node's", () => {
    assert.equal(formatPlatform(hostPlatform("x64")), "linux/amd64");
    assert.equal(formatPlatform(hostPlatform("arm")), "linux/arm/v7");
    assert.equal(formatPlatform(hostPlatform("ppc64")), "linux/ppc64le");
  });
});
