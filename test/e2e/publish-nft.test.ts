// Ports that lead to a VM by rules of nft, with a real guest, on a host of the test's own (bridge-world). Who is let through and
// who is not is looked at in contract/bridge-publish.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { BridgeWorld } from "../fixtures/bridge-world.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, TestKiln } from "./harness.js";

const isRoot = process.getuid?.() === 0;
const HOST = "10.99.0.2";

describe("ports published by nft", { skip: !isRoot && "it takes root to make hosts for tests" }, () => {
  let world: BridgeWorld;
  let kiln: TestKiln;
  let image = "";
  before(async () => {
    world = await BridgeWorld.open(false);
    kiln = await TestKiln.start({ daemonPrefix: world.host.prefix });
    kiln.env.KILN_HOST = `unix://${kiln.socket}`;
    image = await busyboxImage(`${kiln.root}/busybox`, {
      extra: [
        { path: "srv", type: "directory", mode: 0o755 },
        { path: "srv/index.html", data: "hello\n", mode: 0o644 },
      ],
    });
    await kiln.ok(["network", "create", "blue"]);
  });
  after(async () => {
    await kiln.dispose();
    await world[Symbol.asyncDispose]();
  });

  /** The last line of what is served there. */
  const get = (where: "outside" | "host", address: string, port: number) => {
    const ask = `printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 ${address} ${port}`;
    return world[where].sh(ask).stdout.trim().split("\n").at(-1);
  };

  it("lead there from other machines and from the host, while no kilnd runs too, and are closed with the VM", async () => {
    const flags = ["--name", "web", "-m", "128m", "--network", "blue", "--egress", "none"];
    const publish = ["--publish-mode", "nft", "-p", "8080:80", "-p", "8081:80"];
    const program = ["busybox", "httpd", "-f", "-vv", "-p", "80", "-h", "/srv"];
    await kiln.ok(["run", "-d", "-q", ...flags, ...publish, image, ...program]);
    await eventually("it serves", async () => get("outside", HOST, 8080) === "hello" || undefined);
    const seen = async () => (await kiln.kiln(["logs", "web"])).stderr.includes("10.99.0.1") || undefined;
    await eventually("it has seen who asks", seen);
    for (const address of ["127.0.0.1", HOST]) assert.equal(get("host", address, 8080), "hello", address);

    const other = [
      "create",
      "--name",
      "other",
      "--network",
      "blue",
      "--publish-mode",
      "nft",
      "-p",
      "8080:80",
    ];
    await kiln.ok([...other, image, "sleep", "100000"]);
    const refused = await kiln.kiln(["start", "other"]);
    assert.match(refused.stderr, /port is in use on this host: VM web has it/);
    await kiln.ok(["rm", "other"]);
    assert.equal(get("outside", HOST, 8080), "hello", "the other's failure took nothing from it");

    await kiln.stopDaemon("SIGKILL");
    assert.equal(get("outside", HOST, 8080), "hello");
    await kiln.startDaemon();
    await kiln.ok(["port", "rm", "web", "8081:80"]);
    assert.deepEqual([get("outside", HOST, 8080), get("outside", HOST, 8081)], ["hello", ""]);
    await kiln.ok(["rm", "-f", "web"]);
    assert.equal(get("outside", HOST, 8080), "");
    assert.doesNotMatch(world.host.ok("nft list ruleset"), /kiln_/);
  });
});
