import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseResolvConf, readHostDns } from "./host-dns.js";

/** A host with these files. */
function host(files: Readonly<Record<string, string>>): (path: string) => Promise<string> {
  return async (path) => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
    return text;
  };
}

describe("parseResolvConf", () => {
  it("reads servers, search domains and options", () => {
    const text =
      "# by hand\nnameserver 192.0.2.1 ; the first\nnameserver 2001:db8::1\nsearch a.example b.example\noptions ndots:2 edns0\n";
    assert.deepEqual(parseResolvConf(text), {
      servers: ["192.0.2.1", "2001:db8::1"],
      search: ["a.example", "b.example"],
      options: ["ndots:2", "edns0"],
    });
  });

  it("lets the last of search and domain count", () => {
    assert.deepEqual(parseResolvConf("search a.example\ndomain b.example").search, ["b.example"]);
  });

  it("leaves out what is no address, no domain, no option, and what glibc would ignore", () => {
    const text = `nameserver nonsense\nnameserver\nsearch bad/name ok.example\noptions $(x)\n${"nameserver 192.0.2.9\n".repeat(9)}`;
    assert.deepEqual(parseResolvConf(text), {
      servers: ["192.0.2.9", "192.0.2.9", "192.0.2.9"],
      search: ["ok.example"],
      options: [],
    });
  });

  it("takes any text", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.ok(parseResolvConf(text).servers.length <= 3);
      }),
    );
  });
});

describe("readHostDns", () => {
  it("looks behind systemd-resolved's stub", async () => {
    const dns = await readHostDns(
      host({
        "/etc/resolv.conf": "nameserver 127.0.0.53\noptions edns0\nsearch lan\n",
        "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.7\nsearch other\n",
      }),
    );
    assert.deepEqual(dns, { servers: ["192.0.2.7"], search: ["lan"], options: ["edns0"] });
  });

  it("keeps a local resolver that is no stub", async () => {
    const dns = await readHostDns(host({ "/etc/resolv.conf": "nameserver 127.0.0.1\n" }));
    assert.deepEqual(dns.servers, ["127.0.0.1"]);
  });

  it("falls back to nobody", async () => {
    assert.deepEqual(await readHostDns(host({})), { servers: [], search: [], options: [] });
  });
});
