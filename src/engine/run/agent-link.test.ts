// What is said to whoever wants something of a guest whose agent can't be reached.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeGuest } from "../../../test/fixtures/fake-guest.js";
import type { AgentSession } from "../../agent/types.js";
import { Code, KilnError } from "../../base/errors.js";
import { silentLogger } from "../../base/log.js";
import { deferred } from "../../base/runtime.js";
import { AgentLink } from "./agent-link.js";

function linkWhose(open: () => Promise<AgentSession>, onSession: () => void = () => undefined): AgentLink {
  const link = new AgentLink({
    name: "web",
    open,
    onSession,
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

  it("closes a session that comes at the moment at which it is closed itself", async () => {
    const opened = deferred<AgentSession>();
    const guest = new FakeGuest({}, () => undefined);
    let served = 0;
    const dialled = deferred<void>();
    const link = linkWhose(
      () => {
        dialled.resolve();
        return opened.promise;
      },
      () => void served++,
    );
    await dialled.promise;
    opened.resolve(guest.open());
    await link.close();
    assert.equal(served, 0);
  });
});
