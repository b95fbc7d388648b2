// Much data both ways on one connection. Node's HTTP/2 does not read while a write of its own waits: with a peer of the
// same kind both may wait for each other for ever (docs/design/0004-client-transport.md).

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { silentLogger } from "../../src/base/log.js";
import { createProtocolServer, type ProtocolServer } from "../../src/daemon/protocol-server.js";
import { VmService } from "../../src/gen/kiln/v1/vm_pb.js";
import { Transport } from "../../src/sdk/transport.js";
import { VmFiles } from "../../src/sdk/vm-files.js";

const CHUNK = Buffer.alloc(64 * 1024, "x");
const CHUNKS = 120;

let directory: string;
let server: ProtocolServer;
let transport: Transport;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-flow-"));
  const path = join(directory, "s.sock");
  server = createProtocolServer({
    routes: (router) => {
      router.service(VmService, {
        async *readArchive() {
          for (let sent = 0; sent < CHUNKS; sent++) yield { data: CHUNK };
        },
        async writeArchive(requests) {
          let bytes = 0n;
          for await (const { message } of requests) {
            if (message.case === "data") bytes += BigInt(message.value.length);
            // A guest takes its time.
            await new Promise((resolve) => setImmediate(resolve));
          }
          return { entries: 1n, bytes };
        },
        async *exec(requests) {
          for await (const { message } of requests) {
            if (message.case === "stdinEof") break;
            if (message.case === "stdin") {
              yield { message: { case: "output", value: { stream: 1, data: message.value } } };
            }
          }
          yield { message: { case: "exit", value: { code: 0 } } };
        },
      });
    },
    interceptors: [],
    log: silentLogger,
  });
  await new Promise<void>((resolve) => server.socket.listen(path, resolve));
  transport = new Transport(async () => connect(path));
});

after(async () => {
  await transport.close();
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

const size = CHUNK.length * CHUNKS;

describe("one connection", { timeout: 120_000 }, () => {
  it("carries copies from VM to VM, several at once", async () => {
    const files = new VmFiles(transport, "one");
    const copy = () => files.writeArchive("/", files.readArchive("/"));
    for (const { bytes } of await Promise.all([copy(), copy(), copy()])) assert.equal(bytes, size);
  });

  it("carries a program's stdin and output at once", async () => {
    const { Exec, execWords } = await import("../../src/sdk/exec.js");
    async function* source() {
      for (let sent = 0; sent < CHUNKS; sent++) yield CHUNK;
    }
    const execs = [1, 2].map(() => {
      const options = { stdin: source(), maxOutputBytes: 1 };
      const wire = transport.lasting("VmService/Exec", execWords("one", ["cat"], options));
      return new Exec(wire, ["cat"], options);
    });
    for (const exec of execs) {
      let bytes = 0;
      for await (const { data } of exec) bytes += data.byteLength;
      assert.equal(bytes, size);
    }
  });
});
