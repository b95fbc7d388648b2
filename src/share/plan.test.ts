import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { planServer, type ServerRequest } from "./plan.js";

const REQUEST: ServerRequest = {
  program: "/opt/kiln-share",
  spec: {
    ...{ id: "s0", source: "/srv/www", readOnly: false, notify: false },
    map: { kind: "squash", uid: 0, gid: 0 },
  },
  file: undefined,
  end: "connect",
};

function wordsOf(change: Partial<ServerRequest>): string {
  return planServer({ ...REQUEST, ...change }).argv.join(" ");
}

describe("kiln-share's command line", () => {
  it("names descriptors and no path of what is shared", () => {
    assert.equal(
      wordsOf({}),
      "/opt/kiln-share --await-start --root-fd 3 --ledger-fd 4 --connect-fd 5 --map squash:0:0",
    );
  });

  it("says what is asked of one file, read-only, watched, with ids of its own, behind a listening socket", () => {
    const map = { kind: "range", guest: 0, host: 100_000, count: 65_536 } as const;
    const spec = { ...REQUEST.spec, readOnly: true, notify: true, map };
    assert.equal(
      wordsOf({ spec, file: "motd", end: "listen", as: { uid: 7, gid: 8 }, ownRoot: true }),
      "/opt/kiln-share --await-start --root-fd 3 --ledger-fd 4 --listen-fd 5 --map range:0:100000:65536 --as 7:8 --own-root --read-only --name motd --notify",
    );
  });

  it("carries the VM's mark and nothing of the daemon's environment", () => {
    const { env } = planServer({ ...REQUEST, environment: { KILN_VM: "mark" } });
    assert.equal(env.KILN_VM, "mark");
    assert.deepEqual(Object.keys(env).sort(), ["KILN_VM", "LANG", "PATH"]);
  });
});
