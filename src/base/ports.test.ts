import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hasReason, KilnError } from "./errors.js";
import { formatHostPort, formatPortMapping, parsePortMappings } from "./ports.js";

describe("parsePortMappings", () => {
  const one: [string, string][] = [
    ["80", "0.0.0.0:0->80/tcp"],
    ["8080:80", "0.0.0.0:8080->80/tcp"],
    ["127.0.0.1:8080:80", "127.0.0.1:8080->80/tcp"],
    ["127.0.0.1::80", "127.0.0.1:0->80/tcp"],
    ["0:80", "0.0.0.0:0->80/tcp"],
    [":80", "0.0.0.0:0->80/tcp"],
    ["53:53/udp", "0.0.0.0:53->53/udp"],
    ["53:53/UDP", "0.0.0.0:53->53/udp"],
    ["[::1]:8080:80", "[::1]:8080->80/tcp"],
    ["[::]::80/tcp", "[::]:0->80/tcp"],
  ];
  for (const [text, expected] of one) {
    it(`reads ${text}`, () => {
      assert.deepEqual(parsePortMappings(text).map(formatPortMapping), [expected]);
    });
  }

  it("pairs two ranges of the same length", () => {
    assert.deepEqual(parsePortMappings("127.0.0.1:8000-8002:80-82/udp").map(formatPortMapping), [
      "127.0.0.1:8000->80/udp",
      "127.0.0.1:8001->81/udp",
      "127.0.0.1:8002->82/udp",
    ]);
  });

  it("takes a range of host ports for the first free one", () => {
    for (const [text, expected] of [
      ["18082-18084:80", "0.0.0.0:18082-18084->80/tcp"],
      ["127.0.0.1:18082-18084:80", "127.0.0.1:18082-18084->80/tcp"],
      ["[::1]:1000-3000:53/udp", "[::1]:1000-3000->53/udp"],
      ["8080-8080:80", "0.0.0.0:8080->80/tcp"],
    ] as const) {
      assert.deepEqual(parsePortMappings(text).map(formatPortMapping), [expected]);
    }
    for (const text of ["0-5:80", "8000-8010:80-81", "8010-8000:80", "80-81:1-1025"]) {
      assert.throws(
        () => parsePortMappings(text),
        (error) => hasReason(error, "bad-port"),
        text,
      );
    }
  });

  it("gives each port of a lone range any free host port", () => {
    assert.deepEqual(
      parsePortMappings("80-82").map((mapping) => [mapping.hostPort, mapping.vmPort]),
      [
        [0, 80],
        [0, 81],
        [0, 82],
      ],
    );
  });

  const bad = [
    "",
    "a",
    "0",
    "80:0",
    "65536",
    "1:65536",
    "80/sctp",
    "80/",
    "1:2:3",
    "1.2.3:80:80",
    "300.1.1.1:80:80",
    "[::1]",
    "[127.0.0.1]:1:1",
    "[::1:80",
    "::1:80:80",
    "8000-8002:80-81",
    "8002-8000",
    "1-65535",
    "-1",
    "80-",
    " 80",
    "0x50",
    "+80",
  ];
  for (const text of bad) {
    it(`refuses ${JSON.stringify(text)} and says so`, () => {
      assert.throws(
        () => parsePortMappings(text),
        (error) => hasReason(error, "bad-port") && (error as KilnError).message.includes(text),
      );
    });
  }

  it("reads back what formatPortMapping writes", () => {
    const port = fc.integer({ min: 1, max: 65535 });
    const ip = fc.oneof(fc.ipV4(), fc.ipV6());
    fc.assert(
      fc.property(ip, port, port, fc.constantFrom("tcp", "udp"), (hostIp, hostPort, vmPort, protocol) => {
        const text = `${formatHostPort(hostIp, hostPort)}:${vmPort}/${protocol}`;
        assert.deepEqual(parsePortMappings(text), [{ hostIp, hostPort, vmPort, protocol }]);
      }),
    );
  });

  it("never throws anything but a KilnError", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."0189.:[]/-tcpudp ") }), (text) => {
        try {
          parsePortMappings(text);
        } catch (error) {
          assert.ok(error instanceof KilnError);
        }
      }),
    );
  });
});
