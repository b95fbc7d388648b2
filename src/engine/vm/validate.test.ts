import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason, type KilnError } from "../../base/errors.js";
import type { HostFacts } from "../host/host.js";
import { parseHostEntry, validateConfig } from "./validate.js";
import { defaultConfig, type VmConfig } from "./vm-config.js";

const MIB = 1024 ** 2;
const HOST: HostFacts = { cpus: 4, memoryBytes: 8192 * MIB, platform: "linux/amd64" };

function validate(changes: Partial<VmConfig>): VmConfig {
  return validateConfig({ ...defaultConfig("app"), ...changes }, HOST);
}

describe("validateConfig", () => {
  it("names the unit that a size lacks", () => {
    const hint = (hint: string) => ({ hint });
    assert.throws(() => validate({ memoryBytes: 64 }), hint("did you mean --memory 64m?"));
    assert.throws(() => validate({ diskBytes: 10 }), hint("did you mean --disk 10g?"));
    assert.throws(() => validate({ memoryBytes: 6 * MIB }), hint("give at least 64m"));
    assert.throws(() => validate({ cpus: 1.5 }), hint("give --cpus 2"));
  });

  it("fills the defaults in", () => {
    const { cpus, memoryBytes, diskBytes } = validate({});
    assert.deepEqual([cpus, memoryBytes, diskBytes], [1, 512 * MIB, 65_536 * MIB]);
  });

  it("takes the longest host name that Linux takes", () => {
    const hostname = "x".repeat(64);
    assert.equal(validateConfig({ ...defaultConfig("app"), hostname }, HOST).hostname, hostname);
  });

  it("rounds memory and disk up", () => {
    const { memoryBytes, diskBytes } = validate({
      memoryBytes: 100 * MIB + 1,
      diskBytes: 100 * MIB + 1,
    });
    assert.deepEqual([memoryBytes, diskBytes], [101 * MIB, 101 * MIB]);
  });

  const refused: [string, Partial<VmConfig>, string][] = [
    ["no image", { image: "" }, "bad-image"],
    ["a bad name", { name: "-x" }, "bad-name"],
    ["a bad host name", { hostname: "a b" }, "bad-hostname"],
    ["a host name with an empty part", { hostname: "a..b" }, "bad-hostname"],
    ["a host name longer than Linux takes", { hostname: "x".repeat(65) }, "bad-hostname"],
    ["half of a character", { command: ["a\ud800"] }, "bad-argument"],
    ["half of a character in a variable", { env: ["A=\udc00"] }, "bad-argument"],
    [
      "a range of host ports that runs backwards",
      { publish: [{ hostIp: "", hostPort: 9, hostPortEnd: 8, vmPort: 1, protocol: "tcp" }] },
      "bad-port",
    ],
    [
      "more ports than a VM may publish",
      {
        publish: Array.from({ length: 1025 }, (_, at) => ({
          hostIp: "",
          hostPort: 0,
          vmPort: at + 1,
          protocol: "tcp" as const,
        })),
      },
      "too-many-ports",
    ],
    ["a label without a name", { labels: { "": "x" } }, "bad-label"],
    ["a negative number of CPUs", { cpus: -1 }, "bad-cpus"],
    ["no number of CPUs", { cpus: Number.NaN }, "bad-cpus"],
    ["half a CPU", { cpus: 0.5 }, "bad-cpus"],
    ["one and a half", { cpus: 1.5 }, "bad-cpus"],
    ["more CPUs than the host has", { cpus: 5 }, "too-many-cpus"],
    ["too little memory", { memoryBytes: MIB }, "memory-too-small"],
    ["more memory than the host has", { memoryBytes: 9000 * MIB }, "memory-too-large"],
    ["a disk that is too small", { diskBytes: MIB }, "bad-disk-size"],
    ["a disk that is too large", { diskBytes: 1024 ** 5 }, "bad-disk-size"],
    ["another operating system", { platform: "windows/amd64" }, "invalid-platform"],
    ["a platform that is none", { platform: "linux/amd64/v2/x" }, "invalid-platform"],
    ["an entry that is none", { env: [""] }, "bad-env"],
    ["an entry without a name", { env: ["=x"] }, "bad-env"],
    ["a NUL byte", { command: ["a\0b"] }, "bad-argument"],
    ["a megabyte of arguments", { command: ["x".repeat(1024 ** 2 + 1)] }, "arguments-too-long"],
    ["a relative directory", { workdir: "srv" }, "bad-workdir"],
    ["a newline for the kernel", { kernelArgs: ["a\nb"] }, "bad-kernel-args"],
    ["a DNS server that is no address", { dns: ["example.org"] }, "bad-dns"],
    ["a host entry without an address", { addHosts: ["name"] }, "bad-add-host"],
    ["a bad stop signal", { stopSignal: "FOO" }, "bad-signal"],
    [
      "--rm with a restart policy",
      { autoRemove: true, restart: { name: "always", maximumRetryCount: 0 } },
      "rm-with-restart",
    ],
    [
      "retries without on-failure",
      { restart: { name: "always", maximumRetryCount: 3 } },
      "bad-restart-policy",
    ],
    ["port 0 in the VM", { publish: [{ hostIp: "", hostPort: 1, vmPort: 0, protocol: "tcp" }] }, "bad-port"],
    [
      "a name to publish on",
      { publish: [{ hostIp: "localhost", hostPort: 1, vmPort: 1, protocol: "tcp" }] },
      "bad-port",
    ],
  ];
  for (const [what, changes, reason] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => validate(changes),
        (error) => hasReason(error, reason),
      );
    });
  }

  it("refuses the same host port twice, but not any free port twice", () => {
    const port = (hostPort: number) => ({ hostIp: "", hostPort, vmPort: 80, protocol: "tcp" as const });
    assert.throws(
      () => validate({ publish: [port(80), port(80)] }),
      (error) => hasReason(error, "duplicate-port"),
    );
    assert.equal(validate({ publish: [port(0), port(0)] }).publish.length, 2);
  });

  it("names what was asked for and what there is", () => {
    assert.throws(
      () => validate({ memoryBytes: 9216 * MIB }),
      (error) => /9GiB.*8GiB/.test((error as KilnError).message),
    );
  });
});

describe("parseHostEntry", () => {
  it("reads IPv4 and IPv6, with and without brackets", () => {
    assert.deepEqual(parseHostEntry("db:10.0.0.1"), { name: "db", address: "10.0.0.1" });
    assert.deepEqual(parseHostEntry("db:fe80::1"), { name: "db", address: "fe80::1" });
    assert.deepEqual(parseHostEntry("db:[::1]"), { name: "db", address: "::1" });
  });
});
