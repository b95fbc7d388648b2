import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ExitStatusSchema } from "../gen/kiln/agent/v1/common_pb.js";
import { explainNotStarted } from "./guest-text.js";
import { programEnd } from "./program-end.js";

describe("a program that could not be started", () => {
  it("is explained where it is a flag of kiln's behind the image's or the VM's name", () => {
    const hint = " (flags of kiln stand before the name of the image or the VM)";
    for (const said of ["start -it: not found in PATH", "start --rm: not found in PATH"]) {
      assert.equal(explainNotStarted(said), said + hint);
      assert.equal(programEnd(create(ExitStatusSchema, { code: 127, error: said })).error, said + hint);
    }
  });

  it("is not explained else", () => {
    for (const said of [
      "start it: not found in PATH",
      "start /bin/-it: not found",
      "start -x: no rights",
      "",
    ]) {
      assert.equal(explainNotStarted(said), said);
    }
  });
});
