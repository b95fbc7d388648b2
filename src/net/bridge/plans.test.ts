// What is done to links, rules and names, as text.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { networkCard, networkSpec } from "../../../test/fixtures/network-specs.js";
import { parseEgress } from "../../base/egress.js";
import { bridgeName, cardName, tapName } from "../../base/networks.js";
import { countersIn, parseListing, planOwnerless } from "./found.js";
import { routersAdvertised } from "./host-place.js";
import { planLeases } from "./leases.js";
import { parseRoutes, warningsOf } from "./look.js";
import { parseLinks } from "./place.js";
import { planCard, planNoCard, planPolicy } from "./plan-card.js";
import { planLinks, planNoLinks } from "./plan-links.js";
import { planConfiguration, planHosts, planOwn } from "./plan-names.js";
import { planNamesJail } from "./plan-names-jail.js";
import { planRules } from "./plan-rules.js";
import { isReachedBy, planHolder, planUpstream, planWayOut } from "./user-place.js";

const SPEC = networkSpec(7, { id: "0123456789abcdef".repeat(4), name: "blue" });
const CARD = networkCard(SPEC, "web", 5, { vmId: "fedcba9876543210".repeat(4), aliases: ["www"] });
const BRIDGE = "kn0123456789";
const PROGRAMS = {
  ip: "/ip",
  nft: "/nft",
  dnsmasq: "/dnsmasq",
  bwrap: "/bwrap",
  tap: "/tap",
  lease: "/lease",
};

describe("links of a network", () => {
  it("are made where they are missing, and set up in any case", () => {
    const fresh = planLinks(SPEC, new Set(["lo"]));
    assert.match(fresh, /^link add kn0123456789 address 06:01:23:45:67:89 type bridge /);
    assert.match(fresh, /^address replace 10\.89\.7\.1\/24 dev kn0123456789$/m);
    assert.match(fresh, /^address replace fe80::1\/64 dev kn0123456789 scope link nodad$/m);
    const again = planLinks(SPEC, new Set([BRIDGE]));
    assert.equal(again, fresh.slice(fresh.indexOf("\n") + 1));
  });

  it("have no address of a family that the network has not", () => {
    assert.doesNotMatch(
      planLinks(networkSpec(7, { subnet6: undefined, gateway6: undefined }), new Set()),
      /:.*\/64/,
    );
    assert.doesNotMatch(
      planLinks(networkSpec(7, { subnet4: undefined, gateway4: undefined }), new Set()),
      /10\./,
    );
  });

  it("are removed where they are there", () => {
    assert.equal(planNoLinks([BRIDGE, "kn1"], new Set([BRIDGE])), `link delete ${BRIDGE}\n`);
    const text = "Inter-|   Receive\n face |bytes\n    lo: 1 2\nkn0123456789:7 8\n";
    assert.deepEqual([...parseLinks(text)], ["lo", BRIDGE]);
  });
});

describe("rules of a network", () => {
  it("lead out by NAT, never to another of kiln's bridges, and not at all where it is internal", () => {
    assert.match(planRules(SPEC), /ip saddr 10\.89\.7\.0\/24 oifname != "kn\*" masquerade/);
    const internal = planRules(networkSpec(7, { internal: true }));
    assert.doesNotMatch(internal, /masquerade|oifname .* dnat/);
    assert.match(
      planPolicy(networkSpec(7, { internal: true }), CARD),
      / vm_fedcba987654_0 counter name "vm_fedcba987654_0" goto refused\n/,
    );
  });

  it("let bridged packets pass only where VMs are not cut off from each other", () => {
    assert.match(planRules(SPEC), /oifname "kn0123456789" accept/);
    const isolated = networkSpec(7, { isolated: true });
    assert.match(planRules(isolated), new RegExp(`oifname "${bridgeName(isolated.id)}" goto refused`));
  });

  it("open what a policy says, after what none opens", () => {
    const egress = parseEgress("dns,10.0.0.0/8:80-90/tcp,[2001:db8::]/32,0.0.0.0/0:53");
    const lines = planPolicy(SPEC, { ...CARD, egress }).split("\n");
    const rules = lines
      .filter((line) => line.startsWith("add rule"))
      .map((line) => line.replace(/.* vm_fedcba987654_0 (?=ip|oif|meta|counter|ct)/, ""));
    assert.match(rules[1] ?? "", /^oifname "kn\*" counter .* goto refused$/);
    assert.deepEqual(rules.slice(4, -1), [
      "ip daddr 10.0.0.0/8 meta l4proto tcp th dport 80-90 accept",
      "ip6 daddr 2001:db8::/32 accept",
      "meta nfproto ipv4 meta l4proto { tcp, udp } th dport 53 accept",
    ]);
    assert.doesNotMatch(lines.join("\n"), /unresolved/);
    assert.match(
      planPolicy(SPEC, { ...CARD, egress: { kind: "none" } }),
      /add element inet \S+ unresolved4 { 10\.89\.7\.5 }/,
    );
  });

  it("of a card go without regard to whether they came", () => {
    const gone = planNoCard(SPEC, CARD).split("\n");
    for (const line of gone.filter((text) => text.startsWith("delete"))) {
      const what = line.replace(/^delete /, "").replace(/ \{.*/, "");
      const added = gone.findIndex((text) => text.startsWith(`add ${what}`));
      assert.ok(added >= 0 && added < gone.indexOf(line), line);
    }
  });

  it("of a tap know its card's addresses and no other", () => {
    const rules = planCard(SPEC, CARD);
    assert.match(rules, new RegExp(`device "${tapName(CARD.vmId, 0)}" priority 0; policy drop;`));
    assert.match(rules, new RegExp(`ether saddr != ${CARD.mac} goto forged`));
    const only4 = planCard(SPEC, { ...CARD, ip6: undefined });
    assert.doesNotMatch(only4, /goto v6/);
    assert.doesNotMatch(planCard(SPEC, { ...CARD, ip4: undefined }), /arp|goto v4/);
  });
});

describe("names of a network", () => {
  it("are a VM's name, its aliases and its id, with and without the network's", () => {
    const id = "fedcba987654";
    const names = `web.blue web www ${id} www.blue ${id}.blue`;
    assert.equal(planHosts(SPEC, [CARD]), `10.89.7.5 ${names}\n${CARD.ip6} ${names}\n`);
  });

  it("are nothing that every machine is to itself", () => {
    const hosts = planHosts(SPEC, [{ ...CARD, vmName: "localhost", aliases: ["x.localhost"] }]);
    assert.doesNotMatch(hosts, / (x\.)?localhost( |$)/m);
  });

  it("are said of all that have them, as by Docker", () => {
    const other = networkCard(SPEC, "api", 6, { vmId: "0".repeat(64), ip6: undefined, aliases: ["www"] });
    const having = planHosts(SPEC, [CARD, other])
      .split("\n")
      .filter((line) => / www /.test(line));
    assert.deepEqual(
      having.map((line) => line.split(" ")[0]),
      ["10.89.7.5", CARD.ip6, "10.89.7.6"],
    );
  });

  it("are nobody's outside, as is the network's range", () => {
    const own = planOwn(SPEC, [{ ...CARD, aliases: ["www", "api.example.com"] }]).split("\n");
    for (const name of ["web.blue", "www.blue", "api.example.com"])
      assert.ok(own.includes(`server=/${name}/`));
    assert.ok(!own.includes("server=/web/") && own.includes(`rev-server=${SPEC.subnet4}`));
    assert.ok(own.includes(`rev-server=${SPEC.subnet6}`));
  });

  it("of outside are asked for by the open one alone, and not on an internal network", () => {
    const asks = (text: string) => /^resolv-file=/m.test(text);
    assert.ok(asks(planConfiguration(SPEC, "open")));
    assert.ok(!asks(planConfiguration(SPEC, "closed")));
    assert.ok(!asks(planConfiguration(networkSpec(7, { internal: true }), "open")));
    assert.doesNotMatch(planConfiguration(SPEC, "open"), /dhcp/);
    assert.match(planConfiguration(networkSpec(7, { dnsDisabled: true }), "open"), /^port=0$/m);
  });

  it("come from a jail that has no root where there are users", () => {
    const jail = (isOwnUser: boolean) =>
      planNamesJail({ programs: PROGRAMS, files: "/f", isOwnUser }).join(" ");
    assert.match(
      jail(true),
      /--ro-bind \/f \/kiln .* setpriv --reuid=1899999996 .* \/dnsmasq --keep-in-foreground/,
    );
    assert.doesNotMatch(jail(false), /setpriv|SETUID/);
  });
});

describe("what guests of a network are told that ask", () => {
  const told = (spec: typeof SPEC, change: Partial<typeof CARD> = {}) =>
    planLeases(spec, [{ ...CARD, ...change }]).split("\n")[1] ?? "";

  it("is what is on record of them, and the network's own", () => {
    const { gateway4, gateway6 } = SPEC;
    assert.match(
      planLeases(SPEC, []),
      /^network sender=06:01:23:45:67:89 server4=10\.89\.7\.1 link6=fe80::1 /,
    );
    const line = told(SPEC);
    assert.ok(line.startsWith(`card mac=${CARD.mac} ip4=10.89.7.5/24 router4=${gateway4} dns4=${gateway4} `));
    assert.ok(line.endsWith(` ip6=${CARD.ip6}/64 router6=yes dns6=${gateway6} search=blue`));
  });

  it("is what was asked for them, and no way out where that is another's", () => {
    const routed = { v4: true, v6: false };
    const lease = { hostname: "host", dns: ["9.9.9.9"], search: ["b.test"], routed };
    const line = told(SPEC, { lease });
    assert.match(line, / dns4=9\.9\.9\.9 .* router6=yes search=b\.test hostname=host$/);
    assert.doesNotMatch(line, /router4|dns6/);
    assert.doesNotMatch(told({ ...SPEC, internal: true }), /router/);
    assert.doesNotMatch(told({ ...SPEC, dnsDisabled: true }), /dns/);
  });
});

describe("a user's own place", () => {
  it("is held by a process that begins once it is on record", () => {
    assert.match(
      planHolder().join(" "),
      /^unshare --user .*\nread -r go \|\| exit 1\n.*\nexec sleep infinity/s,
    );
  });

  it("has a way out without the host's loopback, by IPv6 where the host has one", () => {
    const argv = planWayOut("/pasta", "127.0.0.53", 77, false);
    assert.ok(argv.includes("--no-map-gw") && argv.includes("--ipv4-only"));
    assert.deepEqual(argv.slice(-5), ["--dns-forward", "192.0.0.3", "--dns-host", "127.0.0.53", "77"]);
    assert.ok(!planWayOut("/pasta", undefined, 77, true).some((word) => /ipv4-only|dns-/.test(word)));
  });
});

describe("whom a user's resolvers ask", () => {
  const others = ["10.0.0.9", "127.0.0.54", "::1", "0.0.0.0", "::", "fd00::9"];
  it("is pasta for the host's first one, and others that are not on its loopback", () => {
    assert.deepEqual(planUpstream("10.0.0.8", "10.0.0.8", ["10.0.0.8", ...others]), [
      ...["192.0.0.3", "10.0.0.9", "fd00::9"],
    ]);
    assert.deepEqual(planUpstream(undefined, undefined, others), ["10.0.0.9", "fd00::9"]);
  });

  it("is no pasta that asks one of before", () => {
    assert.deepEqual(planUpstream("10.0.0.9", "10.0.0.8", others), ["10.0.0.9", "fd00::9"]);
    assert.ok(isReachedBy("10.0.0.8", "10.0.0.9"));
    assert.ok(!isReachedBy("10.0.0.8", "127.0.0.53") && !isReachedBy(undefined, "127.0.0.53"));
    assert.ok(isReachedBy("127.0.0.53", "127.0.0.53"));
  });
});

describe("what is found on the host", () => {
  const listing = (items: unknown[]) =>
    parseListing(JSON.stringify({ nftables: [{ metainfo: {} }, ...items] }));
  const counter = (family: string, table: string, name: string, packets: number) => ({
    counter: { family, table, name, packets, bytes: 0 },
  });

  it("counts for each card what it was refused and what it forged", () => {
    const name = cardName(CARD.vmId, 0);
    const counters = [
      counter("inet", "kiln_0123456789ab", name, 7),
      counter("inet", "kiln_other", name, 9),
      counter("netdev", `kiln_${name}`, "forged", 3),
      counter("netdev", `kiln_${name}`, "flood", 100),
    ];
    assert.deepEqual(
      [...countersIn(listing(counters), "kiln_0123456789ab")],
      [[name, { denied: 7, forged: 3 }]],
    );
    assert.deepEqual(parseListing(""), []);
  });

  it("takes away what is of cards that are no longer", () => {
    const chain = (name: string) => ({ chain: { family: "inet", table: "t", name } });
    const map = {
      map: {
        name: "cards4",
        elem: [
          ["10.0.0.1", { goto: { target: "vm_a_0" } }],
          ["10.0.0.2", { goto: { target: "vm_b_0" } }],
        ],
      },
    };
    const set = { set: { name: "unresolved4", elem: ["10.0.0.1", "10.0.0.2"] } };
    const rules = planOwnerless(
      listing([map, set, chain("input"), chain("vm_a_0"), chain("vm_b_0")]),
      "t",
      new Set(["vm_b_0"]),
    );
    assert.deepEqual(rules.trim().split("\n"), [
      "delete element inet t cards4 { 10.0.0.1 }",
      "delete element inet t unresolved4 { 10.0.0.1 }",
      "flush chain inet t vm_a_0",
      "delete chain inet t vm_a_0",
      "delete counter inet t vm_a_0",
    ]);
  });

  it("knows routes that a network must not overlap with", () => {
    const routes = [
      { dst: "default", gateway: "10.0.0.1", dev: "eth0" },
      { dst: "0.0.0.0/1", dev: "tun0" },
      { dst: "10.89.0.0/16", dev: "wg0" },
      { type: "local", dst: "10.0.0.2", dev: "eth0" },
      { type: "broadcast", dst: "10.0.0.255", dev: "eth0" },
      { dst: "fe80::/64", dev: "eth0" },
    ];
    assert.deepEqual(parseRoutes(JSON.stringify(routes)), [
      { destination: "10.89.0.0/16", device: "wg0" },
      { destination: "10.0.0.2", device: "eth0" },
    ]);
    assert.deepEqual(
      routersAdvertised("default via fe80::2 dev eth0 proto ra metric 1\ndefault via fd00::1 dev eth1"),
      ["eth0"],
    );
  });

  it("names the rules of others that let nothing pass", () => {
    const base = (family: string, table: string, name: string, hook: string, policy: string) => ({
      chain: { family, table, name, hook, policy },
    });
    const rule = (table: string, chain: string, expr: unknown[]) => ({
      rule: { family: "inet", table, chain, expr },
    });
    const text = JSON.stringify({
      nftables: [
        base("ip", "filter", "FORWARD", "forward", "drop"),
        base("inet", "firewalld", "filter_INPUT", "input", "accept"),
        rule("firewalld", "filter_INPUT", [{ accept: null }]),
        rule("firewalld", "filter_INPUT", [{ reject: { type: "icmpx" } }]),
        base("inet", "raw", "pre", "prerouting", "drop"),
        base("inet", "hard", "out", "output", "drop"),
        base("inet", "mine", "fine", "forward", "accept"),
        rule("mine", "fine", [{ match: {} }, { drop: null }]),
        base("inet", "kiln_0123456789ab", "forward", "forward", "drop"),
      ],
    });
    const warnings = warningsOf(text);
    assert.equal(warnings.length, 4);
    assert.match(warnings[0] ?? "", /Docker.*table ip filter, chain FORWARD/);
    assert.match(warnings[1] ?? "", /^firewalld .* refuses what it does not name/);
    assert.match(warnings[2] ?? "", /chain pre\) .*: all that comes from their VMs may be closed/);
    assert.match(warnings[3] ?? "", /chain out\) .* resolvers/);
  });
});
