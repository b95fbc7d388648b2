// The guard that keeps a VM's user network to its policy (agent/netguard), preloaded into a program that dials, in a network
// namespace where nothing else answers. What passt and a guest make of it: test/e2e/egress.test.ts.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { parseEgress } from "../../src/base/egress.js";
import { netguardEnvironment } from "../../src/base/netguard.js";
import { openCount, readCount } from "../../src/net/user/denied.js";
import { netguardPath } from "../fixtures/assets.js";

const DIAL = new URL("../fixtures/guarded-dial.js", import.meta.url).pathname;
const ADDRESSES = ["192.0.2.1/24", "198.51.100.1/24", "169.254.169.254/32"];
const V6 = "2001:db8::1";
const [OPEN, CLOSED] = [
  ["open", "open"],
  ["ECONNREFUSED", "ECONNREFUSED"],
];

describe("the guard of user networks", () => {
  let directory = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-netguard-"));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  /** What a program with that environment reaches of those at port 53. */
  async function reaches(environment: object, hosts: readonly string[], port = "53") {
    const script = [
      "ip link set lo up",
      ...ADDRESSES.map((address) => `ip address add ${address} dev lo`),
      `ip address add ${V6}/64 dev lo nodad`,
      'file=$1; shift; exec 5<>"$file"; exec env "$@"',
    ].join(" && ");
    const settings = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const words = [...settings, process.execPath, DIAL, port, ...hosts];
    const { stdout } = await promisify(execFile)(
      "unshare",
      ["--user", "--map-root-user", "--net", "sh", "-c", script, "sh", join(directory, "count"), ...words],
      { timeout: 60_000 },
    );
    return JSON.parse(stdout) as Record<string, string[]>;
  }

  async function under(egress: string, hosts: readonly string[], port?: string) {
    const guard = { library: netguardPath(), resolver: "192.0.2.1" };
    await rm(join(directory, "count"), { force: true });
    const file = await openCount(join(directory, "count"));
    await file[Symbol.asyncDispose]();
    const found = await reaches(netguardEnvironment(guard, parseEgress(egress), { count: 5 }), hosts, port);
    return { found, denied: await readCount(join(directory, "count")) };
  }

  it("lets everything but what is closed to all through by default", async () => {
    const hosts = [
      "192.0.2.1",
      "198.51.100.1",
      V6,
      "127.0.0.1",
      "169.254.169.254",
      "::1",
      "::ffff:127.0.0.1",
    ];
    const { found, denied } = await under("all", hosts);
    assert.deepEqual(found, {
      ...{ "192.0.2.1": OPEN, "198.51.100.1": OPEN, [V6]: OPEN },
      ...{ "127.0.0.1": CLOSED, "169.254.169.254": CLOSED, "::1": CLOSED, "::ffff:127.0.0.1": CLOSED },
    });
    assert.equal(denied, 8);
  });

  it("lets nothing through under none, the host's resolver neither", async () => {
    const { found, denied } = await under("none", ["192.0.2.1", "198.51.100.1", V6]);
    assert.deepEqual(found, { "192.0.2.1": CLOSED, "198.51.100.1": CLOSED, [V6]: CLOSED });
    assert.equal(denied, 6);
  });

  it("lets the ranges, ports and protocols of a list through, and nothing else", async () => {
    const list = "198.51.100.0/24:53/tcp,[2001:db8::]/32:50-60/udp,0.0.0.0/0:54";
    const { found, denied } = await under(list, ["192.0.2.1", "198.51.100.1", V6, "127.0.0.1"]);
    assert.deepEqual(found, {
      "192.0.2.1": CLOSED,
      "198.51.100.1": ["open", "ECONNREFUSED"],
      [V6]: ["ECONNREFUSED", "open"],
      "127.0.0.1": CLOSED,
    });
    assert.equal(denied, 6);
    const other = await under(list, ["192.0.2.1", "127.0.0.1"], "54");
    assert.deepEqual(other.found, { "192.0.2.1": OPEN, "127.0.0.1": CLOSED });
  });

  it("lets the resolver through where names are asked for, at its port alone", async () => {
    assert.deepEqual((await under("dns", ["192.0.2.1"])).found, { "192.0.2.1": OPEN });
    assert.deepEqual((await under("dns", ["192.0.2.1"], "54")).found, { "192.0.2.1": CLOSED });
  });

  it("lets nothing through where it is told no policy, or one that it does not understand", async () => {
    const told = netguardEnvironment({ library: netguardPath(), resolver: undefined }, { kind: "all" }, {});
    const { KILN_NETGUARD_EGRESS: _, ...untold } = told;
    for (const environment of [untold, { ...told, KILN_NETGUARD_EGRESS: "192.0.2.0/24 * *,all" }]) {
      assert.deepEqual(await reaches(environment, ["192.0.2.1"]), { "192.0.2.1": CLOSED });
    }
  });
});
