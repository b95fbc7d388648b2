import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code, KilnError } from "../base/errors.js";
import { deferred } from "../base/runtime.js";
import type { AttachRequestJson, AttachResponseJson } from "../gen/kiln/v1/process_pb.js";
import { Attachment, type AttachOptions, attachWords } from "./attach.js";
import { LastingStream } from "./lasting-stream.js";
import type { WireStream } from "./wire-stream.js";

type Wire = WireStream<AttachRequestJson, AttachResponseJson>;
type Connection = (sent: AttachRequestJson[]) => AsyncGenerator<AttachResponseJson, void>;

/** An attachment over these connections, one after the other, and what each was sent. */
function attached(options: AttachOptions, connections: Connection[]) {
  const sent: AttachRequestJson[][] = [];
  const open = () => {
    const requests: AttachRequestJson[] = [];
    const connection = connections[sent.push(requests) - 1];
    const wire = {
      send: async (request: AttachRequestJson) => void requests.push(request),
      end: () => undefined,
      cancel: () => undefined,
      messages: () => connection?.(requests),
    };
    return wire as unknown as Wire;
  };
  const how = { what: "Attach of VM web", signal: undefined, isOpen: () => true };
  return { sent, attachment: new Attachment(new LastingStream(open, attachWords("web", options), how)) };
}

const lost = () => new KilnError(Code.Unavailable, "lost", { reason: "connection-lost" });
const next = { boot: 2, sequence: "0" };
const say = (text: string) => ({
  output: { data: Buffer.from(text).toString("base64"), next: { boot: 2, sequence: String(text.length) } },
});

describe("an attachment", () => {
  it("drops stdin that the VM does not take, however much, also over another kilnd", async () => {
    const written = deferred<void>();
    const { sent, attachment } = attached({ stdin: true }, [
      async function* () {
        yield { attached: { id: "full" } };
        yield { resumable: { next, stdinNext: "0", stdinUnwanted: true } };
        throw lost();
      },
      async function* () {
        yield { attached: { id: "full" } };
        yield { resumable: { next, stdinNext: "0", stdinUnwanted: true } };
        await written.promise;
        yield { exit: { code: 3 } };
      },
    ]);
    const exit = attachment.exit();
    for (let piece = 0; piece < 40; piece++) await attachment.writeStdin(Buffer.alloc(65_536));
    written.resolve();
    assert.equal((await exit).exitCode, 3);
    const again = sent[1]?.filter(({ stdin }) => stdin !== undefined);
    assert.deepEqual(again, [], "nothing is given again");
  });

  it("that starts a VM goes on at the boot that it waits for", async () => {
    const { sent, attachment } = attached({ start: true }, [
      async function* () {
        yield { attached: { id: "full" } };
        yield { starting: next };
        throw lost();
      },
      async function* () {
        yield { attached: { id: "full" } };
        yield { resumable: { next, stdinNext: "0" } };
        yield say("hi");
        yield { exit: {} };
      },
    ]);
    let text = "";
    for await (const { data } of attachment) text += Buffer.from(data).toString();
    assert.equal(text, "hi");
    const { vm, start, after } = sent[1]?.[0]?.resume ?? {};
    assert.deepEqual([vm, start, after], ["full", true, next]);
  });

  it("that starts a VM asks for it again where nothing was heard", async () => {
    const { sent, attachment } = attached({ start: true }, [
      // biome-ignore lint/correctness/useYield: the connection breaks before its first answer.
      async function* () {
        throw lost();
      },
      async function* () {
        yield { attached: { id: "full" } };
        yield { exit: {} };
      },
    ]);
    await attachment.exit();
    assert.equal(sent[1]?.[0]?.start?.start, true);
  });
});
