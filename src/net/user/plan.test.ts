import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { assertAnnounced, firstResolver, netguardEnvironment } from "../../base/netguard.js";
import { helperUid, isHelperUid, type PasstRequest, planPasst } from "./plan.js";

const REQUEST: PasstRequest = {
  program: "/usr/bin/passt",
  guard: { library: "/lib/guard.so", resolver: "127.0.0.53" },
  uid: 1000,
  runAs: undefined,
};

/** The value after an option; undefined where it is not there. */
function value(argv: readonly string[], option: string): string | undefined {
  const index = argv.indexOf(option);
  return index < 0 ? undefined : argv[index + 1];
}

describe("planPasst", () => {
  it("shows the guest its own little net, and the host's loopback nowhere in it", () => {
    const { argv } = planPasst(REQUEST);
    assert.equal(value(argv, "--address"), "10.0.2.15");
    assert.equal(value(argv, "--gateway"), "10.0.2.2");
    assert.ok(argv.includes("--no-map-gw"));
    assert.ok(argv.includes("--ipv4-only"));
    assert.equal(value(argv, "--fd"), "3");
  });

  it("opens no port inwards", () => {
    const { argv } = planPasst(REQUEST);
    assert.equal(value(argv, "--tcp-ports"), "none");
    assert.equal(value(argv, "--udp-ports"), "none");
  });

  it("lets the guest ask the host's resolver at 10.0.2.3, and lets no other door to it open", () => {
    const { argv, env } = planPasst(REQUEST);
    assert.equal(value(argv, "--dns-forward"), "10.0.2.3");
    assert.equal(value(argv, "--dns-host"), "127.0.0.53");
    assert.equal(env.KILN_NETGUARD_ALLOW, "127.0.0.53:53");
  });

  it("forwards no names where the host has no resolver", () => {
    const { argv, env } = planPasst({ ...REQUEST, guard: { library: "/g.so", resolver: undefined } });
    assert.equal(value(argv, "--dns"), "none");
    assert.equal(value(argv, "--dns-forward"), undefined);
    assert.equal(env.KILN_NETGUARD_ALLOW, "");
  });

  it("runs as a user of its own under a root daemon, and as the daemon's elsewhere", () => {
    assert.equal(value(planPasst(REQUEST).argv, "--runas"), undefined);
    const runAs = { uid: 1_900_000_007, gid: 1_900_000_007 };
    const own = value(planPasst({ ...REQUEST, uid: 0, runAs }).argv, "--runas");
    assert.equal(own, "1900065543:1900065543");
    assert.notEqual(helperUid(undefined), 0);
    assert.ok(isHelperUid(helperUid(undefined)) && isHelperUid(helperUid(runAs)));
    assert.ok(!isHelperUid(runAs.uid) && !isHelperUid(0) && !isHelperUid(65_534));
  });

  it("hands on nothing of the daemon's environment but the VM's mark", () => {
    const { env } = planPasst({ ...REQUEST, environment: { KILN_OWNER: "mark" } });
    const guard = Object.keys(netguardEnvironment(REQUEST.guard, 4));
    assert.deepEqual(Object.keys(env).sort(), [...guard, "KILN_OWNER", "LANG", "PATH"].sort());
    assert.equal(env.LD_PRELOAD, "/lib/guard.so");
  });
});

describe("firstResolver", () => {
  it("is the first that IPv4 reaches, on loopback too", () => {
    assert.equal(
      firstResolver("nameserver ::1\n# nameserver 192.0.2.9\nnameserver 127.0.0.53\n"),
      "127.0.0.53",
    );
    assert.equal(firstResolver("nameserver 169.254.169.253\nnameserver 192.0.2.1\n"), "169.254.169.253");
    for (const none of ["", "nameserver fe80::1%eth0\n", "nameserver 0.0.0.0\n", "nameserver 1.2.3\n"]) {
      assert.equal(firstResolver(none), undefined, none);
    }
  });
});

describe("assertAnnounced", () => {
  const refused = (error: unknown) => hasReason(error, "no-netguard");

  it("believes the program that runs in the end, and no other", () => {
    assertAnnounced("/usr/bin/passt\n", "/usr/bin/passt", "/g.so");
    assertAnnounced("/usr/bin/passt\n/usr/bin/passt.avx2\n", "/usr/bin/passt", "/g.so");
    for (const wrong of ["", "/usr/bin/setpriv\n", "/usr/bin/passt\n/usr/bin/other\n"]) {
      assert.throws(() => assertAnnounced(wrong, "/usr/bin/passt", "/g.so"), refused, wrong);
    }
  });
});
