// CNI networks with real guests and Debian's plugins, on a host of the test's own (cni-world).

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually } from "../fixtures/bridge-guests.js";
import { OUTSIDE } from "../fixtures/bridge-world.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import {
  CniWorld,
  CONFIGS,
  cniCard,
  OWN_PLUGINS,
  REAL_PLUGINS,
  usualPlugins,
} from "../fixtures/cni-world.js";
import { freePort } from "../fixtures/free-port.js";
import { killToTheEnd, TestKiln } from "./harness.js";

const isRoot = process.getuid?.() === 0;

interface Attached {
  readonly network: string;
  readonly ip: string;
  readonly ip6: string;
  readonly mac: string;
}

describe("VMs on CNI networks", { skip: !isRoot && "it takes root to make hosts for tests" }, () => {
  let world: CniWorld;
  let kiln: TestKiln;
  let image = "";
  /** What there was on the host before a VM was. */
  let bare = "";
  before(async () => {
    world = await CniWorld.open();
    world.conflist("lan", "1.0.0", usualPlugins(1));
    // A network's bridge and the plugins' base chains come with its first card, and stay.
    const driver = world.driver();
    const card = cniCard("lan");
    await driver.call({ call: "join", card });
    await driver.call({ call: "leave", card });
    await driver.end();
    bare = await world.found();
    const env = { KILN_CNI_CONFIGS: CONFIGS, KILN_CNI_PLUGINS: `${OWN_PLUGINS}:${REAL_PLUGINS}` };
    kiln = await TestKiln.start({ daemonPrefix: world.host.prefix, env });
    kiln.env.KILN_HOST = `unix://${kiln.socket}`;
    image = await busyboxImage(`${kiln.root}/busybox`, {
      extra: [
        { path: "srv", type: "directory", mode: 0o755 },
        { path: "srv/index.html", data: "hello\n", mode: 0o644 },
      ],
    });
  });
  after(async () => {
    await kiln.dispose();
    await world[Symbol.asyncDispose]();
  });

  async function box(name: string, ...flags: readonly string[]): Promise<void> {
    await kiln.ok(["run", "-d", "-q", "--name", name, "-m", "128m", ...flags, image, "sleep", "100000"]);
  }

  const sh = (name: string, line: string) => kiln.ok(["exec", name, "sh", "-c", line]);
  const pings = async (name: string, address: string) =>
    (await kiln.kiln(["exec", name, "sh", "-c", `ping -c 1 -W 5 ${address}`])).code === 0;
  const addressesOf = async (name: string): Promise<Attached> =>
    JSON.parse(await kiln.ok(["inspect", "-f", "{{json .status.networks}}", name]))[0];
  const nothingIsLeft = () =>
    eventually("nothing is left", async () => (await world.found()) === bare).catch(async () =>
      assert.equal(await world.found(), bare, `${await world.found()}${kiln.daemonLog}`),
    );

  it("have the names and the way out that they should where one comes before a network of kiln's own", async () => {
    await kiln.ok(["network", "create", "own"]);
    await box("both", "--network", "cni:lan", "--network", "own");
    const [lan, own] = JSON.parse(
      await kiln.ok(["inspect", "-f", "{{json .status.networks}}", "both"]),
    ) as Attached[];
    for (const [name, one] of [
      ["eth0", lan],
      ["eth1", own],
    ] as const)
      assert.match(await sh("both", `ip -o link show ${name}`), new RegExp(`[<,]UP[,>].*${one?.mac}`), name);
    assert.ok(await pings("both", OUTSIDE.ip4));
    await kiln.ok(["rm", "-f", "both"]);
    await kiln.ok(["network", "rm", "own"]);
  });

  it("reach each other and the world outside by both families, and are reached by a published port", async () => {
    await Promise.all([box("web", "--network", "cni:lan"), box("db", "--network", "cni:lan")]);
    const [web, db] = [await addressesOf("web"), await addressesOf("db")];
    assert.match(web.ip, /^10\.30\.1\./);
    assert.match(await sh("db", "ip link show eth0"), new RegExp(db.mac));
    for (const address of [db.ip, db.ip6, OUTSIDE.ip4]) assert.ok(await pings("web", address), address);
    assert.ok(await pings("db", web.ip6));
    await sh("db", "busybox httpd -p [::]:80 -h /srv");
    for (const host of [db.ip, `[${db.ip6}]`])
      assert.equal(await sh("web", `wget -q -O - http://${host}/index.html`), "hello\n", host);
    // In frames that are larger than the MTU until they leave for a wire.
    await sh("db", "head -c 16000000 /dev/zero > /srv/large");
    assert.equal(await sh("web", `wget -q -O - http://${db.ip}/large | wc -c`), "16000000\n");
    assert.match(await sh("web", "cat /etc/resolv.conf"), new RegExp(`nameserver ${OUTSIDE.ip4}`));
    assert.equal(
      world.host.ok(`busybox nc -w 5 ${db.ip} 80 </dev/null; echo $?`).trim(),
      "0",
      "from the host",
    );
  });

  it("know each other by name and alias, as soon as one comes and until it goes", async () => {
    await box("late", "--network", "cni:lan:alias=front");
    const late = await addressesOf("late");
    await eventually("web finds it", async () => pings("web", "late"));
    for (const [who, name] of [
      ["web", "front"],
      ["web", "late.lan"],
      ["late", "db"],
    ] as const)
      assert.ok(await pings(who, name), name);
    for (const address of [late.ip, late.ip6])
      assert.match(await sh("web", "cat /etc/hosts"), new RegExp(`^${address}\tlate front `, "m"));
    await sh("web", "echo 192.0.2.1 mine >> /etc/hosts");
    await kiln.ok(["rm", "-f", "late"]);
    await eventually("its name is gone", async () => !(await sh("web", "cat /etc/hosts")).includes("late"));
    assert.match(await sh("web", "cat /etc/hosts"), /^192\.0\.2\.1 mine$/m, "what the guest has added stays");
    assert.ok(await pings("web", "db"));
  });

  it("keep to their policy, and what they were refused is counted", async () => {
    await box("shut", "--network", "cni:lan", "--egress", "none");
    const [shut, web] = [await addressesOf("shut"), await addressesOf("web")];
    for (const address of [web.ip, web.ip6]) assert.ok(await pings("shut", address), address);
    for (const address of [OUTSIDE.ip4, OUTSIDE.ip6]) assert.ok(!(await pings("shut", address)), address);
    assert.equal(world.host.sh(`busybox ping -c 1 -W 5 ${shut.ip}`).status, 0);
    const denied = Number(await kiln.ok(["inspect", "-f", "{{.status.egressDenied}}", "shut"]));
    assert.ok(denied >= 2, `${denied}`);
    await sh("shut", "ip address add 10.30.1.199/24 dev eth0");
    const forged = await kiln.kiln(["exec", "shut", "sh", "-c", `ping -c 1 -W 2 -I 10.30.1.199 ${web.ip}`]);
    assert.notEqual(forged.code, 0);
    await kiln.ok(["rm", "-f", "shut"]);
  });

  it("are listed", async () => {
    const lines = await kiln.ok(["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.VMs}}"]);
    assert.match(lines, /^cni:lan cni (web,db|db,web)$/m);
    const members = "{{range .members}}{{.vm}} {{.ip}}\n{{end}}";
    const { ip } = await addressesOf("web");
    assert.match(await kiln.ok(["network", "inspect", "-f", members, "cni:lan"]), new RegExp(`web ${ip}`));
    assert.equal(await kiln.ok(["network", "ls", "-q"]), "");
  });

  it("take published ports, and have their addresses again after a stop", async () => {
    const port = await freePort();
    const before = await addressesOf("web");
    await box("front", "--network", "cni:lan:ip=10.30.1.200", "-p", `127.0.0.1:${port}:80`);
    await sh("front", "busybox httpd -p [::]:80 -h /srv");
    assert.equal((await addressesOf("front")).ip, "10.30.1.200");
    assert.match(world.host.ok(`busybox wget -q -O - http://127.0.0.1:${port}/index.html`), /hello/);
    await kiln.ok(["rm", "-f", "front"]);
    await kiln.ok(["stop", "-t", "1", "web"]);
    await kiln.ok(["start", "web"]);
    assert.deepEqual(await addressesOf("web"), before);
    assert.ok(await pings("web", (await addressesOf("db")).ip));
  });

  it("go on while no kilnd runs, and are known to the next one", async () => {
    const before = await addressesOf("web");
    await kiln.stopDaemon("SIGKILL");
    await kiln.startDaemon();
    assert.ok(await pings("web", (await addressesOf("db")).ip));
    assert.deepEqual(await addressesOf("web"), before);
    await box("late", "--network", "cni:lan");
    assert.ok(await pings("late", before.ip));
    await kiln.ok(["rm", "-f", "late"]);
  });

  it("are refused with a plugin's own words, and leave nothing", async () => {
    const words = '{"cniVersion":"1.0.0","code":7,"msg":"no room","details":"since noon"}';
    world.plugin("full", `test $CNI_COMMAND = ADD || exit 0; echo '${words}'; exit 1`);
    world.conflist("full", "1.0.0", [...usualPlugins(1), { type: "full" }]);
    const before = await world.found();
    const refused = await kiln.kiln(["run", "--rm", "--network", "cni:full", image, "true"]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /plugin full failed to ADD: no room: since noon \(code 7\)/);
    assert.equal(await world.found(), before);
    const unknown = await kiln.kiln(["run", "--rm", "--network", "cni:nowhere", image, "true"]);
    assert.match(unknown.stderr, /no CNI network nowhere/);
  });

  it("leave nothing after kill -9 of them and of kilnd, and after rm", async () => {
    const pid = Number(await kiln.ok(["inspect", "-f", "{{.status.pid}}", "web"]));
    await kiln.stopDaemon("SIGKILL");
    await killToTheEnd(pid);
    await kiln.startDaemon();
    await kiln.ok(["rm", "-f", "db"]);
    await nothingIsLeft();
    await kiln.ok(["start", "web"]);
    await kiln.ok(["rm", "-f", "web"]);
    await nothingIsLeft();
  });
});
