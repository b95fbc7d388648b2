import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { planDisks } from "../disks/disk-set.js";
import { requireFindable } from "./guest-disks.js";

const BOOT = { base: "/base", cow: "/cow", modules: "/modules" };
const EXTRA = { id: "data", path: "/data", readOnly: true };

/** An agent that can do that much, and how often it was asked. */
function agent(features: readonly string[]) {
  const asked: string[] = [];
  const has = async (feature: string) => {
    asked.push(feature);
    return features.includes(feature);
  };
  return { asked, features: { has } };
}

const limits = () => ({ signal: new AbortController().signal, timeoutMs: 10_000 });

describe("disks of a guest whose agent is older", () => {
  it("are found by their devices where a VM has no more than it boots from", async () => {
    const old = agent([]);
    await requireFindable(old, planDisks(BOOT), limits());
    assert.deepEqual(old.asked, [], "a boot costs no question more");
  });

  it("are refused before the boot where one has nothing but its serial", async () => {
    const disks = planDisks(BOOT, [EXTRA]);
    await assert.rejects(
      requireFindable(agent(["hold", "workloads"]), disks, limits()),
      (error) => hasReason(error, "agent-too-old") && /has 1 that .*: data$/.test((error as Error).message),
    );
    await requireFindable(agent(["disk-serial"]), disks, limits());
  });
});
