import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import { Code, KilnError } from "../base/errors.js";
import { ErrorInfoSchema } from "../gen/kiln/v1/types_pb.js";
import { toConnectError } from "./errors.js";

describe("toConnectError", () => {
  it("keeps code, message, reason, hint and details", () => {
    const error = new KilnError(Code.NotFound, "no such VM: x", {
      reason: "vm-not-found",
      hint: "look",
      details: { vm: "x" },
    });
    const status = toConnectError(error);
    assert.equal(status.code, ConnectCode.NotFound);
    assert.equal(status.rawMessage, "no such VM: x");
    const [info] = status.findDetails(ErrorInfoSchema);
    assert.deepEqual([info?.reason, info?.hint, info?.details], ["vm-not-found", "look", { vm: "x" }]);
  });

  it("makes the nearest status of anything else", () => {
    const missing = Object.assign(new Error("gone"), { code: "ENOENT" });
    assert.equal(toConnectError(missing).code, ConnectCode.NotFound);
    assert.equal(toConnectError("text").code, ConnectCode.Unknown);
    assert.equal(toConnectError(new Error("bug")).code, ConnectCode.Internal);
    assert.equal(toConnectError(AbortSignal.abort().reason).code, ConnectCode.Canceled);
  });

  it("leaves a status as it is", () => {
    const status = new ConnectError("x", ConnectCode.Aborted);
    assert.equal(toConnectError(status), status);
  });
});
