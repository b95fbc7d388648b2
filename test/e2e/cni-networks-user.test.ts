// CNI networks of an ordinary user with real guests and Debian's plugins, on a host of the test's own (cni-world): the plugins are
// root of the user's own namespaces, and nothing of what they do is the host's.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually } from "../fixtures/bridge-guests.js";
import { OUTSIDE, USER } from "../fixtures/bridge-world.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import {
  CniWorld,
  CONFIGS,
  macvlanPlugins,
  OWN_PLUGINS,
  REAL_PLUGINS,
  usualPlugins,
} from "../fixtures/cni-world.js";
import { freePort } from "../fixtures/free-port.js";
import { killToTheEnd, TestKiln } from "./harness.js";

const isRoot = process.getuid?.() === 0;

interface Attached {
  readonly ip: string;
  readonly ip6: string;
}

describe("VMs on CNI networks of an ordinary user", {
  skip: !isRoot && "it takes root to make hosts for tests",
}, () => {
  let world: CniWorld;
  let kiln: TestKiln;
  let image = "";
  let bare = "";
  /** Says which of those run that were on record while VMs were. */
  let helpers = ":";
  before(async () => {
    world = await CniWorld.open(true);
    for (const [at, name] of ["lan", "other"].entries()) {
      const plugins = usualPlugins(at + 1).map((one) =>
        one.type === "firewall" ? { ...one, ingressPolicy: "same-bridge" } : one,
      );
      world.conflist(name, "1.0.0", plugins);
    }
    world.conflist("card", "1.0.0", macvlanPlugins(4));
    bare = hosts();
    kiln = await TestKiln.start({
      owner: { uid: USER, gid: USER },
      prefix: world.world.asKilnd([]),
      programs: { kiln: "/mnt/kiln/dist/bin/kiln", daemon: "/mnt/kiln/dist/src/daemon/main.js" },
      env: {
        ...{ HOME: "/mnt/run", USER: "stranger" },
        ...{ KILN_CNI_CONFIGS: CONFIGS, KILN_CNI_PLUGINS: `${OWN_PLUGINS}:${REAL_PLUGINS}` },
      },
    });
    kiln.env.KILN_HOST = `unix://${kiln.socket}`;
    const page = { path: "srv/index.html", data: "hello\n", mode: 0o644 };
    const extra = [{ path: "srv", type: "directory", mode: 0o755 } as const, page];
    image = await busyboxImage(`${kiln.root}/busybox`, { extra });
    await Promise.all([box("web", "--network", "cni:lan"), box("db", "--network", "cni:lan:alias=store")]);
  });
  after(async () => {
    await kiln.dispose();
    await world[Symbol.asyncDispose]();
  });

  /** What plugins of root's would change. */
  const hosts = () =>
    world.host.ok("ip -o link show; iptables-save | grep -v '^#'; ls -R /var/lib/cni /run/cni 2>&1; :");
  async function box(name: string, ...flags: readonly string[]): Promise<void> {
    await kiln.ok(["run", "-d", "-q", "--name", name, "-m", "128m", ...flags, image, "sleep", "100000"]);
  }
  const sh = (name: string, line: string) => kiln.ok(["exec", name, "sh", "-c", line]);
  const pings = async (name: string, address: string) =>
    (await kiln.kiln(["exec", name, "sh", "-c", `ping -c 1 -W 5 ${address}`])).code === 0;
  const addressesOf = async (name: string): Promise<Attached> =>
    JSON.parse(await kiln.ok(["inspect", "-f", "{{json .status.networks}}", name]))[0];
  const left = () =>
    world.host.ok(`cd ${kiln.root} && find run/networks data/cni -type f 2>/dev/null; ${helpers}`);
  const nothingIsLeft = () =>
    eventually("nothing is left", async () => left() === "").catch(() =>
      assert.equal(left(), "", kiln.daemonLog),
    );

  it("reach each other by name and address, and the world outside, by both families", async () => {
    const [web, db] = [await addressesOf("web"), await addressesOf("db")];
    assert.match(web.ip, /^10\.30\.1\./);
    await eventually("web knows db's name", async () => pings("web", "db"));
    for (const name of ["store", "db.lan", db.ip, db.ip6, OUTSIDE.ip4, OUTSIDE.ip6])
      assert.ok(await pings("web", name), name);
    assert.ok(await pings("db", web.ip6));
    await sh("db", "busybox httpd -p [::]:80 -h /srv");
    for (const host of [db.ip, `[${db.ip6}]`])
      assert.equal(await sh("web", `wget -q -O - http://${host}/index.html`), "hello\n", host);
    for (const address of [OUTSIDE.ip4, OUTSIDE.ip6])
      assert.equal(await sh("web", `nc -w 20 ${address} 80 </dev/null`), "hello\n", address);
    assert.ok(await pings("web", OUTSIDE.name), "by a resolver that the user's namespace reaches");
    assert.equal(hosts(), bare, "nothing is on the host");
  });

  it("are cut off from other networks, and keep to their policy", async () => {
    const db = await addressesOf("db");
    await kiln.ok(["network", "create", "blue"]);
    await box("lone", "--network", "blue");
    await box("third", "--network", "cni:other");
    for (const who of ["lone", "third"]) assert.ok(await pings(who, OUTSIDE.ip4), who);
    assert.ok(!(await pings("lone", db.ip)));
    assert.ok(!(await pings("web", (await addressesOf("third")).ip)));
    await kiln.ok(["rm", "-f", "lone", "third"]);
    await kiln.ok(["network", "rm", "blue"]);
    await box("shut", "--network", "cni:lan", "--egress", "none");
    assert.ok(await pings("shut", db.ip));
    for (const address of [OUTSIDE.ip4, OUTSIDE.ip6]) assert.ok(!(await pings("shut", address)), address);
    await kiln.ok(["rm", "-f", "shut"]);
  });

  it("are refused what is the host's alone, in the plugin's words, and are listed", async () => {
    const refused = await kiln.kiln(["run", "--rm", "--network", "cni:card", image, "true"]);
    assert.match(refused.stderr, /plugin macvlan failed to ADD: Link not found/);
    const lines = await kiln.ok(["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.VMs}}"]);
    assert.match(lines, /^cni:lan cni (web,db|db,web)$/m);
  });

  it("take published ports, and have their addresses again after a stop and another kilnd", async () => {
    const port = await freePort();
    const before = await addressesOf("web");
    await box("front", "--network", "cni:lan", "-p", `127.0.0.1:${port}:80`);
    await sh("front", "busybox httpd -p [::]:80 -h /srv");
    assert.match(world.host.ok(`busybox wget -q -O - http://127.0.0.1:${port}/index.html`), /hello/);
    await kiln.ok(["rm", "-f", "front"]);
    await kiln.ok(["stop", "-t", "1", "web"]);
    await kiln.ok(["start", "web"]);
    assert.deepEqual(await addressesOf("web"), before);
    await kiln.stopDaemon("SIGKILL");
    await kiln.startDaemon();
    assert.deepEqual(await addressesOf("web"), before);
    for (const address of ["db", OUTSIDE.ip4, OUTSIDE.ip6])
      await eventually(`web reaches ${address}`, async () => pings("web", address));
    await box("late", "--network", "cni:lan");
    assert.ok(await pings("late", before.ip));
    await kiln.ok(["rm", "-f", "late"]);
  });

  it("leave nothing after kill -9 of them and of kilnd, and after rm", async () => {
    const pid = Number(await kiln.ok(["inspect", "-f", "{{.status.pid}}", "web"]));
    const records = world.host.ok(`find ${kiln.root}/run/networks -name '*.json' -exec cat {} +`);
    const pids = [...records.matchAll(/"pid":\s*(\d+)/g)].map(([, each]) => each);
    assert.ok(
      pids.length >= 5,
      `the place, its way out, and for each VM a holder and what answers it: ${pids}`,
    );
    helpers = `ps -o pid=,args= -p ${pids.join()} || :`;
    await kiln.stopDaemon("SIGKILL");
    await killToTheEnd(pid);
    await kiln.startDaemon();
    await kiln.ok(["rm", "-f", "db"]);
    await nothingIsLeft();
    await kiln.ok(["start", "web"]);
    assert.ok(await pings("web", OUTSIDE.ip4));
    await kiln.ok(["rm", "-f", "web"]);
    await nothingIsLeft();
    assert.equal(hosts(), bare);
  });
});
