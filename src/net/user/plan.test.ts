import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseEgress } from "../../base/egress.js";
import { hasReason } from "../../base/errors.js";
import { assertAnnounced, firstResolver, netguardEnvironment } from "../../base/netguard.js";
import { HELPER_GROUPS, helperUid, isHelperUid, type PasstRequest, planPasst } from "./plan.js";

const ALL = { kind: "all" } as const;

const REQUEST: PasstRequest = {
  program: "/usr/bin/passt",
  guard: { library: "/lib/guard.so", resolver: "127.0.0.53" },
  egress: ALL,
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
    for (const uid of [helperUid(undefined), helperUid(runAs), helperUid({ uid: 1_900_065_535, gid: 0 })])
      assert.ok(uid >= HELPER_GROUPS.first && uid <= HELPER_GROUPS.last);
    assert.ok(!isHelperUid(runAs.uid) && !isHelperUid(0) && !isHelperUid(65_534));
  });

  it("hands on nothing of the daemon's environment but the VM's mark", () => {
    const { env } = planPasst({ ...REQUEST, environment: { KILN_OWNER: "mark" } });
    const guard = Object.keys(netguardEnvironment(REQUEST.guard, ALL, { announce: 4 }));
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

describe("a policy", () => {
  const planOf = (egress: string) => planPasst({ ...REQUEST, egress: parseEgress(egress), countFile: "/c" });

  it("is told to the guard in the one form that it reads", () => {
    for (const [egress, told] of [
      ["", "all"],
      ["none", "none"],
      ["dns", "none"],
      [
        "10.0.0.0/8,192.0.2.7:443/tcp,[2001:db8::]/32:8000-8010,0.0.0.0/0:53/udp",
        "10.0.0.0/8 * *,192.0.2.7/32 443-443 tcp,2001:db8::/32 8000-8010 *,0.0.0.0/0 53-53 udp",
      ],
    ] as const) {
      assert.equal(planOf(egress).env.KILN_NETGUARD_EGRESS, told, egress);
    }
    assert.equal(planOf("none").env.KILN_NETGUARD_COUNT, "5");
    assert.equal(planPasst(REQUEST).env.KILN_NETGUARD_COUNT, undefined);
  });

  it("without names leaves the guest no resolver, and with them the host's first", () => {
    for (const egress of ["none", "10.0.0.0/8"]) {
      const { argv, env } = planOf(egress);
      assert.equal(value(argv, "--dns"), "none", egress);
      assert.equal(value(argv, "--dns-forward"), undefined, egress);
      assert.equal(env.KILN_NETGUARD_ALLOW, "", egress);
    }
    const { argv, env } = planOf("dns,10.0.0.0/8");
    assert.equal(value(argv, "--dns-forward"), "10.0.2.3");
    assert.equal(env.KILN_NETGUARD_ALLOW, "127.0.0.53:53");
  });
});

describe("assertAnnounced", () => {
  const refused = (error: unknown) => hasReason(error, "no-netguard");
  const passt = "/usr/bin/passt";

  it("believes the program that runs in the end, and no other", () => {
    const all = "egress all\n";
    assertAnnounced(`${all}${passt}\n`, passt, "/g.so", ALL);
    assertAnnounced(`${all}${passt}\n${all}${passt}.avx2\n`, passt, "/g.so", ALL);
    for (const wrong of ["", `${all}/usr/bin/setpriv\n`, `${all}${passt}\n${all}/usr/bin/other\n`]) {
      assert.throws(() => assertAnnounced(wrong, passt, "/g.so", ALL), refused, wrong);
    }
  });

  it("believes no library that has another policy, or none", () => {
    const two = parseEgress("10.0.0.0/8,192.0.2.7:443");
    assertAnnounced(`egress 2 rules\n${passt}\n`, passt, "/g.so", two);
    assertAnnounced(`egress 0 rules\n${passt}\n`, passt, "/g.so", parseEgress("none"));
    assertAnnounced(`egress 0 rules\n${passt}\n`, passt, "/g.so", parseEgress("dns"));
    for (const wrong of ["", "egress all\n", "egress 0 rules\n", `egress 2 rules\n${passt}\negress all\n`]) {
      assert.throws(() => assertAnnounced(`${wrong}${passt}\n`, passt, "/g.so", two), refused, wrong);
    }
    assert.throws(() => assertAnnounced(`egress 0 rules\n${passt}\n`, passt, "/g.so", ALL), refused);
    // One of an earlier release says its program alone.
    assertAnnounced(`${passt}\n`, passt, "/g.so", ALL);
    assert.throws(() => assertAnnounced(`${passt}\n`, passt, "/g.so", parseEgress("none")), refused);
  });
});
