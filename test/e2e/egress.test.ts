// What VMs on the user network may reach, with real guests, on a host of the test's own (bridge-world). The rules of named
// networks are looked at in contract/bridge-egress, the guard alone in contract/netguard.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { BridgeWorld, OUTSIDE } from "../fixtures/bridge-world.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { TestKiln } from "./harness.js";

const isRoot = process.getuid?.() === 0;

describe("VMs with an egress policy", { skip: !isRoot && "it takes root to make hosts for tests" }, () => {
  let world: BridgeWorld;
  let kiln: TestKiln;
  let image = "";
  before(async () => {
    world = await BridgeWorld.open(false);
    kiln = await TestKiln.start({ daemonPrefix: world.host.prefix });
    kiln.env.KILN_HOST = `unix://${kiln.socket}`;
    image = await busyboxImage(`${kiln.root}/busybox`, {});
    world.serve(world.host, 8080);
  });
  after(async () => {
    await kiln.dispose();
    await world[Symbol.asyncDispose]();
  });

  async function box(name: string, ...flags: readonly string[]): Promise<void> {
    await kiln.ok(["run", "-d", "-q", "--name", name, "-m", "128m", ...flags, image, "sleep", "100000"]);
  }
  const can = async (name: string, line: string) =>
    (await kiln.kiln(["exec", name, "sh", "-c", line])).code === 0;
  /** "hello" where the server answers. */
  const hears = async (name: string, address: string, port: number) =>
    (await kiln.kiln(["exec", name, "sh", "-c", `nc -w 5 ${address} ${port} </dev/null`])).stdout.trim();
  const resolves = (name: string, server = "") => can(name, `nslookup ${OUTSIDE.name} ${server}`);

  it("reach the world and its names by default, and neither loopback, metadata addresses nor others' networks", async () => {
    await kiln.ok(["network", "create", "blue"]);
    await box("db", "--network", "blue:ip=10.89.0.9");
    await box("free");
    assert.equal(await hears("free", OUTSIDE.ip4, 80), "hello");
    assert.ok(await resolves("free"));
    assert.ok(await can("free", `ping -c 1 -W 10 ${OUTSIDE.ip4}`));
    for (const address of ["127.0.0.1", "169.254.169.254", "10.0.2.2"])
      assert.equal(await hears("free", address, 8080), "", address);
    const listens = await kiln.kiln(["exec", "-d", "db", "nc", "-l", "-p", "8080", "-e", "echo", "hello"]);
    assert.equal(listens.code, 0, listens.stderr);
    assert.equal(await hears("free", "10.89.0.9", 8080), "");
    assert.ok(!(await can("free", "nslookup db 10.89.0.1")));
    assert.equal(
      world.host.sh("busybox nc -w 5 10.89.0.9 8080 </dev/null").stdout.trim(),
      "hello",
      "it was there",
    );
    await kiln.ok(["rm", "-f", "db"]);
    await kiln.ok(["rm", "-f", "free"]);
  });

  it("reach nothing under none, by name or address, after kilnd's restart neither", async () => {
    await box("shut", "--egress", "none");
    const isShut = async () => {
      assert.equal(await hears("shut", OUTSIDE.ip4, 80), "");
      for (const server of ["", "10.0.2.3", OUTSIDE.ip4])
        assert.ok(!(await resolves("shut", server)), server);
    };
    await isShut();
    const counted = Number(await kiln.ok(["stats", "--no-stream", "--format", "{{.Denied}}", "shut"]));
    await kiln.stopDaemon("SIGKILL");
    await kiln.startDaemon();
    await isShut();
    const denied = Number(await kiln.ok(["inspect", "-f", "{{.status.egressDenied}}", "shut"]));
    assert.ok(denied > counted && counted > 0, `${counted} before kilnd's restart, ${denied} after`);
    await kiln.ok(["rm", "-f", "shut"]);
  });

  it("reach what a list names", async () => {
    await box("some", "--egress", `dns,${OUTSIDE.ip4}:80/tcp`);
    assert.equal(await hears("some", OUTSIDE.ip4, 80), "hello");
    assert.equal(await hears("some", OUTSIDE.ip4, 81), "");
    assert.ok(await resolves("some"));
    assert.ok(!(await can("some", `ping -c 1 -W 2 ${OUTSIDE.ip4}`)));
    await kiln.ok(["rm", "-f", "some"]);
  });

  it("reach what a list names on a named network too, by a tap that leaves them all checksums and segments", async () => {
    await box("peer", "--network", "blue");
    await box("some", "--network", "blue", "--egress", `dns,${OUTSIDE.ip4}:80/tcp`);
    assert.equal(await hears("some", OUTSIDE.ip4, 80), "hello");
    assert.equal(await hears("some", OUTSIDE.ip4, 81), "");
    assert.ok(await resolves("some"));
    // Both ways, in more than one segment.
    const serves = ["exec", "-d", "peer", "sh", "-c", "nc -l -p 9000 -e cat"];
    assert.equal((await kiln.kiln(serves)).code, 0);
    const echoes = "head -c 300000 /dev/zero | nc -w 20 peer 9000 | wc -c";
    assert.equal((await kiln.ok(["exec", "some", "sh", "-c", echoes])).trim(), "300000");
    await kiln.ok(["rm", "-f", "some", "peer"]);
  });
});
