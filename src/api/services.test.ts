import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { collect, FakeApi, failsWith } from "../../test/fixtures/fake-api.js";
import type { World } from "../../test/fixtures/fake-rooms.js";
import {
  type AttachRequest,
  AttachRequestSchema,
  type ExecRequest,
  ExecRequestSchema,
  OutputStream,
} from "../gen/kiln/v1/process_pb.js";
import { VmState } from "../gen/kiln/v1/types_pb.js";
import type { VmService } from "../gen/kiln/v1/vm_pb.js";

let api: FakeApi;
let world: World;
let vms: Client<typeof VmService>;
beforeEach(async () => {
  api = await FakeApi.open();
  ({ world, vms } = api);
});
afterEach(() => api.close());

type Config = Parameters<FakeApi["createVm"]>[0];

const createVm: FakeApi["createVm"] = (config) => api.createVm(config);

describe("VmService", () => {
  it("creates with progress first and the VM last, with its defaults filled in", async () => {
    const messages = await collect(vms.createVm({ config: { image: "app", network: "none", name: "urn" } }));
    assert.deepEqual(
      messages.map(({ message }) => message.case),
      ["progress", "progress", "progress", "vm"],
    );
    const last = messages.at(-1)?.message;
    const vm = last?.case === "vm" ? last.value : undefined;
    assert.equal(vm?.name, "urn");
    assert.equal(vm?.status?.state, VmState.CREATED);
    assert.equal(vm?.config?.memoryBytes, 512n * 1024n ** 2n);
    assert.equal(vm?.config?.restart?.name, "no");
    assert.equal(vm?.config?.init, "auto");
    assert.equal(vm?.config?.lifetimeMs, 0n);
    assert.equal((await createVm({ lifetimeMs: 5000n })).config?.lifetimeMs, 5000n);
    assert.ok((vm?.createdAt?.seconds ?? 0n) > 1_700_000_000n);
  });

  it("starts, lists, stops, waits and removes", async () => {
    const { id, name } = await createVm();
    assert.equal((await vms.startVm({ vm: name })).vm?.status?.state, VmState.RUNNING);
    assert.deepEqual(
      (await vms.listVms({})).vms.map((vm) => vm.id),
      [id],
    );
    assert.equal((await vms.stopVm({ vm: id.slice(0, 10) })).vm?.status?.state, VmState.EXITED);
    assert.equal((await vms.waitVm({ vm: id })).exitCode, 143);
    assert.deepEqual((await vms.listVms({})).vms, []);
    assert.equal((await vms.listVms({ all: true })).vms.length, 1);
    assert.equal((await vms.removeVm({ vm: id })).id, id);
    await assert.rejects(vms.getVm({ vm: id }), failsWith(Code.NotFound, "vm-not-found"));
  });

  it("answers a stop with its time-out of zero as such", async () => {
    const { id } = await createVm();
    await vms.startVm({ vm: id });
    await vms.stopVm({ vm: id, timeoutMs: 0 });
    assert.ok(world.vmms[0]?.guest.calls.includes("stop 15 0"));
  });

  it("changes a lifetime, and nothing where nothing is asked", async () => {
    const { id } = await createVm();
    await vms.startVm({ vm: id });
    const longer = (await vms.updateVm({ vm: id, lifetimeMs: 3_600_000n })).vm;
    assert.equal(longer?.config?.lifetimeMs, 3_600_000n);
    assert.ok(longer?.status?.expiresAt);
    const none = (await vms.updateVm({ vm: id, lifetimeMs: 0n })).vm;
    assert.deepEqual([none?.config?.lifetimeMs, none?.status?.expiresAt], [0n, undefined]);
    await assert.rejects(vms.updateVm({ vm: id }), failsWith(Code.InvalidArgument, "nothing-to-change"));
    const endless = vms.updateVm({ vm: id, lifetimeMs: 2n ** 60n });
    await assert.rejects(endless, failsWith(Code.InvalidArgument, "bad-lifetime"));
  });

  it("pauses and unpauses", async () => {
    const { id } = await createVm();
    await vms.startVm({ vm: id });
    assert.equal((await vms.pauseVm({ vm: id })).vm?.status?.state, VmState.PAUSED);
    assert.equal((await vms.unpauseVm({ vm: id })).vm?.status?.state, VmState.RUNNING);
  });

  it("gives logs as they are, with the stream's name and a time", async () => {
    const { id } = await createVm();
    await vms.startVm({ vm: id });
    world.vmms[0]?.guest.print("hello\n");
    world.vmms[0]?.guest.exit(0);
    const chunks = await collect(vms.logs({ vm: id, follow: true }));
    assert.equal(chunks.map(({ data }) => Buffer.from(data).toString()).join(""), "hello\n");
    assert.equal(chunks[0]?.stream, OutputStream.STDOUT);
    assert.ok(chunks[0]?.time);
  });

  it("gives the console as the log of a VM with an init of its own", async () => {
    const { id } = await createVm({ init: "system", command: ["/init"] });
    await vms.startVm({ vm: id });
    const directory = world.vmms[0]?.spec.stateDirectory ?? "";
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "console.log"), "[    0.1] kernel\ninit: all is well\n");
    const text = async (request: { tail?: number; console?: boolean }) => {
      const chunks = await collect(vms.logs({ vm: id, ...request }));
      assert.ok(chunks.every(({ time }) => time === undefined));
      return Buffer.concat(chunks.map(({ data }) => data)).toString();
    };
    assert.equal(await text({ tail: 1 }), "init: all is well\n");
    assert.equal(await text({}), await text({ console: true }));
  });

  it("runs exec over one stream", async () => {
    const { id } = await createVm();
    await vms.startVm({ vm: id });
    async function* requests(): AsyncGenerator<ExecRequest> {
      yield create(ExecRequestSchema, {
        message: { case: "start", value: { vm: id, config: { args: ["ls"], stdin: true } } },
      });
      yield create(ExecRequestSchema, { message: { case: "stdin", value: Buffer.from("in") } });
      yield create(ExecRequestSchema, { message: { case: "stdinEof", value: true } });
    }
    const responses = await collect(vms.exec(requests()));
    assert.deepEqual(
      responses.map(({ message }) => message.case),
      ["started", "output", "output", "exit"],
    );
    const exit = responses.at(-1)?.message;
    assert.equal(exit?.case === "exit" ? exit.value.code : undefined, 3);
  });

  it("refuses a stream that does not begin with start", async () => {
    async function* requests(): AsyncGenerator<ExecRequest> {
      yield create(ExecRequestSchema, { message: { case: "stdinEof", value: true } });
    }
    await assert.rejects(collect(vms.exec(requests())), failsWith(Code.InvalidArgument, "bad-request"));
  });

  it("attaches, starts, and ends with exit and status", async () => {
    world.behaviours = [{ exitsWith: 5 }];
    const { id } = await createVm();
    async function* requests(): AsyncGenerator<AttachRequest> {
      yield create(AttachRequestSchema, { message: { case: "start", value: { vm: id, start: true } } });
    }
    const responses = await collect(vms.attach(requests()));
    assert.equal(responses[0]?.message.case, "attached");
    const exit = responses.at(-1)?.message;
    assert.ok(exit?.case === "exit");
    assert.deepEqual([exit.value.code, exit.value.status?.state], [5, VmState.EXITED]);
  });

  it("carries archives both ways", async () => {
    const { id } = await createVm();
    await vms.startVm({ vm: id });
    const out = await collect(vms.readArchive({ vm: id, path: "/etc" }));
    assert.equal(Buffer.concat(out.map(({ data }) => data)).toString(), "tar of /etc");
    const written = await vms.writeArchive(
      (async function* () {
        yield { message: { case: "start" as const, value: { vm: id, directory: "/" } } };
        yield { message: { case: "data" as const, value: Buffer.from("123") } };
      })(),
    );
    assert.equal(written.bytes, 3n);
    assert.equal((await vms.statPath({ vm: id, path: "/x" })).mode, 0o100644);
  });

  it("keeps an archive for a VM that does not run, with how it is to land", async () => {
    world.behaviours = [{ tree: new Map([["/srv", 0o040755]]) }];
    const { id } = await createVm();
    const copy = { name: "..", isDirectory: true, contents: false };
    const send = (start: object) =>
      vms.writeArchive(
        (async function* () {
          yield { message: { case: "start" as const, value: { vm: id, directory: "/srv", ...start } } };
          yield { message: { case: "data" as const, value: Buffer.alloc(1024) } };
        })(),
      );
    await assert.rejects(send({ copy }), failsWith(Code.InvalidArgument, "bad-path"));
    const { pending, bytes } = await send({ copy: { ...copy, name: "data" } });
    assert.deepEqual([pending, bytes], [true, 1024n]);
    await vms.startVm({ vm: id });
    assert.equal((await send({})).pending, false);
  });

  it("carries paths as text where they are, as bytes where not", async () => {
    const { id: vm } = await createVm();
    await assert.rejects(
      collect(vms.listDirectory({ vm, path: "/" })),
      failsWith(Code.FailedPrecondition, "vm-created"),
    );
    await vms.startVm({ vm });
    const entries = (await collect(vms.listDirectory({ vm, path: "/srv" }))).flatMap((part) => part.entries);
    assert.deepEqual(
      entries.map(({ name, nameBytes }) => [name, [...nameBytes]]),
      [
        ["a", []],
        ["b\ufffd", [0x62, 0xff]],
      ],
    );
    const none = { vm, pathBytes: Uint8Array.of(0x2f, 0xff) };
    await assert.rejects(collect(vms.listDirectory(none)), failsWith(Code.NotFound, "guest-not-found"));
    assert.equal((await vms.makeDirectory({ vm, path: "/a" })).made, true);
    await vms.removePath({ vm, path: "/a", force: true });
    const full = failsWith(Code.FailedPrecondition, "guest-failed-precondition");
    await assert.rejects(vms.removePath({ vm, path: "/a" }), full);
    await vms.renamePath({ vm, from: "/a", to: "/b" });
    const taken = failsWith(Code.AlreadyExists, "guest-already-exists");
    await assert.rejects(vms.renamePath({ vm, from: "/a", to: "/b", noReplace: true }), taken);
    for (const path of ["relative", "", "/a\0b", `/${"x".repeat(4096)}`]) {
      await assert.rejects(vms.makeDirectory({ vm, path }), failsWith(Code.InvalidArgument, "bad-path"));
    }
  });

  it("says when a watch stands, and leaves out what it does not know", async () => {
    const { id: vm } = await createVm();
    await vms.startVm({ vm });
    const told = await collect(vms.watchPath({ vm, path: "/srv" }));
    assert.deepEqual(
      told.map(({ ready, events }) => [ready, events.length]),
      [
        [true, 0],
        [false, 1],
      ],
    );
    const [event] = told[1]?.events ?? [];
    assert.deepEqual(
      [event?.kind, event?.path, [...(event?.toBytes ?? [])]],
      ["renamed", "/srv", [0x2f, 0xff]],
    );
  });

  it("adds and removes ports", async () => {
    const { id } = await createVm();
    await vms.startVm({ vm: id });
    const { port } = await vms.addPort({ vm: id, port: { vmPort: 80 } });
    assert.equal(port?.hostPort, 49_000);
    await vms.removePort({ vm: id, port: { vmPort: 80, hostPort: 49_000 } });
    assert.equal(world.ports.size, 0);
    await assert.rejects(vms.addPort({ vm: id }), failsWith(Code.InvalidArgument, "bad-request"));
  });

  const refused: [string, NonNullable<Config>, string][] = [
    ["network", { network: "bridge" }, "bad-network"],
    ["restart policy", { restart: { name: "sometimes" } }, "bad-restart-policy"],
    ["init", { init: "maybe" }, "bad-init"],
    ["protocol", { publish: [{ vmPort: 1, protocol: "sctp" }] }, "bad-port"],
  ];
  for (const [what, config, reason] of refused) {
    it(`refuses a ${what} that is none`, async () => {
      await assert.rejects(createVm(config), failsWith(Code.InvalidArgument, reason));
    });
  }

  it("refuses to build where only what is ready is wanted", async () => {
    const config = { image: "app", network: "none" };
    const whatIsReady = () => collect(vms.createVm({ config, readyOnly: true }));
    await assert.rejects(whatIsReady(), failsWith(Code.FailedPrecondition, "not-ready"));
    await createVm();
    assert.deepEqual(
      (await whatIsReady()).map(({ message }) => message.case),
      ["vm"],
    );
  });

  it("refuses unknown words of waits and pulls", async () => {
    const { id } = await createVm();
    await assert.rejects(
      vms.waitVm({ vm: id, condition: "born" }),
      failsWith(Code.InvalidArgument, "bad-condition"),
    );
    await assert.rejects(
      collect(vms.createVm({ config: { image: "app" }, pull: "maybe" })),
      failsWith(Code.InvalidArgument, "bad-pull-policy"),
    );
    await assert.rejects(collect(vms.createVm({})), failsWith(Code.InvalidArgument, "bad-config"));
  });

  it("gives a wait up when its caller leaves", async () => {
    const { id } = await createVm();
    const abort = new AbortController();
    const waiting = vms.waitVm({ vm: id }, { signal: abort.signal });
    abort.abort();
    await assert.rejects(waiting, (error) => error instanceof ConnectError && error.code === Code.Canceled);
  });
});
