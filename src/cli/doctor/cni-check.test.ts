import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NetworkInfo } from "../../sdk/index.js";
import { checkCni } from "./cni-check.js";

const network = (name: string, options: Readonly<Record<string, string>>) =>
  ({ name, options }) as unknown as NetworkInfo;
const LAN = { file: "/etc/cni/net.d/10-lan.conflist", plugins: "bridge,portmap" };

describe("kiln doctor on CNI networks", () => {
  it("names their files and plugins", () => {
    assert.match(checkCni(undefined).found, /kilnd is asked/);
    assert.match(checkCni([]).found, /describes no CNI network/);
    const { verdict, found } = checkCni([network("cni:lan", LAN)]);
    assert.deepEqual([verdict, found], ["ok", `cni:lan (${LAN.file}: bridge,portmap)`]);
  });

  it("says what is wrong with one, and that guests are held to nothing", () => {
    const flaw = "there is no CNI plugin portmap in /usr/lib/cni";
    const broken = checkCni([network("cni:lan", { ...LAN, flaw })]);
    assert.equal(broken.verdict, "warning");
    assert.match(broken.found, /bridge,portmap: there is no CNI plugin portmap/);
    const unheld = "guests on CNI networks are not held to their addresses: nftables is not installed";
    const loose = checkCni([network("cni:lan", { ...LAN, unheld })]);
    assert.deepEqual([loose.verdict, loose.found.endsWith(unheld)], ["warning", true]);
  });
});
