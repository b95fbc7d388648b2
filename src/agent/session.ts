// A session with a guest's agent: its channel, and all that can be asked over it.

import { callsOver } from "./calls.js";
import { openChannel } from "./channel.js";
import type { AgentSession, DialChannel, OpenSessionOptions } from "./types.js";

/**
 * Opens a session; a guest that is still booting is waited for.
 *
 * @throws KilnError deadline_exceeded `no-hello` when no agent answers in time, data_loss `channel-garbage`,
 * failed_precondition `agent-version`; the signal's reason
 */
export async function openSession(dial: DialChannel, options: OpenSessionOptions): Promise<AgentSession> {
  const channel = await openChannel(dial, options);
  return {
    ...callsOver(channel.transport),
    closed: channel.closed,
    get violated() {
      return channel.violated;
    },
    ping: (timeoutMs) => channel.ping(timeoutMs),
    close: () => channel.close(),
  };
}
