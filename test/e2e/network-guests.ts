// Guests on named networks, on a host of the test's own (bridge-world): whom they reach, by which names, and what is left. The
// same for root, whose networks are the host's, and for an ordinary user, whose networks are in a namespace of that user's.

import assert from "node:assert/strict";
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { fileURLToPath } from "node:url";
import { identifyProcess, isAlive, type ProcessId } from "../../src/base/processes.js";
import { BridgeWorld, OUTSIDE, USER } from "../fixtures/bridge-world.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, killToTheEnd, TestKiln, type TestKilnOptions } from "./harness.js";

interface Attached {
  readonly ip: string;
  readonly ip6: string;
  readonly mac: string;
}

export interface GuestsOptions {
  readonly isUser: boolean;
  /** Of kilnd. */
  readonly daemonArgs: () => Promise<readonly string[]>;
  /** A file that says at which point kilnd ends by SIGKILL: a program of this checkout for it. */
  readonly failpoints?: string;
}

/** A kiln on such a host, and guests of it. */
export class NetworkedKiln {
  readonly world: BridgeWorld;
  readonly kiln: TestKiln;
  readonly image: string;

  private constructor(world: BridgeWorld, kiln: TestKiln, image: string) {
    this.world = world;
    this.kiln = kiln;
    this.image = image;
  }

  static async start({ isUser, daemonArgs, failpoints }: GuestsOptions): Promise<NetworkedKiln> {
    const world = await BridgeWorld.open(isUser);
    const own = isUser ? asUser(world) : { daemonPrefix: world.host.prefix };
    const as = failpoints === undefined ? own : { ...own, ...endingAt(own, isUser, failpoints) };
    const kiln = await TestKiln.start({ ...as, daemonArgs: await daemonArgs() });
    kiln.env.KILN_HOST = `unix://${kiln.socket}`;
    const extra = [
      { path: "srv", type: "directory", mode: 0o755 } as const,
      { path: "srv/index.html", data: "hello\n", mode: 0o644 },
    ];
    return new NetworkedKiln(world, kiln, await busyboxImage(`${kiln.root}/busybox`, { extra }));
  }

  async box(name: string, ...flags: readonly string[]): Promise<void> {
    const run = ["run", "-d", "-q", "--name", name, "-m", "128m", ...flags, this.image, "sleep", "100000"];
    await this.kiln.ok(run);
  }

  sh(name: string, line: string): Promise<string> {
    return this.kiln.ok(["exec", name, "sh", "-c", line]);
  }

  async can(name: string, line: string): Promise<boolean> {
    return (await this.kiln.kiln(["exec", name, "sh", "-c", line])).code === 0;
  }

  pings(name: string, address: string): Promise<boolean> {
    return this.can(name, `ping -c 1 -W 5 ${address}`);
  }

  async addressesOf(name: string): Promise<Attached[]> {
    return JSON.parse(await this.kiln.ok(["inspect", "-f", "{{json .status.networks}}", name]));
  }

  async pidOf(name: string): Promise<number> {
    return Number(await this.kiln.ok(["inspect", "-f", "{{.status.pid}}", name]));
  }

  /** What networks run beside VMs, by the records: resolvers, and a user's place with its way out. */
  async helpers(): Promise<Map<string, ProcessId>> {
    const directory = join(this.kiln.root, "run/networks");
    const names = (await readdir(directory, { recursive: true })).filter((name) => name.endsWith(".json"));
    const found = new Map<string, ProcessId>();
    for (const name of names) {
      const text = await readFile(join(directory, name), "utf8").catch(() => "{}");
      const id = await identifyProcess(Number(JSON.parse(text).process?.pid));
      if (id !== undefined) found.set(name, id);
    }
    return found;
  }

  /** A process where the networks are. */
  async place(): Promise<number> {
    return (await this.helpers()).get("place/holder.json")?.pid ?? this.world.host.pid;
  }

  /** What a command writes in the network namespace of a process. */
  inside(pid: number, line: string): string {
    return this.world.host.ok(`nsenter --target ${pid} --net -- ${line}`);
  }

  /** Links and tables of networks, there. */
  netOf(pid: number): string {
    const links = this.inside(pid, "ip -o link").match(/\bk[nt][0-9a-f]{10,11}\b/g) ?? [];
    return [...links, ...(this.inside(pid, "nft list tables").match(/kiln_\S+/g) ?? [])].join(" ");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kiln.dispose();
    await this.world[Symbol.asyncDispose]();
  }
}

/** kilnd that ends where a test says. */
const KILND = "test/fixtures/kilnd-failpoints.js";
const DIST = fileURLToPath(new URL("../../", import.meta.url));

/** A program of this checkout's, as that user may read it. */
const programOf = (isUser: boolean, path: string) => join(isUser ? "/mnt/kiln/dist" : DIST, path);

function endingAt({ programs, env }: TestKilnOptions, isUser: boolean, failpoints: string): TestKilnOptions {
  const daemon = programOf(isUser, KILND);
  return {
    ...(programs === undefined ? { daemon } : { programs: { ...programs, daemon } }),
    env: { ...env, KILN_TEST_FAILPOINT: failpoints },
  };
}

/** kilnd and its clients as an ordinary user of that host, with what it may read of this checkout. */
function asUser(world: BridgeWorld): TestKilnOptions {
  return {
    owner: { uid: USER, gid: USER },
    prefix: world.asKilnd([]),
    programs: { kiln: programOf(true, "bin/kiln"), daemon: programOf(true, "src/daemon/main.js") },
    env: { HOME: "/mnt/run", USER: "stranger" },
  };
}

/** Of one run of the cases: `web` and `db`, which are on the network `blue`. */
interface Cast {
  readonly on: NetworkedKiln;
  readonly db: Attached;
}

export function guestsOnNetworks(options: GuestsOptions): void {
  let kiln: NetworkedKiln | undefined;
  let cast: Cast | undefined;
  before(async () => {
    const on = await NetworkedKiln.start(options);
    kiln = on;
    await on.kiln.ok(["network", "create", "--ipv6", "blue"]);
    await on.kiln.ok(["network", "create", "red"]);
    await on.kiln.ok(["network", "create", "--internal", "inner"]);
    await Promise.all([
      on.box("web", "--network", "blue"),
      on.box("db", "--network", "blue", "--network-alias", "store"),
    ]);
    await on.sh("db", "busybox httpd -p [::]:80 -h /srv");
    cast = { on, db: (await on.addressesOf("db"))[0] ?? assert.fail() };
  });
  after(() => kiln?.[Symbol.asyncDispose]());

  const its = () => cast ?? assert.fail("no guests");
  reachCases(its);
  ruleCases(its);
  stayCases(its);
  endCases(its, options.isUser);
}

function reachCases(its: () => Cast): void {
  it("reach each other by name, alias and address, by both families", async () => {
    const { on, db } = its();
    for (const name of ["db", "store", "db.blue", db.ip, db.ip6])
      assert.ok(await on.pings("web", name), name);
    for (const host of ["db", db.ip, `[${db.ip6}]`])
      assert.equal(await on.sh("web", `wget -q -O - http://${host}/index.html`), "hello\n", host);
    assert.match(await on.sh("web", "ip link show eth0"), / mtu 1500 /);
  });

  it("reach the world outside and its names, and no other network", async () => {
    const { on, db } = its();
    assert.ok(await on.pings("web", OUTSIDE.name));
    for (const address of [OUTSIDE.ip4, OUTSIDE.ip6])
      assert.equal(await on.sh("web", `nc -w 20 ${address} 80 </dev/null`), "hello\n", address);
    await on.box("lone", "--network", "inner", "--network", "red");
    const [inner, red] = await on.addressesOf("lone");
    for (const address of [db.ip, "10.89.0.1"]) assert.ok(!(await on.pings("lone", address)), address);
    for (const one of [inner, red]) assert.ok(!(await on.pings("web", one?.ip ?? "")));
    await on.box("peer", "--network", "inner", "--network-alias", "cache");
    for (const name of ["peer", "cache.inner"])
      assert.ok(await on.pings("lone", name), `${name}: of a network whose resolver is not the first`);
    await on.kiln.ok(["rm", "-f", "peer"]);
    assert.ok(await on.pings("lone", OUTSIDE.ip4), "by the network that is not internal");
    await on.kiln.ok(["rm", "-f", "lone"]);
    await on.box("lone", "--network", "inner");
    assert.ok(!(await on.pings("lone", OUTSIDE.ip4)));
    assert.ok(!(await on.can("lone", `nslookup ${OUTSIDE.name}`)));
    await on.kiln.ok(["rm", "-f", "lone"]);
  });
}

function ruleCases(its: () => Cast): void {
  it("say nothing by a MAC or an address that is not theirs", async () => {
    const { on, db } = its();
    const own = (await on.addressesOf("web"))[0] ?? assert.fail();
    const place = await on.place();
    const table = `kiln_vm_${(await on.kiln.ok(["inspect", "-f", "{{.id}}", "web"])).slice(0, 12)}_0`;
    const forged = () =>
      Number(/packets (\d+)/.exec(on.inside(place, `nft list counter netdev ${table} forged`))?.[1]);
    const before = forged();
    const lie = `ip link set eth0 address 02:00:00:00:00:99; ping -c 1 -W 2 ${db.ip}`;
    assert.ok(!(await on.can("web", lie)), "by another MAC");
    await on.sh("web", `ip link set eth0 address ${own.mac}`);
    assert.ok(await on.pings("web", db.ip));
    await on.sh("web", "ip address add 10.89.0.77/24 dev eth0");
    assert.ok(!(await on.can("web", `ping -c 1 -W 2 -I 10.89.0.77 ${db.ip}`)), "by another address");
    await on.sh("web", "ip address del 10.89.0.77/24 dev eth0");
    assert.ok(forged() > before);
  });

  it("have the user network beside", async () => {
    const { on, db } = its();
    await on.box("both", "--network", "user", "--network", "blue");
    assert.ok(await on.pings("both", db.ip));
    assert.equal(await on.sh("both", `nc -w 20 ${OUTSIDE.ip4} 80 </dev/null`), "hello\n");
    assert.match(await on.sh("both", "ip route show default"), / via 10\.0\.2\.2 dev eth0/);
    await on.kiln.ok(["rm", "-f", "both"]);
  });
}

function stayCases(its: () => Cast): void {
  it("keep addresses over a stop, while their names are gone", async () => {
    const { on, db } = its();
    await on.kiln.ok(["stop", "-t", "1", "db"]);
    await eventually("db has no name", async () => ((await on.can("web", "nslookup db")) ? undefined : true));
    await on.kiln.ok(["start", "db"]);
    assert.deepEqual(await on.addressesOf("db"), [db]);
    assert.ok(await on.pings("web", "db"));
    assert.match(await on.sh("db", "cat /sys/class/net/eth0/address"), new RegExp(db.mac));
  });

  it("are reached at once at an address that another VM had before", async () => {
    const { on } = its();
    await on.box("first", "--network", "blue");
    const [first] = await on.addressesOf("first");
    const addresses = [first?.ip ?? "", first?.ip6 ?? ""];
    for (const address of addresses) assert.ok(await on.pings("web", address), address);
    await on.kiln.ok(["rm", "-f", "first"]);
    await on.box("second", "--network", "blue");
    const [second] = await on.addressesOf("second");
    assert.deepEqual([second?.ip, second?.ip6], addresses);
    assert.notEqual(second?.mac, first?.mac);
    for (const address of addresses) assert.ok(await on.can("web", `ping -c 1 -W 2 ${address}`), address);
    await on.kiln.ok(["rm", "-f", "second"]);
  });

  it("go on while no kilnd runs, and are known to the next one", async () => {
    const { on, db } = its();
    await on.kiln.stopDaemon("SIGKILL");
    await on.kiln.startDaemon();
    assert.ok(await on.pings("web", "db"));
    await on.box("late", "--network", "blue");
    assert.ok((await on.pings("late", "web")) && (await on.pings("web", "late")));
    await on.kiln.ok(["rm", "-f", "late"]);
    assert.deepEqual(await on.addressesOf("db"), [db]);
  });
}

function endCases(its: () => Cast, isUser: boolean): void {
  it("have their networks where nobody else looks, and their VMMs are not on them", async () => {
    const { on } = its();
    const place = await on.place();
    assert.equal(place !== on.world.host.pid, isUser);
    assert.notEqual(on.netOf(place), "");
    assert.equal(on.netOf(on.world.host.pid) === "", isUser);
    const [where, ...vmms] = await Promise.all(
      [place, await on.pidOf("web"), await on.pidOf("db")].map((pid) => readlink(`/proc/${pid}/ns/net`)),
    );
    assert.ok(!vmms.includes(where ?? ""), String(vmms));
  });

  it("leave nothing after kill -9 of them and of kilnd", async () => {
    const { on } = its();
    const pids = [await on.pidOf("web"), await on.pidOf("db")];
    const helpers = await on.helpers();
    assert.notEqual(helpers.size, 0);
    await on.kiln.stopDaemon("SIGKILL");
    for (const pid of pids) await killToTheEnd(pid);
    await on.kiln.startDaemon();
    for (const [name, id] of helpers)
      await eventually(`${name} has ended`, async () => ((await isAlive(id)) ? undefined : true));
    await eventually("nothing is left", async () =>
      on.netOf(on.world.host.pid) === "" && (await on.helpers()).size === 0 ? true : undefined,
    );
    await on.kiln.ok(["rm", "-f", "web", "db"]);
    await on.kiln.ok(["network", "rm", "blue", "red", "inner"]);
  });
}
