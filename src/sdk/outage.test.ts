import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { Code, hasReason, KilnError } from "../base/errors.js";
import type { ExecRequestJson, ExecResponseJson } from "../gen/kiln/v1/process_pb.js";
import { execWords } from "./exec.js";
import { LastingStream } from "./lasting-stream.js";
import { OUTAGE_MS, Outage } from "./outage.js";
import type { WireStream } from "./wire-stream.js";

const failure = (reason: string) => new KilnError(Code.Unavailable, reason, { reason });

describe("an outage", () => {
  it("is none where kilnd answers that a guest is silent: an exec is tried once", async () => {
    for (const reason of ["agent-unreachable", "guest-unavailable"]) {
      let calls = 0;
      const wire = {
        send: async () => undefined,
        end: () => undefined,
        cancel: () => undefined,
        // biome-ignore lint/correctness/useYield: it fails before its first answer.
        messages: async function* () {
          calls++;
          throw failure(reason);
        },
      };
      const exec = new LastingStream(
        () => wire as unknown as WireStream<ExecRequestJson, ExecResponseJson>,
        execWords("web", ["true"], {}),
        { what: "Exec of VM web", signal: undefined, isOpen: () => true },
      );
      await assert.rejects(exec.messages().next(), (error) => hasReason(error, reason));
      assert.equal(calls, 1);
    }
  });

  it("that lasted too long names what it was at the end", async () => {
    mock.timers.enable({ apis: ["Date"] });
    try {
      const outage = new Outage("Exec of VM web", failure("connection-lost"));
      const silent = failure("agent-unreachable");
      outage.failed(silent);
      mock.timers.tick(OUTAGE_MS);
      await assert.rejects(outage.pause(undefined), (error) => error === silent);
      outage.failed(failure("daemon-not-running"));
      await assert.rejects(outage.pause(undefined), (error) => hasReason(error, "daemon-lost"));
    } finally {
      mock.timers.reset();
    }
  });
});
