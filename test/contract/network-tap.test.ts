// kiln-tap: a program is given taps as descriptors, in a network namespace of the test's own, as root and as an ordinary user.

import assert from "node:assert/strict";
import { mkdtemp, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { kilnTapPath } from "../fixtures/assets.js";
import { Namespaces } from "../fixtures/namespaces.js";

const USER = 54_322;
const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : "it takes root to make networks for tests";

const TAPS = "--tap kt0 --bridge kn0 --mtu 9000 --isolated --at 7 --tap kt1 --bridge kn0 --mtu 1500 --at 5";

describe("kiln-tap", { skip }, () => {
  const tap = skip === false ? kilnTapPath() : "";
  let host: Namespaces;
  let scratch = "";
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "kiln-tap-"));
    host = await Namespaces.hold(["unshare", "--net"], ["--net"]);
    host.ok("ip link add kn0 type bridge && ip link set kn0 mtu 9000 up");
  });
  after(async () => {
    await host[Symbol.asyncDispose]();
    await rm(scratch, { recursive: true, force: true });
  });

  it("becomes a program that has each tap at its number, a port of its bridge", () => {
    const look = "cat /proc/self/fdinfo/7 /proc/self/fdinfo/5; echo pid $$; ip -d -o addr";
    const text = host.ok(`echo pid $$; exec ${tap} ${TAPS} -- sh -c '${look}'`);
    assert.deepEqual(
      [...text.matchAll(/^iff:\t(.*)$/gm)].map((match) => match[1]),
      ["kt0", "kt1"],
    );
    const [before, then] = [...text.matchAll(/^pid (.*)$/gm)].map((match) => match[1]);
    assert.equal(before, then, "it stays the process that was started");
    const links = host.ok(`${tap} ${TAPS} -- sh -c 'ip -d -o link; ip -o addr'`);
    assert.match(links, /kt0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 9000 .* master kn0 .* isolated on /);
    assert.match(links, /kt1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 .* master kn0 .* isolated off /);
    assert.doesNotMatch(links, /kt.*inet6/, "the host has no address on them");
    assert.doesNotMatch(host.ok("ip -o link"), /kt/, "they went with the program");
  });

  it("loads rules that name the taps before the program runs", async () => {
    const rules = join(scratch, "rules");
    await writeFile(
      rules,
      'table netdev t { chain c { type filter hook ingress device "kt0" priority 0; }\n}\n',
    );
    const list = `${tap} --nft /usr/sbin/nft --rules ${rules} ${TAPS} -- nft list table netdev t`;
    assert.match(host.ok(list), /hook ingress device "kt0"/);
    await writeFile(rules, "table netdev u { nonsense\n}\n");
    const { status, stdout, stderr } = host.sh(list);
    assert.deepEqual([status, stdout], [125, ""]);
    assert.match(stderr, /^kiln-tap: load .*rules by nft: .*\n$/);
  });

  it("refuses in one line, and leaves nothing", () => {
    const tapOn = (bridge: string) => `--tap kt0 --bridge ${bridge} --mtu 1500 --at 7`;
    host.ok("ip tuntap add dev kt9 mode tap");
    const refused = [
      [`${tapOn("kn1")} -- true`, /make the tap kt0: there is no link kn1/],
      [`${tapOn("kn0")} -- /no/program`, /\/no\/program: No such file/],
      [`${tapOn("kn0")} -- true 7</dev/null`, /descriptor 7 is taken/],
      ["--tap kt9 --bridge kn0 --mtu 1500 --at 7 -- true", /make the tap kt9: /],
      [
        `--enter $$ ${tapOn("kn0")} -- true`,
        /enter the namespaces of process \d+: its network namespace is this one/,
      ],
      ["--tap kt0 -- true", /needs --bridge/],
    ] as const;
    for (const [words, why] of refused) {
      const { status, stderr } = host.sh(`${tap} ${words}`);
      assert.equal(status, 125, words);
      assert.match(stderr, /^kiln-tap: [^\n]+\n$/);
      assert.match(stderr, why);
    }
    host.ok("ip link del kt9");
    assert.doesNotMatch(host.ok("ip -o link"), /kt/);
  });
});

describe("kiln-tap, as an ordinary user", { skip }, () => {
  const tap = skip === false ? kilnTapPath() : "";
  const asUser = ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", "--inh-caps=-all"];
  const user = asUser.join(" ");
  let host: Namespaces;
  let network: Namespaces;
  before(async () => {
    // The device as udev makes it, which is root's only on some machines; and a copy of the program that this user can read.
    const node = "mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200";
    const copy = `mount -t tmpfs none /mnt && cp ${tap} /mnt/kiln-tap && chmod 755 /mnt`;
    host = await Namespaces.hold(["unshare", "--mount"], ["--mount"]);
    host.ok(`${node} && ${copy}`);
    const holder = ["nsenter", `--target=${host.pid}`, "--mount", "--", ...asUser, "unshare", "--user"];
    network = await Namespaces.hold([...holder, "--map-root-user", "--net"], ["--user", "--net", "--mount"]);
    network.ok("ip link add kn0 type bridge && ip link set kn0 mtu 9000 up");
  });
  after(async () => {
    await network[Symbol.asyncDispose]();
    await host[Symbol.asyncDispose]();
  });

  it("makes them in the namespaces of a process of its own, and stays outside", async () => {
    const look =
      "cat /proc/self/fdinfo/7 /proc/self/fdinfo/5; readlink /proc/self/ns/net; readlink /proc/self/ns/user; id -u";
    const { status, stdout, stderr } = host.sh(
      `exec ${user} /mnt/kiln-tap --enter ${network.pid} ${TAPS} -- sh -c '${look}'`,
    );
    assert.equal(status, 0, stderr);
    assert.deepEqual(
      [...stdout.matchAll(/^iff:\t(.*)$/gm)].map((match) => match[1]),
      ["kt0", "kt1"],
    );
    const own = [await readlink("/proc/self/ns/net"), await readlink("/proc/self/ns/user"), String(USER)];
    assert.deepEqual(stdout.trim().split("\n").slice(-3), own);
    assert.doesNotMatch(network.ok("ip -o link"), /kt/, "they went with the program");
  });

  it("is refused another user's namespaces", () => {
    const { status, stderr } = host.sh(`${user} /mnt/kiln-tap --enter 1 ${TAPS} -- true`);
    assert.equal(status, 125);
    assert.match(stderr, /^kiln-tap: enter the namespaces of process 1: [^\n]+\n$/);
    const byRoot = host.sh(`/mnt/kiln-tap --enter ${network.pid} ${TAPS} -- true`);
    assert.equal(byRoot.status, 125);
    assert.match(byRoot.stderr, /its namespaces are another user's/);
  });
});
