import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { shortagesOf, verdictOnGuests } from "../system/host-watch.js";
import { type Host, meminfoField, readHost, requireDisk, requireMemory } from "./host.js";

const MIB = 1024 ** 2;

function host(free: number, available: number): Host {
  return {
    facts: { cpus: 1, memoryBytes: 1, platform: "linux/amd64" },
    freeDisk: async () => free,
    availableMemory: async () => available,
  };
}

describe("readHost", () => {
  it("finds this machine's CPUs, memory and free space", async () => {
    const here = await readHost();
    assert.ok(here.facts.cpus >= 1);
    assert.ok(here.facts.memoryBytes > (await here.availableMemory()));
    assert.ok((await here.freeDisk("/")) >= 0);
    assert.match(here.facts.platform, /^linux\/\w+$/);
  });
});

describe("meminfoField", () => {
  it("reads kB as bytes and misses what is not there", () => {
    const text = "MemTotal:       2 kB\nMemAvailable:   1 kB\n";
    assert.equal(meminfoField(text, "MemAvailable"), 1024);
    assert.equal(meminfoField(text, "MemFree"), undefined);
  });
});

describe("requireDisk", () => {
  it("lets work through that leaves the reserve, and refuses the rest with both figures", async () => {
    await requireDisk(host(100 * MIB, 0), "pull x", "/data", 40 * MIB, 60 * MIB);
    await assert.rejects(requireDisk(host(100 * MIB, 0), "pull x", "/data", 41 * MIB, 60 * MIB), (error) => {
      return (
        hasReason(error, "host-disk-full") &&
        /^pull x: only 105MB are free at \/data/.test((error as Error).message)
      );
    });
  });
});

describe("requireMemory", () => {
  it("asks for what a guest needs to boot, not for all that it may take", async () => {
    await requireMemory(host(0, 400 * MIB), "urn", 8192 * MIB, 128 * MIB);
    await assert.rejects(requireMemory(host(0, 300 * MIB), "urn", 8192 * MIB, 128 * MIB), (error) =>
      hasReason(error, "host-memory-short"),
    );
    await requireMemory(host(0, 300 * MIB), "urn", 64 * MIB, 128 * MIB);
  });
});

describe("shortagesOf", () => {
  it("names what is below its reserve", () => {
    assert.deepEqual(shortagesOf({ freeDisk: 10, availableMemory: 10 }, 10, 10), []);
    assert.deepEqual(shortagesOf({ freeDisk: 9, availableMemory: 9 }, 10, 10), ["disk", "memory"]);
  });
});

describe("verdictOnGuests", () => {
  it("stops them well before the disk is full, and lets them go on only with the reserve back", () => {
    const verdicts = [24, 25, 99, 100].map((free) => verdictOnGuests(free, 100));
    assert.deepEqual(verdicts, ["stop", "leave", "leave", "go-on"]);
  });
});
