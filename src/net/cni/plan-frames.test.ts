import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseEgress } from "../../base/egress.js";
import { type FramesPlan, planFrames } from "./plan-frames.js";

const PLAN: FramesPlan = {
  ...{ tap: "kt0", link: "eth0", mac: "02:00:00:00:00:05", addresses: ["10.1.0.5/24", "fd01::5/64"] },
  ...{ gateway4: "10.1.0.1", gateway6: "fe80::1", resolvers: ["10.1.0.53", "169.254.169.253"] },
  ...{ egress: { kind: "all" }, answered: "", rejects: false },
};

/** The rules of a chain, in order. */
function chain(name: string, change: Partial<FramesPlan> = {}): string[] {
  const text = planFrames({ ...PLAN, ...change });
  const body =
    new RegExp(`  chain ${name} \\{\\n((?: {4}.*\\n)*)  \\}\\n`).exec(text)?.[1] ?? assert.fail(name);
  return body.trim().split(/\n\s*/);
}

describe("the rules of a card on a CNI network", () => {
  it("take the place of what an earlier one brought", () => {
    assert.match(planFrames(PLAN), /^add table netdev kiln\ndelete table netdev kiln\ntable netdev kiln \{/);
  });

  it("know who it is", () => {
    const frames = chain("frames").join("\n");
    assert.match(
      frames,
      /device "kt0" priority 0; policy drop;\nether saddr != 02:00:00:00:00:05 goto forged/,
    );
    assert.match(
      frames,
      /ip saddr 10\.1\.0\.5 goto v4\n[\s\S]*ip6 saddr fd01::5 goto v6\n[\s\S]*goto forged$/,
    );
    const bare = chain("frames", { addresses: [] }).join("\n");
    assert.doesNotMatch(bare, /ip6? saddr 10|fd01/);
    const of4 = chain("frames", { addresses: ["10.1.0.5/24", "10.2.0.5/16"] }).join("\n");
    assert.match(of4, /ip saddr \{ 10\.1\.0\.5, 10\.2\.0\.5 \} goto v4/);
    assert.doesNotMatch(of4, /goto v6/);
  });

  it("let nobody be a router that has a link-local address", () => {
    const rules = chain("neighbours");
    assert.ok(rules.includes("ip6 saddr fe80::1 goto forged"));
    assert.match(rules[0] ?? "", /@th,64,128 0xfe800000000000000000000000000001 goto forged/);
    assert.doesNotMatch(chain("neighbours", { gateway6: "" }).join("\n"), /fe80::1/);
  });

  it("keep what is answered here from going on", () => {
    assert.ok(chain("v4", { answered: "4" }).includes("udp dport 67 drop"));
    assert.ok(chain("v6", { answered: "46" }).includes("udp dport 547 drop"));
    assert.doesNotMatch(chain("v4").join("\n"), /67 drop/);
  });

  it("open all but what is closed to everybody, and resolvers there", () => {
    assert.deepEqual(chain("reach4"), [
      "ip daddr 10.1.0.53 meta l4proto { tcp, udp } th dport 53 goto out",
      "ip daddr 169.254.169.253 meta l4proto { tcp, udp } th dport 53 goto out",
      "ip daddr { 127.0.0.0/8, 169.254.0.0/16, 100.100.100.200/32, 168.63.129.16/32, 192.0.0.192/32 } goto denied",
      "goto out",
    ]);
    assert.ok(!planFrames(PLAN).includes("set tcp4"));
  });

  it("open what a list says, to pieces what it says of whole addresses, and shut the router and resolvers", () => {
    const egress = parseEgress("10.9.0.0/16:443/tcp,0.0.0.0/0:53,10.8.0.1,2001:db8::/32");
    const rules = chain("reach4", { egress });
    const opened = rules.filter((rule) => /10\.[89]\.|th dport 53 goto out/.test(rule));
    assert.deepEqual(opened, [
      "ip daddr 10.9.0.0/16 meta l4proto tcp th dport 443 goto out",
      "meta l4proto { tcp, udp } th dport 53 goto out",
      "ip daddr 10.8.0.1/32 goto out",
    ]);
    assert.deepEqual(rules.slice(-6), [
      "ip daddr 10.1.0.1 icmp type echo-request goto out",
      "ip daddr 10.1.0.1 goto denied",
      "ip daddr 10.1.0.0 goto denied",
      "ip daddr 10.1.0.255 goto denied",
      "ip daddr 10.1.0.0/24 goto out",
      "goto denied",
    ]);
    assert.ok(rules.includes("ip daddr 10.1.0.53 meta l4proto { tcp, udp } th dport 53 goto denied"));
    const rest = chain("rest4", { egress });
    assert.deepEqual(
      rest.filter((rule) => /th dport .* goto out|@tcp4/.test(rule)),
      [],
    );
    assert.ok(rest.includes("ip daddr 10.8.0.1/32 goto out"));
    const named = chain("reach4", { egress: parseEgress("dns") });
    assert.match(named[0] ?? "", /10\.1\.0\.53 .* 53 goto out/);
  });

  it("say each range of neighbours once", () => {
    const ranges = chain("reach4", {
      egress: { kind: "none" },
      addresses: ["10.1.0.5/24", "10.1.0.6/28", "10.1.0.7/24"],
    });
    assert.deepEqual(
      ranges.filter((rule) => /ip daddr 10.*[/]2/.test(rule)),
      ["ip daddr 10.1.0.0/24 goto out"],
    );
  });
});
