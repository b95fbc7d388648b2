import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { describe, it } from "node:test";
import { isRoots, whyNotOwnRoot } from "./own-root.js";
import { openSource } from "./source.js";
import type { ShareMap } from "./types.js";

const AS = { uid: 7, gid: 7 };
const SQUASH: ShareMap = { kind: "squash", uid: 0, gid: 0 };
const RANGE: ShareMap = { kind: "range", guest: 0, host: 100_000, count: 65_536 };

describe("root's own directories", () => {
  it("are those of root's whose owners nobody has asked to map", async () => {
    await using source = await openSource({ source: "/proc" });
    assert.equal(source.stats.uid, 0);
    assert.ok(isRoots({ map: SQUASH }, source));
    assert.ok(!isRoots({ map: RANGE }, source));
    const others = { stats: Object.assign(Object.create(source.stats), { uid: 1000 }) };
    assert.ok(!isRoots({ map: SQUASH }, others));
  });

  it("are served as such where kiln-share says so, and else it is known why not", async () => {
    await using source = await openSource({ source: tmpdir() });
    assert.equal(await whyNotOwnRoot("/bin/true", source, AS), undefined);
    assert.equal(await whyNotOwnRoot("/bin/false", source, AS), "kiln-share exited with 1");
    assert.match((await whyNotOwnRoot("/no/such/program", source, AS)) ?? "", /ENOENT/);
    // Of an earlier release, which knows no such option.
    assert.match((await whyNotOwnRoot("/bin/ls", source, AS)) ?? "", /can-own-root/);
  });
});
