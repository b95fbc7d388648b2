import assert from "node:assert/strict";
import { it } from "node:test";
import { create, toJson } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { nsFromTimestamp, timestampFromNs } from "./convert-vm.js";

it("carries times before 1970 with a part of a second", () => {
  for (const [ns, iso] of [
    [-1_500_000_000n, "1969-12-31T23:59:58.500Z"],
    [-1n, "1969-12-31T23:59:59.999999999Z"],
    [-315_619_200_000_000_000n, "1960-01-01T00:00:00Z"],
    [1_500_000_000n, "1970-01-01T00:00:01.500Z"],
  ] as const) {
    const time = timestampFromNs(ns);
    assert.equal(toJson(TimestampSchema, create(TimestampSchema, time)), iso);
    assert.equal(nsFromTimestamp(time), ns);
  }
});
