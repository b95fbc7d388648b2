import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { x86Level } from "./cpu-level.js";

const V2 = "fpu sse sse2 syscall nx lm pni ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm";
const V3 = `${V2} fma movbe xsave avx f16c abm bmi1 avx2 bmi2`;
const V4 = `${V3} avx512f avx512dq avx512cd avx512bw avx512vl`;
const cpuinfo = (flags: string) => `processor\t: 0\nflags\t\t: ${flags}\nbugs\t\t: sysret\n`;

describe("x86Level", () => {
  for (const [what, text, level] of [
    ["v4", cpuinfo(V4), 4],
    ["v3", cpuinfo(V3), 3],
    ["v2", cpuinfo(V2), 2],
    ["a v3 that lacks one feature as v2", cpuinfo(V3.replace(" movbe", "")), 2],
    ["a v4 that lacks one of v2's as v1", cpuinfo(V4.replace(" popcnt", "")), 1],
    ["a first processor", cpuinfo("fpu lm"), 1],
    ["another architecture's file", "Features\t: fp asimd\n", 1],
    ["nothing", "", 1],
  ] as const)
    it(`reads ${what}`, () => assert.equal(x86Level(text), level));
});
