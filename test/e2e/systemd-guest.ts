// A guest in system mode: when systemd has started all of it, and whether it did so without a failure.

import assert from "node:assert/strict";
import { eventually, type TestKiln } from "./harness.js";

/** Waits until systemd is done starting; fails with the names of the units that did not start. */
export async function systemdIsRunning(kiln: TestKiln, vm: string): Promise<void> {
  const state = await eventually(
    "systemd has started everything",
    async () => {
      const asked = await kiln.kiln(["exec", vm, "systemctl", "is-system-running", "--wait"]);
      return /^(running|degraded)/.test(asked.stdout) ? asked.stdout.trim() : undefined;
    },
    240_000,
  );
  const failed = await kiln.ok(["exec", vm, "systemctl", "--failed", "--no-legend", "--plain"]);
  assert.equal(state, "running", `systemd is degraded by:\n${failed}`);
}
