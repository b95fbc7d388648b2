import assert from "node:assert/strict";
import { once } from "node:events";
import { lstat, mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { planLinks, planPorts as planVsockPorts } from "./firecracker/ports.js";
import { checkPorts, listenForGuest, portFacts, recordedPorts } from "./ports.js";
import { qemuCapabilities } from "./qemu/look.js";
import { planPorts } from "./qemu/ports.js";
import type { ReattachSpec } from "./types.js";

const CAPABILITIES = qemuCapabilities("tcg");
const many = (count: number) => Array.from({ length: count }, (_, index) => ({ id: `p${index}` }));

const SPEC: ReattachSpec = {
  ...{ vmId: "ab".repeat(32), runDirectory: "/r", stateDirectory: "/s", memoryBytes: 1, disks: [] },
};

describe("checkPorts", () => {
  it("takes none on any VMM, and as many as it has", () => {
    checkPorts({ ports: [] }, { ...CAPABILITIES, maxPorts: undefined });
    checkPorts({ ports: many(32) }, CAPABILITIES);
  });

  for (const [what, ports, reason] of [
    ["more than there are", many(33), "too-many-ports"],
    ["an id that is more words than one", [{ id: "a,server=off" }], "bad-port-id"],
    ["an id that is a path", [{ id: "../a" }], "bad-port-id"],
    ["one id twice", [{ id: "a" }, { id: "a" }], "bad-port-id"],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => checkPorts({ ports }, CAPABILITIES),
        (error) => hasReason(error, reason),
      );
    });
  }

  it("refuses one where the VMM has none", () => {
    assert.throws(
      () => checkPorts({ ports: many(1) }, { ...CAPABILITIES, maxPorts: 0 }),
      (error) => hasReason(error, "no-ports"),
    );
  });
});

describe("a record's ports", () => {
  const facts = { consoleLog: "/l" };

  it("are what was launched, whatever is planned now", () => {
    const recorded = { facts: { ...facts, ...portFacts(many(2)) } };
    assert.deepEqual(recordedPorts(recorded, { ...SPEC, ports: many(5) }), many(2));
    assert.deepEqual(
      recordedPorts({ facts: { ...facts, ...portFacts([]) } }, { ...SPEC, ports: many(1) }),
      [],
    );
  });

  it("are what is planned where the facts are lost, and nothing where nobody plans", () => {
    assert.deepEqual(recordedPorts({ facts: {} }, { ...SPEC, ports: many(3) }), many(3));
    assert.deepEqual(recordedPorts({ facts: {} }, SPEC), []);
  });

  it("are none where they are written as we do not write them", () => {
    for (const ports of [
      "",
      "a,",
      "../x",
      many(33)
        .map(({ id }) => id)
        .join(","),
    ])
      assert.deepEqual(recordedPorts({ facts: { ...facts, ports } }, SPEC), [], ports);
  });
});

describe("planPorts", () => {
  it("gives each a socket in a directory of kilnd's, and a name or a number in the guest", () => {
    const [one] = planPorts("/r", [{ id: "a" }]).values();
    assert.deepEqual(one, { kind: "connect", socket: "/r/port-a.sock", guest: { port: "kiln.port.a" } });
    const [, second] = planVsockPorts("/r", [{ id: "a" }, { id: "b" }]).values();
    assert.deepEqual(second, { kind: "listen", socket: "/r/p/1101", guest: { vsock: 1101 } });
    assert.deepEqual(planLinks([{ id: "a" }], "/r/s/vsock.sock", "/p"), [
      { path: "/r/s/vsock.sock_1100", target: "/p/1100" },
    ]);
  });
});

describe("listenForGuest", () => {
  it("takes the place of whoever listened before, and is nobody's but the owner's", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "kiln-port-"));
    t.after(() => rm(directory, { recursive: true }));
    const port = { socket: join(directory, "1100") };
    const first = await listenForGuest(port);
    const { ino } = await lstat(port.socket);
    const second = await listenForGuest(port);
    const found = await lstat(port.socket);
    assert.ok(found.isSocket() && found.ino !== ino);
    assert.equal(found.mode & 0o777, 0o600);
    for (const one of [first, second]) one.close();
    assert.ok((await lstat(port.socket)).isSocket(), "its name stays for whoever has inherited it");
  });

  it("keeps no connection that comes before its server has it alone", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "kiln-port-"));
    t.after(() => rm(directory, { recursive: true }));
    const port = { socket: join(directory, "1100") };
    const listening = await listenForGuest(port);
    const early = connect(port.socket);
    await once(early, "close");
    listening.close();
    assert.equal(early.bytesRead, 0, "it has ended: whoever dials dials again");
  });
});
