import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type BuildInputs,
  buildKey,
  hashConfiguration,
  KERNEL_TARGETS,
  planEnvironment,
  planMake,
  planPatch,
} from "./recipe.js";

const INPUTS: BuildInputs = {
  target: KERNEL_TARGETS.amd64,
  source: "linux-source-6.1 6.1.192-2",
  configuration: "c".repeat(64),
  compiler: "gcc (Debian 12.2.0-14+deb12u1) 12.2.0",
  linker: "GNU ld (GNU Binutils for Debian) 2.40",
};
const PLACES = { tree: "/w/linux", home: "/w/home", temporary: "/w/tmp" };

describe("a build's key", () => {
  it("is the same for the same inputs", () => {
    assert.match(buildKey(INPUTS), /^[0-9a-f]{64}$/);
    assert.equal(buildKey({ ...INPUTS }), buildKey(INPUTS));
  });

  for (const [what, change] of [
    ["architecture", { target: KERNEL_TARGETS.arm64 }],
    ["source", { source: "linux-source-6.1 6.1.190-1" }],
    ["configuration", { configuration: "d".repeat(64) }],
    ["compiler", { compiler: "gcc (Debian 14.2.0-19) 14.2.0" }],
    ["linker", { linker: "GNU ld (GNU Binutils for Debian) 2.44" }],
  ] as const) {
    it(`is another one with another ${what}`, () => {
      assert.notEqual(buildKey({ ...INPUTS, ...change }), buildKey(INPUTS));
    });
  }
});

describe("the hash of a configuration", () => {
  it("changes with a text, and with a line that moves to the next file", () => {
    const hash = (common: string, arch: string) =>
      hashConfiguration([
        { file: "common.config", text: common },
        { file: "x86_64.config", text: arch },
      ]);
    assert.equal(hash("A\n", "B\n"), hash("A\n", "B\n"));
    assert.notEqual(hash("A\n", "B\n"), hash("A\nB\n", ""));
    assert.notEqual(hash("A\n", "B\n"), hash("A\n", "C\n"));
  });
});

describe("a patch", () => {
  it("is laid over the tree without a guess, and never asks", () => {
    assert.deepEqual(planPatch(PLACES, "/w/in/a.patch"), [
      "patch",
      "--directory=/w/linux",
      "--strip=1",
      "--forward",
      "--batch",
      "--fuzz=0",
      "--no-backup-if-mismatch",
      "--input=/w/in/a.patch",
    ]);
  });
});

describe("make's words", () => {
  it("name the tree, the architecture and the goal", () => {
    assert.deepEqual(planMake(KERNEL_TARGETS.amd64, false, PLACES, "vmlinux", 4), [
      "--directory=/w/linux",
      "--jobs=4",
      "ARCH=x86_64",
      "vmlinux",
    ]);
  });

  it("name the cross compiler where there is one", () => {
    const words = planMake(KERNEL_TARGETS.arm64, true, PLACES, "Image");
    assert.ok(words.includes("ARCH=arm64") && words.includes("CROSS_COMPILE=aarch64-linux-gnu-"));
  });
});

describe("the environment of a build", () => {
  const env = planEnvironment(PLACES, 1_794_824_260);

  it("fixes all that a kernel says about its making", () => {
    assert.equal(env.KBUILD_BUILD_USER, "kiln");
    assert.equal(env.KBUILD_BUILD_HOST, "kiln");
    assert.equal(env.KBUILD_BUILD_VERSION, "1");
    assert.equal(env.KBUILD_BUILD_TIMESTAMP, "Mon Nov 16 10:17:40 UTC 2026");
    assert.equal(env.SOURCE_DATE_EPOCH, "1794824260");
    assert.equal(env.LOCALVERSION, "");
  });

  it("pads the day of the month as date(1) does", () => {
    assert.equal(planEnvironment(PLACES, 0).KBUILD_BUILD_TIMESTAMP, "Thu Jan  1 00:00:00 UTC 1970");
  });

  it("holds nothing of the caller's", () => {
    assert.equal(env.PATH, "/usr/sbin:/usr/bin:/sbin:/bin");
    assert.deepEqual([env.HOME, env.TMPDIR, env.LC_ALL, env.TZ], ["/w/home", "/w/tmp", "C", "UTC"]);
    assert.equal(Object.keys(env).length, 11);
  });
});
