import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason, KilnError } from "../base/errors.js";
import { UndoStack } from "../base/undo.js";
import { publishPort } from "./publish.js";
import type { GuestDial } from "./types.js";

const nobody: GuestDial = () => Promise.reject(new Error("nobody is dialled here"));
/** Ports in a row that others may use meanwhile: only the order is certain. */
const MANY = 50;

describe("a range of host ports", () => {
  for (const protocol of ["tcp", "udp"] as const) {
    it(`gives the first that is free (${protocol}), and says when none is`, async () => {
      await using undo = new UndoStack();
      const any = { hostIp: "127.0.0.1", hostPort: 0, vmPort: 80, protocol };
      const busy = await publishPort(any, nobody);
      undo.push("close the busy one", () => busy.close());
      const { hostPort: first } = busy.mapping;
      const range = { ...any, hostPort: first, hostPortEnd: first + MANY };
      const chosen = await publishPort(range, nobody);
      undo.push("close the chosen one", () => chosen.close());
      assert.ok(chosen.mapping.hostPort > first && chosen.mapping.hostPort <= range.hostPortEnd);
      assert.equal(chosen.mapping.hostPortEnd, undefined, "what is bound is no range");
      const all = { ...range, hostPort: chosen.mapping.hostPort - 1, hostPortEnd: chosen.mapping.hostPort };
      if (all.hostPort !== first) return; // somebody else's port came between
      await assert.rejects(publishPort(all, nobody), (error) => {
        assert.ok(hasReason(error, "port-in-use") && error instanceof KilnError);
        return error.message.includes(`${first}-${first + 1}`);
      });
    });
  }
});
