// A VM whose jail shows more of the host than it should is told of, wherever somebody looks.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";

const kilnd = engineCase();

describe("a jail without a tree of its own", () => {
  it("is told of by info, by a warning, and by an event of each start", async () => {
    const { engine, world } = kilnd;
    const leave = new AbortController();
    try {
      const partOf = async () =>
        (await engine.system.info()).confinement.find(({ part }) => part === "qemu's files");
      assert.equal((await partOf())?.holds, true);
      world.exposed = "ldd: a library is missing";
      const { warnings } = await engine.system.info();
      assert.ok(
        warnings.some((text) => /show all of the host's programs.*ldd: a library/.test(text)),
        warnings.join("\n"),
      );
      assert.deepEqual(await partOf(), {
        part: "qemu's files",
        holds: false,
        why: "all of /usr is shown: ldd: a library is missing",
      });
      const entry = await kilnd.create();
      const events = engine.events.read({ sinceMs: 0, filters: ["event=jail"], signal: leave.signal });
      const told = events.next();
      await engine.vms.start(entry.id);
      const { value } = await told;
      assert.ok(value !== undefined);
      assert.equal(value.id, entry.id);
      assert.deepEqual([value.attributes.shows, value.attributes.why], ["/usr", world.exposed]);
    } finally {
      leave.abort();
    }
  });
});
