// Networks that a running VM comes onto and leaves, with real guests, of root and of an ordinary user: its peers reach it by its name from
// then on and no longer, over stop and start, and whenever kilnd is killed.

import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Failpoint } from "../../src/base/failpoint.js";
import { OUTSIDE } from "../fixtures/bridge-world.js";
import { eventually } from "./harness.js";
import { NetworkedKiln } from "./network-guests.js";

const isRoot = process.getuid?.() === 0;
const CONNECT_POINTS: readonly Failpoint[] = ["card.kept", "card.joined", "card.attached", "card.told"];
const DISCONNECT_POINTS: readonly Failpoint[] = ["card.cut", "card.left", "card.removed"];

/** A kiln of which a test says where kilnd is killed, and its VM `web`, which comes and goes. */
class LiveKiln implements AsyncDisposable {
  readonly on: NetworkedKiln;
  readonly #scratch: string;

  private constructor(on: NetworkedKiln, scratch: string) {
    this.on = on;
    this.#scratch = scratch;
  }

  static async start(isUser: boolean): Promise<LiveKiln> {
    const scratch = await mkdtemp(join(tmpdir(), "kt-live-"));
    await chmod(scratch, 0o755);
    const failpoints = join(scratch, "point");
    await writeFile(failpoints, "");
    const on = await NetworkedKiln.start({ isUser, daemonArgs: async () => [], failpoints });
    const live = new LiveKiln(on, scratch);
    for (const words of [["--ipv6", "blue"], ["red"], ["--internal", "inner"]])
      await on.kiln.ok(["network", "create", ...words]);
    await Promise.all([on.box("web", "--network", "inner"), on.box("db", "--network", "blue")]);
    return live;
  }

  async links(): Promise<string[]> {
    const links = await this.on.sh("web", "ls /sys/class/net");
    return links.split(/\s+/).filter((link) => link.startsWith("eth"));
  }

  async networks(): Promise<readonly { network: string; ip: string }[]> {
    return JSON.parse(await this.on.kiln.ok(["inspect", "-f", "{{json .status.networks}}", "web"]));
  }

  async isOn(): Promise<string[]> {
    return (await this.networks()).map(({ network }) => network);
  }

  /** With a kilnd that ends at this point, and another one after it. */
  async killAt(point: Failpoint, words: readonly string[]): Promise<void> {
    const { kiln } = this.on;
    const failpoints = join(this.#scratch, "point");
    await writeFile(failpoints, point);
    const died = kiln.daemonEnd();
    const client = kiln.spawn(["--host", `unix://${kiln.socket}`, ...words]);
    for (const stream of [client.stdout, client.stderr]) stream?.resume();
    client.stdin?.end();
    // It is told so by the connection's end, before or after the kilnd is gone.
    const [code] = await once(client, "close");
    assert.notEqual(code, 0, `${point} was never come to`);
    // Of a user's, what it was started by tells no signal.
    await died;
    await writeFile(failpoints, "");
    await kiln.startDaemon();
  }

  async untilReached(point: string): Promise<void> {
    await eventually(`it is reached after ${point}`, async () =>
      (await this.on.pings("web", "db")) && (await this.on.pings("db", "web")) ? true : undefined,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.on[Symbol.asyncDispose]();
    await rm(this.#scratch, { recursive: true });
  }
}

for (const isUser of [false, true]) {
  describe(`networks of a VM that runs, of ${isUser ? "an ordinary user" : "root"}`, {
    skip: !isRoot && "it takes root to make hosts for tests",
  }, () => {
    let live: LiveKiln | undefined;
    before(async () => {
      live = await LiveKiln.start(isUser);
    });
    after(() => live?.[Symbol.asyncDispose]());
    const its = () => live ?? assert.fail("no guests");
    changeCases(its);
    killedCases(its);
    edgeCases(its);
  });
}

function changeCases(its: () => LiveKiln): void {
  it("comes onto one, by which it and its peers reach each other by name and it the world, and leaves it", async () => {
    const vm = its();
    const { on } = vm;
    assert.deepEqual(await vm.links(), ["eth0"]);
    assert.ok(!(await on.can("web", `ping -c 1 -W 2 ${OUTSIDE.ip4}`)));
    await on.kiln.ok(["network", "connect", "--alias", "front", "blue", "web"]);
    assert.deepEqual(
      [await vm.isOn(), await vm.links()],
      [
        ["inner", "blue"],
        ["eth0", "eth1"],
      ],
    );
    assert.ok(
      (await on.pings("web", "db")) && (await on.pings("db", "web")) && (await on.pings("db", "front")),
    );
    assert.ok(await on.pings("web", OUTSIDE.name), "its way out");
    await on.kiln.ok(["network", "disconnect", "blue", "web"]);
    assert.deepEqual([await vm.isOn(), await vm.links()], [["inner"], ["eth0"]]);
    assert.ok(
      !(await on.can("db", "nslookup web")) && !(await on.can("web", `ping -c 1 -W 2 ${OUTSIDE.ip4}`)),
    );
  });

  it("leaves that of its start, and the others stay as they are, also for the next kilnd and its next start", async () => {
    const vm = its();
    const { on } = vm;
    await on.kiln.ok(["network", "connect", "red", "web"]);
    await on.kiln.ok(["network", "connect", "blue", "web"]);
    await on.kiln.ok(["network", "disconnect", "inner", "web"]);
    await on.kiln.ok(["network", "disconnect", "red", "web"]);
    assert.deepEqual(await vm.links(), ["eth2"]);
    assert.equal((await on.sh("web", "hostname -i")).trim(), (await vm.networks())[0]?.ip, "its own name");
    await on.kiln.stopDaemon("SIGKILL");
    await on.kiln.startDaemon();
    const [blue] = await vm.networks();
    assert.ok((await on.pings("web", "db")) && (await on.pings("db", "web")));
    await on.kiln.ok(["stop", "-t", "1", "web"]);
    await on.kiln.ok(["start", "web"]);
    assert.deepEqual(await vm.networks(), [blue]);
    assert.ok((await on.pings("web", "db")) && (await on.pings("web", OUTSIDE.name)));
    await on.kiln.ok(["network", "connect", "inner", "web"]);
    await on.kiln.ok(["network", "disconnect", "blue", "web"]);
    assert.deepEqual(await vm.isOn(), ["inner"]);
  });
}

function killedCases(its: () => LiveKiln): void {
  it("is on one, and reached, wherever a kilnd was killed that put it there", async () => {
    const vm = its();
    const { on } = vm;
    for (const point of CONNECT_POINTS) {
      await vm.killAt(point, ["network", "connect", "blue", "web"]);
      assert.deepEqual(await vm.isOn(), ["inner", "blue"], point);
      await vm.untilReached(point);
      await on.kiln.ok(["network", "disconnect", "blue", "web"]);
      assert.ok(!(await on.can("db", "nslookup web")), point);
    }
  });

  it("is on it still, wherever a kilnd was killed that took it off, and leaves it the next time", async () => {
    const vm = its();
    const { on } = vm;
    for (const point of DISCONNECT_POINTS) {
      await on.kiln.ok(["network", "connect", "blue", "web"]);
      await vm.killAt(point, ["network", "disconnect", "blue", "web"]);
      await vm.untilReached(point);
      await on.kiln.ok(["network", "disconnect", "blue", "web"]);
      assert.deepEqual([await vm.isOn(), (await vm.links()).length], [["inner"], 1], point);
    }
  });
}

function edgeCases(its: () => LiveKiln): void {
  it("leaves its last one, and comes onto one again from a later kilnd", async () => {
    const vm = its();
    const { on } = vm;
    await on.kiln.ok(["network", "disconnect", "inner", "web"]);
    assert.deepEqual([await vm.isOn(), await vm.links()], [[], []]);
    await on.kiln.stopDaemon("SIGKILL");
    await on.kiln.startDaemon();
    await on.kiln.ok(["network", "connect", "blue", "web"]);
    assert.ok((await on.pings("db", "web")) && (await on.pings("web", OUTSIDE.name)));
    const again = await on.kiln.kiln(["network", "connect", "blue", "web"]);
    assert.match(again.stderr, /is on network blue already/);
    await on.kiln.ok(["network", "disconnect", "blue", "web"]);
    await on.kiln.ok(["network", "connect", "inner", "web"]);
  });

  it("is held to its policy on one that it comes onto, also where others flush all rules", async () => {
    const { on } = its();
    await on.box("held", "--network", "inner", "--egress", "none");
    await on.kiln.ok(["network", "connect", "blue", "held"]);
    const isHeld = async () =>
      (await on.pings("held", "db")) && !(await on.can("held", `ping -c 1 -W 1 ${OUTSIDE.ip4}`));
    assert.ok(await isHeld());
    const place = await on.place();
    const tables = () => on.netOf(place).split(" ").sort().join(" ");
    const before = tables();
    on.inside(place, "nft flush ruleset");
    await eventually("the rules are there again", async () => (tables() === before ? true : undefined));
    assert.ok(await isHeld());
    await on.kiln.ok(["rm", "-f", "held"]);
  });

  it("is refused where it was started on none, and leaves nothing when it ends", async () => {
    const { on } = its();
    await on.box("plain", "--network", "user");
    const { code, stderr } = await on.kiln.kiln(["network", "connect", "blue", "plain"]);
    assert.notEqual(code, 0);
    assert.match(stderr, /started without a place/);
    await on.kiln.ok(["network", "connect", "blue", "web"]);
    await on.kiln.ok(["rm", "-f", "web", "plain", "db"]);
    await eventually("nothing is left", async () => (on.netOf(await on.place()) === "" ? true : undefined));
    await on.kiln.ok(["network", "rm", "blue", "red", "inner"]);
  });
}
