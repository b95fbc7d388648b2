import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { refusalForUser } from "./look.js";

/** A host whose device is root's alone says that first. */
const OR_TUN = "|^/dev/net/tun is not this user's to open";

describe("what an ordinary user lacks for networks", () => {
  it("is said of passt as its prober has it, and of pasta by its path", async () => {
    const why = "no user network: /usr/bin/passt is older than August 2024";
    assert.match((await refusalForUser({ program: undefined, why })) ?? "", new RegExp(`^${why}$${OR_TUN}`));
    const lone = await refusalForUser({ program: "/nowhere/passt", why: "" });
    assert.match(lone ?? "", new RegExp(`^there is no /nowhere/pasta$${OR_TUN}`));
  });
});
