// Named networks with real guests, on a host of the test's own (bridge-world): whom they reach, by which names, and what is left.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { BridgeWorld, OUTSIDE } from "../fixtures/bridge-world.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, killToTheEnd, TestKiln } from "./harness.js";

const isRoot = process.getuid?.() === 0;

interface Attached {
  readonly ip: string;
  readonly ip6: string;
  readonly mac: string;
}

describe("VMs on networks", { skip: !isRoot && "it takes root to make hosts for tests" }, () => {
  let world: BridgeWorld;
  let kiln: TestKiln;
  let image = "";
  let db: Attached;
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
    await kiln.ok(["network", "create", "--ipv6", "blue"]);
    await kiln.ok(["network", "create", "red"]);
    await kiln.ok(["network", "create", "--internal", "inner"]);
    await Promise.all([
      box("web", "--network", "blue"),
      box("db", "--network", "blue", "--network-alias", "store"),
    ]);
    await sh("db", "busybox httpd -p [::]:80 -h /srv");
    db = await addressesOf("db");
  });
  after(async () => {
    await kiln.dispose();
    await world[Symbol.asyncDispose]();
  });

  async function box(name: string, ...flags: readonly string[]): Promise<void> {
    await kiln.ok(["run", "-d", "-q", "--name", name, "-m", "128m", ...flags, image, "sleep", "100000"]);
  }

  const sh = (name: string, line: string) => kiln.ok(["exec", name, "sh", "-c", line]);
  const can = async (name: string, line: string) =>
    (await kiln.kiln(["exec", name, "sh", "-c", line])).code === 0;
  const pings = (name: string, address: string) => can(name, `ping -c 1 -W 5 ${address}`);
  const addressesOf = async (name: string) =>
    JSON.parse(await kiln.ok(["inspect", "-f", "{{json .status.networks}}", name]))[0] as Attached;
  /** What there is of networks on the host: links, tables, resolvers. */
  async function left(): Promise<string> {
    const links = world.host.ok("ip -o link").match(/\bk[nt][0-9a-f]{10,11}\b/g) ?? [];
    const tables = world.host.ok("nft list tables").match(/kiln_\S+/g) ?? [];
    const names = (await kiln.processes()).filter(({ command }) => command.includes("dnsmasq"));
    return [...links, ...tables, ...names.map(({ command }) => command)].join(" ");
  }

  it("reach each other by name, alias and address, by both families", async () => {
    for (const name of ["db", "store", "db.blue", db.ip, db.ip6]) assert.ok(await pings("web", name), name);
    for (const host of ["db", db.ip, `[${db.ip6}]`])
      assert.equal(await sh("web", `wget -q -O - http://${host}/index.html`), "hello\n", host);
    assert.match(await sh("web", "ip link show eth0"), / mtu 1500 /);
  });

  it("reach the world outside and its names, and no other network", async () => {
    assert.ok(await pings("web", OUTSIDE.name));
    for (const address of [OUTSIDE.ip4, OUTSIDE.ip6])
      assert.equal(await sh("web", `nc -w 20 ${address} 80 </dev/null`), "hello\n", address);
    await box("lone", "--network", "inner", "--network", "red");
    const [inner, red] = JSON.parse(
      await kiln.ok(["inspect", "-f", "{{json .status.networks}}", "lone"]),
    ) as Attached[];
    for (const address of [db.ip, "10.89.0.1"]) assert.ok(!(await pings("lone", address)), address);
    for (const one of [inner, red]) assert.ok(!(await pings("web", one?.ip ?? "")));
    assert.ok(await pings("lone", OUTSIDE.ip4), "by the network that is not internal");
    await kiln.ok(["rm", "-f", "lone"]);
    await box("lone", "--network", "inner");
    assert.ok(!(await pings("lone", OUTSIDE.ip4)));
    assert.ok(!(await can("lone", `nslookup ${OUTSIDE.name}`)));
    await kiln.ok(["rm", "-f", "lone"]);
  });

  it("keep addresses over a stop, while their names are gone", async () => {
    await kiln.ok(["stop", "-t", "1", "db"]);
    await eventually("db has no name", async () => ((await can("web", "nslookup db")) ? undefined : true));
    await kiln.ok(["start", "db"]);
    assert.deepEqual(await addressesOf("db"), db);
    assert.ok(await pings("web", "db"));
    assert.match(await sh("db", "cat /sys/class/net/eth0/address"), new RegExp(db.mac));
  });

  it("go on while no kilnd runs, and are known to the next one", async () => {
    await kiln.stopDaemon("SIGKILL");
    await kiln.startDaemon();
    assert.ok(await pings("web", "db"));
    await box("late", "--network", "blue");
    assert.ok((await pings("late", "web")) && (await pings("web", "late")));
    await kiln.ok(["rm", "-f", "late"]);
    assert.deepEqual(await addressesOf("db"), db);
  });

  it("leave nothing after kill -9 of them and of kilnd", async () => {
    const pids = await Promise.all(
      ["web", "db"].map(async (name) => Number(await kiln.ok(["inspect", "-f", "{{.status.pid}}", name]))),
    );
    assert.notEqual(await left(), "");
    await kiln.stopDaemon("SIGKILL");
    for (const pid of pids) await killToTheEnd(pid);
    await kiln.startDaemon();
    await eventually("nothing is left", async () => ((await left()) === "" ? true : undefined));
    await kiln.ok(["rm", "-f", "web", "db"]);
    await kiln.ok(["network", "rm", "blue", "red", "inner"]);
  });
});
