// What the host mounts below a shared directory, before a server begins and after. In a mount namespace of the test's own,
// whose mounts are shared with copies of it, as those of a host with systemd are: the server has to keep them apart.

import assert from "node:assert/strict";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Namespaces } from "../fixtures/namespaces.js";
import { type NineCalls, O } from "../fixtures/nine-calls.js";
import { skipWithoutCargo } from "./agent-bench.js";
import { ShareBench, type ShareOptions } from "./share-bench.js";

const skip = process.getuid?.() === 0 ? skipWithoutCargo() : "it takes root to mount";
const SERVER = 12_345;
/** Its directory is opened anew: a descriptor stays in the namespace that it was opened in. */
const REOPEN = 'exec 3<"$(readlink /proc/self/fd/3)"; exec "$@"';
const USER = ["setpriv", `--reuid=${SERVER}`, `--regid=${SERVER}`, "--clear-groups"];

const WAYS: Readonly<Record<string, { readonly user: readonly string[]; readonly options: ShareOptions }>> = {
  "of somebody's": { user: USER, options: { uid: 0, owner: SERVER } },
  "of root's": {
    user: [],
    options: { uid: 0, owner: 0, args: ["--as", `${SERVER}:${SERVER}`, "--own-root"] },
  },
};

async function read(nine: NineCalls, ...path: string[]): Promise<string> {
  const fid = await nine.open(O.rdonly, ...path);
  const content = (await nine.read(fid, 0, 100)).toString();
  await nine.clunk(fid);
  return content;
}

describe("kiln-share: what is mounted below a directory", { skip }, () => {
  for (const [whose, { user, options }] of Object.entries(WAYS)) {
    it(`${whose} is seen where it was there before, and nothing is of later mounts, by either side`, async () => {
      await using host = await Namespaces.hold(["unshare", "--mount"], ["--mount"]);
      host.ok("mount --make-rshared /");
      const within = [...host.prefix, "sh", "-c", REOPEN, "sh", ...user];
      await using bench = await ShareBench.open({ ...options, within });
      // As kilnd does for a server of another user.
      await chmod(bench.socket, 0o666);
      await bench.calls();
      await bench.kill();
      const at = (name: string) => join(bench.root, name);
      host.ok(`mkdir ${at("early")} ${at("late")} && echo below > ${at("late/below")}`);
      host.ok(`mount -t tmpfs early ${at("early")} && echo early > ${at("early/file")}`);
      const before = host.ok("cat /proc/self/mountinfo");
      bench.start();
      const nine = await bench.calls();
      assert.equal(host.ok("cat /proc/self/mountinfo"), before, "nothing of the server's own is seen");
      assert.equal(await read(nine, "early", "file"), "early\n");

      host.ok(`mount -t tmpfs late ${at("late")} && echo late > ${at("late/file")}`);
      assert.equal(await nine.walk(0, ["late", "file"]), undefined);
      assert.equal(await read(nine, "late", "below"), "below\n");
      host.ok(`umount ${at("early")} && test ! -e ${at("early/file")}`);
      assert.equal(await read(nine, "early", "file"), "early\n", "it is in use still");

      await bench.kill();
      bench.start();
      const next = await bench.calls();
      assert.equal(await next.walk(0, ["early", "file"]), undefined);
      assert.equal(await read(next, "late", "file"), "late\n", "the next server begins later");
    });
  }
});
