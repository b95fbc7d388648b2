import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { Code } from "../base/errors.js";
import { ErrorInfoSchema } from "../gen/kiln/v1/types_pb.js";
import { decodeErrorInfo } from "./error-info.js";
import { errorFromWire } from "./wire-error.js";

describe("decodeErrorInfo", () => {
  it("reads what the protobuf runtime writes", () => {
    const info = fc.record({
      reason: fc.string({ minLength: 1, unit: "grapheme" }),
      hint: fc.string({ unit: "grapheme" }),
      details: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string({ unit: "grapheme" }), {
        maxKeys: 5,
      }),
    });
    fc.assert(
      fc.property(info, (value) => {
        const bytes = toBinary(ErrorInfoSchema, create(ErrorInfoSchema, value));
        assert.deepEqual(decodeErrorInfo(bytes), { ...value, details: { ...value.details } });
      }),
    );
  });

  it("passes over fields it does not know", () => {
    const known = toBinary(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "x" }));
    const unknown = Buffer.from([0x48, 0x96, 0x01, 0x51, 1, 2, 3, 4, 5, 6, 7, 8, 0x5d, 1, 2, 3, 4]);
    assert.equal(decodeErrorInfo(Buffer.concat([unknown, known]))?.reason, "x");
  });

  it("never throws, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const info = decodeErrorInfo(bytes);
        assert.ok(info === undefined || typeof info.reason === "string");
      }),
    );
  });
});

describe("errorFromWire", () => {
  it("brings code, message, reason, hint and details back", () => {
    const info = create(ErrorInfoSchema, { reason: "vm-not-found", hint: "look", details: { vm: "web" } });
    const value = Buffer.from(toBinary(ErrorInfoSchema, info)).toString("base64").replace(/=+$/, "");
    const error = errorFromWire({
      code: "not_found",
      message: "no such VM: web",
      details: [
        { type: "google.rpc.Other", value: "AAAA" },
        { type: "kiln.v1.ErrorInfo", value },
      ],
    });
    assert.equal(error.code, Code.NotFound);
    assert.equal(error.message, "no such VM: web");
    assert.equal(error.reason, "vm-not-found");
    assert.equal(error.hint, "look");
    assert.deepEqual(error.details, { vm: "web" });
  });

  it("makes something of an error without details", () => {
    const error = errorFromWire({ code: "resource_exhausted" });
    assert.equal(error.code, Code.ResourceExhausted);
    assert.equal(error.reason, "resource-exhausted");
  });

  it("knows Connect's own words for cancelled and timed out", () => {
    assert.equal(errorFromWire({ code: "canceled" }).code, Code.Cancelled);
    assert.equal(errorFromWire({ code: "deadline_exceeded" }).reason, "timeout");
  });

  it("takes any JSON", () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => assert.ok(errorFromWire(value).message.length > 0)));
  });
});
