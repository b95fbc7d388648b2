import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { planLeaseFile } from "./plan-file.js";
import { planLeaseJail } from "./plan-jail.js";

const NETWORK = {
  ...{ sender: "06:00:00:00:00:01", server4: "10.89.1.1", link6: "fe80::1", hasRouter: true, mtu: 1400 },
};
const CARD = {
  ...{ mac: "02:00:00:00:00:05", ip4: "10.89.1.5/24", ip6: "fd00::5/64", router4: "10.89.1.1" },
  ...{ router6: true, dns: ["10.89.1.1", "fd00::1", "9.9.9.9"], search: ["blue", "b.test"], hostname: "web" },
};

describe("what kiln-lease reads", () => {
  it("is a line for the network and one for each card", () => {
    // The same text is read by agent/lease/src/plan.rs.
    assert.equal(
      planLeaseFile(NETWORK, [CARD]),
      `network sender=06:00:00:00:00:01 server4=10.89.1.1 link6=fe80::1 has-router=yes mtu=1400
card mac=02:00:00:00:00:05 ip4=10.89.1.5/24 router4=10.89.1.1 dns4=10.89.1.1,9.9.9.9 ip6=fd00::5/64 router6=yes dns6=fd00::1 search=blue,b.test hostname=web
`,
    );
  });

  it("has no word of what is not there, and no name that is none", () => {
    const bare = {
      ...CARD,
      ip6: "",
      router4: "",
      router6: false,
      dns: [],
      search: ["a b"],
      hostname: "a\nb",
    };
    assert.equal(
      planLeaseFile(NETWORK, [bare]).split("\n")[1],
      "card mac=02:00:00:00:00:05 ip4=10.89.1.5/24",
    );
  });
});

describe("the jail of kiln-lease", () => {
  const jail = { bwrap: "/b", lease: "/l", files: "/f", isOwnUser: true, on: "kt0", with: "eth0" };

  it("gives it its file, and the right to frames alone", () => {
    const words = planLeaseJail(jail).join(" ");
    assert.match(words, /--ro-bind \/l \/kiln-lease --ro-bind \/f \/kiln --remount-ro \//);
    assert.match(words, /setpriv --reuid=1899999995 .*--bounding-set=-all,\+net_raw/);
    assert.match(words, /\/kiln-lease --file \/kiln\/leases --on kt0 --with eth0$/);
    const inPlace = planLeaseJail({ ...jail, isOwnUser: false }).join(" ");
    assert.doesNotMatch(inPlace, /setpriv|CAP_SETUID|CAP_NET_ADMIN/);
  });
});
