import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { engineCase } from "../../test/fixtures/engine-case.js";
import { FACTS } from "../../test/fixtures/fake-api.js";
import { createApi } from "../api/index.js";
import { hasReason, type KilnError } from "../base/errors.js";
import { silentLogger } from "../base/log.js";
import { UndoStack } from "../base/undo.js";
import { VmService } from "../gen/kiln/v1/vm_pb.js";
import { ImageService, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { mergeConfig } from "./config.js";
import { openCri } from "./cri.js";

const kilnd = engineCase();
let directory: string;
let path: string;
let steps: UndoStack;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-cri-"));
  path = join(directory, "cri.sock");
  steps = new UndoStack(() => undefined);
});
afterEach(async () => {
  await steps.rollback();
  await rm(directory, { recursive: true, force: true });
});

async function open(cri: string): Promise<void> {
  const { engine } = kilnd;
  const log = silentLogger;
  const { interceptors } = createApi({ engine, facts: FACTS, ready: () => Promise.resolve(), log });
  const config = mergeConfig(new Map([["cri", cri]]), {}, new Map());
  await openCri(config, { engine, facts: FACTS, interceptors, log, steps });
}

/** As a kubelet dials: gRPC over HTTP/2 on the socket. */
function client<T extends typeof RuntimeService | typeof ImageService | typeof VmService>(
  service: T,
): Client<T> {
  const nodeOptions = { createConnection: () => connect(path) };
  return createClient(service, createGrpcTransport({ baseUrl: "http://localhost", nodeOptions }));
}

const codeOf = (calling: Promise<unknown>): Promise<Code | undefined> =>
  calling.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error).code,
  );

describe("the socket for Kubernetes", () => {
  it("speaks gRPC, for root and nobody else's group", async () => {
    await open(path);
    assert.equal((await client(RuntimeService).version({})).runtimeName, "kiln");
    const { mode, gid } = await stat(path);
    assert.equal(mode & 0o777, 0o660);
    assert.equal(gid, process.getgid?.());
  });

  it("is not there where it was not asked for", async () => {
    for (const none of ["none", ""]) {
      await open(none);
      await assert.rejects(stat(path), { code: "ENOENT" });
    }
  });

  it("has a path that says where, from the root on", async () => {
    await assert.rejects(open("cri.sock"), (error) => hasReason(error, "bad-setting"));
  });

  it("is refused by its own name where another program listens there", async () => {
    await open(path);
    await assert.rejects(
      open(path),
      (error) =>
        hasReason(error, "socket-in-use") && (error as KilnError).hint?.endsWith("another --cri") === true,
    );
  });

  it("goes with kilnd", async () => {
    await open(path);
    await client(RuntimeService).version({});
    await steps.rollback();
    await assert.rejects(stat(path), { code: "ENOENT" });
  });

  it("gives gRPC's own codes", async () => {
    await open(path);
    const runtime = client(RuntimeService);
    assert.equal(await codeOf(runtime.containerStatus({ containerId: "x" })), Code.NotFound);
    assert.equal(await codeOf(runtime.runPodSandbox({})), Code.Unimplemented);
    assert.equal(await codeOf(client(ImageService).pullImage({})), Code.InvalidArgument);
    // A service that is not here, as grpc-go takes it.
    assert.equal(await codeOf(client(VmService).listVms({})), Code.Unimplemented);
  });
});
