// What is said to whoever wants something of a guest whose agent can't be reached.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code, KilnError } from "../../base/errors.js";
import { silentLogger } from "../../base/log.js";
import { AgentLink } from "./agent-link.js";

function linkWhose(open: () => Promise<never>): AgentLink {
  const link = new AgentLink({
    name: "web",
    open,
    onSession: () => undefined,
    onLost: () => undefined,
    pauses: { first: 60_000, longest: 60_000 },
    log: silentLogger,
  });
  link.start();
  return link;
}

describe("a link to an agent", () => {
  it("says at once that the socket of its channel is gone, before and after it is known", async () => {
    const gone = new KilnError(Code.NotFound, "/run/x/channel.sock: no such file", {
      reason: "no-such-file",
    });
    const link = linkWhose(() => Promise.reject(gone));
    const refused = {
      code: Code.Unavailable,
      reason: "agent-unreachable",
      message: /VM web can't be reached: its channel is gone: .*channel\.sock/,
      hint: /kiln restart web/,
    };
    await assert.rejects(link.session({ timeoutMs: 2 ** 31 - 1 }), refused);
    await assert.rejects(link.session({ timeoutMs: 2 ** 31 - 1 }), refused);
    await link.close();
  });

  it("waits for its time where an agent is only silent", async () => {
    const silent = new KilnError(Code.DeadlineExceeded, "no hello", { reason: "no-hello" });
    const link = linkWhose(() => Promise.reject(silent));
    await assert.rejects(link.session({ timeoutMs: 1 }), {
      reason: "agent-unreachable",
      message: "the agent of VM web does not answer",
    });
    await link.close();
  });
});
