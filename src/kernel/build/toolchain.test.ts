import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { KERNEL_TARGETS } from "./recipe.js";
import { hostArchitecture, isCross, planNeeds, toolsMissing } from "./toolchain.js";

const packages = (architecture: "amd64" | "arm64", cross: boolean) =>
  planNeeds(KERNEL_TARGETS[architecture], cross).map((need) => need.package);

describe("what a build needs", () => {
  it("is a compiler, Kconfig's parsers and, on x86-64, what objtool links with", () => {
    const needed = packages("amd64", false);
    for (const name of ["gcc", "make", "flex", "bison", "bc", "libelf-dev"])
      assert.ok(needed.includes(name), name);
    assert.ok(!needed.some((name) => name.startsWith("gcc-")));
  });

  it("is a cross compiler for another architecture", () => {
    assert.ok(packages("arm64", true).includes("gcc-aarch64-linux-gnu"));
    assert.ok(packages("amd64", true).includes("gcc-x86-64-linux-gnu"));
    assert.ok(!packages("arm64", true).includes("libelf-dev"));
  });

  it("is named in one line that installs it", () => {
    const error = toolsMissing(["bc", "flex"]);
    assert.ok(hasReason(error, "build-tools-missing"));
    assert.match(error.message, /bc, flex are not installed/);
    assert.equal(error.hint, "sudo apt-get install --no-install-recommends bc flex");
  });
});

describe("architectures", () => {
  it("are this machine's where none is named, and cross where they differ", () => {
    assert.equal(hostArchitecture("x64"), "amd64");
    assert.equal(isCross(KERNEL_TARGETS.arm64, "x64"), true);
    assert.equal(isCross(KERNEL_TARGETS.arm64, "arm64"), false);
    assert.throws(
      () => hostArchitecture("riscv64"),
      (error) => hasReason(error, "no-kernel-for-host"),
    );
  });
});
