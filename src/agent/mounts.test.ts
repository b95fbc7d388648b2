import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { hasReason } from "../base/errors.js";
import { AgentService } from "../gen/kiln/agent/v1/agent_pb.js";
import { type GuestMount as Asked, MountService } from "../gen/kiln/agent/v1/mount_pb.js";
import { callsOver } from "./calls.js";
import type { GuestMount, MountSource } from "./guest-mount.js";

const MOST = 2n ** 64n - 1n;

/** An agent that says of all mounts that they were filled, and of what is mounted what nobody may believe. */
function agent(features: readonly string[] = ["mounts"]) {
  const asked: (Asked | undefined)[] = [];
  const transport = createRouterTransport((router) => {
    router.service(AgentService, { state: () => ({ features: [...features] }) });
    router.service(MountService, {
      attachMount: ({ mount }) => {
        asked.push(mount);
        return { filled: true };
      },
      detachMount: () => {
        throw new ConnectError("/data is in use by sleep (pid 7)", Code.FailedPrecondition);
      },
      growMount: () => ({ sizeBytes: MOST }),
      listMounts: () => ({
        mounts: [
          { id: "a", target: "/data\u001b[2J" },
          { id: "a", target: "/twice" },
          { id: "../x", target: "/y" },
          ...Array.from({ length: 1000 }, (_, index) => ({ id: `m${index}`, target: "/m", away: true })),
        ],
      }),
    });
  });
  return { asked, mounts: callsOver(transport).mounts };
}

const mount = (source: MountSource): GuestMount => ({ id: "m", target: "/data", readOnly: false, source });

describe("mounts of a guest that runs", () => {
  it("are asked for as they are, whatever their source", async () => {
    const { asked, mounts } = agent();
    const sources: MountSource[] = [
      { kind: "disk", serial: "s", filesystem: "ext4", fill: true },
      { kind: "disk", serial: "s", node: true },
      { kind: "tmpfs", sizeBytes: 4096, mode: 0o700 },
      { kind: "share", at: { port: "kiln.port.a" }, soft: true },
      { kind: "share", at: { vsock: 1100 }, file: "f" },
    ];
    const filled: boolean[] = [];
    for (const source of sources) filled.push((await mounts.attachMount(mount(source))).filled);
    assert.deepEqual(filled, [true, false, false, false, false]);
    const [volume, node, tmpfs, port, vsock] = asked.map((each) => each?.source.value);
    assert.deepEqual([volume, node].map(pick("serial", "filesystem", "node", "fill")), [
      ["s", "ext4", false, true],
      ["s", "", true, false],
    ]);
    assert.deepEqual(pick("sizeBytes", "mode")(tmpfs), [4096n, 0o700]);
    assert.deepEqual([port, vsock].map(pick("port", "vsockPort", "soft", "file")), [
      ["kiln.port.a", 0, true, ""],
      ["", 1100, false, "f"],
    ]);
  });

  it("say which program holds one", async () => {
    const refused = (error: unknown) =>
      hasReason(error, "guest-failed-precondition") && /in use by sleep \(pid 7\)/.test(String(error));
    await assert.rejects(agent().mounts.detachMount("m"), refused);
  });

  it("are listed within bounds, and grow to no size that nobody can hold", async () => {
    const { mounts } = agent();
    const listed = await mounts.listMounts();
    assert.deepEqual(listed[0], { id: "a", target: "/data", away: false });
    assert.deepEqual([listed.length, listed[1]?.id, listed[1]?.away], [254, "m0", true]);
    assert.equal(
      (await mounts.growMount("m", { diskBytes: 4096 })).sizeBytes,
      BigInt(Number.MAX_SAFE_INTEGER),
    );
  });

  it("are asked of no agent that has none", async () => {
    const { asked, mounts } = agent([]);
    const tmpfs = mount({ kind: "tmpfs" });
    const calls = [
      () => mounts.attachMount(tmpfs),
      () => mounts.detachMount("m"),
      () => mounts.growMount("m"),
      () => mounts.listMounts(),
    ];
    for (const call of calls) await assert.rejects(call, (error) => hasReason(error, "agent-too-old"));
    assert.deepEqual(asked, []);
  });
});

function pick(...names: string[]) {
  return (value: object | undefined) =>
    names.map((name) => Object.entries(value ?? {}).find(([key]) => key === name)?.[1]);
}
