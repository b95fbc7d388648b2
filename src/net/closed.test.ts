import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { overlaps, parseAddress, parseCidr } from "../base/cidr.js";
import { CLOSED_4, CLOSED_6, isClosed } from "./closed.js";

describe("what is closed to all guests", () => {
  it("is so in every spelling of IPv6 that leads to IPv4", () => {
    const spelled = ["127.0.0.1", "169.254.169.254", "100.100.100.200"].flatMap((address) => {
      const hex = address.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0"));
      const words = `${hex[0]}${hex[1]}:${hex[2]}${hex[3]}`;
      return [address, `::${address}`, `::ffff:${address}`, `64:ff9b::${address}`, `2002:${words}::1`];
    });
    const others = ["::1", "fe80::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe"];
    for (const address of [...spelled, ...others])
      assert.ok(isClosed(parseAddress(address) ?? assert.fail(address)), address);
    for (const address of ["10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1", "2001:db8::1", "fd00::1"])
      assert.ok(!isClosed(parseAddress(address) ?? assert.fail(address)), address);
  });

  it("has no element within another, which nft refuses", () => {
    const ranges = [...CLOSED_4, ...CLOSED_6].map((text) => parseCidr(text) ?? assert.fail(text));
    for (const [at, range] of ranges.entries())
      assert.ok(!ranges.slice(at + 1).some((other) => overlaps(range, other)), `${at}`);
  });
});
