// The agent's bridge in a real guest: the kernel's 9p client at one end, kiln-share at the other, and nothing lost between
// them, whatever ends.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setInterval } from "node:timers/promises";
import { run, until } from "./agent-bench.js";
import { GUEST_ENV, type Guest, GuestBench } from "./agent-guest-bench.js";
import { ShareBench } from "./share-bench.js";

const ROUNDS = 200;
const KILL_EVERY_MS = 200;

describe("agent: share", { timeout: 600_000 }, () => {
  let bench: GuestBench;
  let guest: Guest;
  let share: ShareBench;

  async function sh(script: string): Promise<string> {
    const { stdout, stderr, exit } = await run(guest.session, ["sh", "-c", script], {
      spec: { env: GUEST_ENV },
    });
    assert.equal(exit?.code, 0, `${script}: ${stdout}${stderr} ${exit?.error}`);
    return stdout.trimEnd();
  }

  /** Gives how many died. */
  async function whileServersDie(work: () => Promise<unknown>): Promise<number> {
    let done = false;
    const working = work().finally(() => {
      done = true;
    });
    let kills = 0;
    for await (const _ of setInterval(KILL_EVERY_MS)) {
      if (done) break;
      await share.kill();
      share.start();
      kills += 1;
    }
    await working;
    return kills;
  }

  before(async () => {
    bench = await GuestBench.open();
    guest = await bench.start(await bench.cow(), undefined, [], ["data"]);
    await guest.boot({ args: ["sleep", "10000"] });
    const port = guest.handle.ports.get("data");
    assert.ok(port !== undefined && "port" in port.guest);
    share = await ShareBench.open({ socket: port.socket });
    // As the agent starts it, but for the socket to the agent.
    const bridge = `ln -s /proc/1/exe /@kiln-share && mkdir /mnt && cd / && sleep 10000 |
      PATH=/ @kiln-share --port=${port.guest.port} --within=60000 -- /mnt >/dev/null 2>&1 &`;
    await sh(bridge);
    await until(() => sh("cat /proc/mounts").then((mounts) => mounts.includes(" /mnt 9p ")));
  });
  after(async () => {
    await share?.[Symbol.asyncDispose]();
    await bench?.[Symbol.asyncDispose]();
  });

  it("shows both sides what the other writes", async () => {
    await writeFile(join(share.root, "host"), "of the host\n");
    assert.equal(await sh("cat /mnt/host; echo of the guest > /mnt/guest"), "of the host");
    assert.equal(await readFile(join(share.root, "guest"), "utf8"), "of the guest\n");
  });

  it("copies what is longer than any message, whole, while servers die", async () => {
    const bytes = randomBytes(24 << 20);
    await writeFile(join(share.root, "source"), bytes);
    assert.ok((await whileServersDie(() => sh("cat /mnt/source > /mnt/copy"))) > 1);
    assert.ok(bytes.equals(await readFile(join(share.root, "copy"))));
  });

  it("loses nothing and does nothing twice while servers die", async () => {
    // noclobber makes with O_EXCL; every mkdir, mv and rm fails where it was done before.
    const work = `set -eC; cd /mnt; mkdir work; cd work; i=0
      exec 3>>log
      while [ $i -lt ${ROUNDS} ]; do
        i=$((i+1))
        echo line $i >&3
        echo $i > new$i
        mv new$i kept$i
        mkdir d$i
        [ $((i % 2)) = 0 ] || rm kept$i
      done`;
    assert.ok((await whileServersDie(() => sh(work))) > 5);
    const lines = Array.from({ length: ROUNDS }, (_, index) => `line ${index + 1}\n`);
    assert.equal(await readFile(join(share.root, "work/log"), "utf8"), lines.join(""));
    const names = await readdir(join(share.root, "work"));
    const wanted = lines.flatMap((_, index) => [`d${index + 1}`, ...(index % 2 ? [`kept${index + 1}`] : [])]);
    assert.deepEqual(names.sort(), ["log", ...wanted].sort());
  });

  it("unmounts without a server", async () => {
    await share.kill();
    await sh("umount /mnt");
    assert.doesNotMatch(await sh("cat /proc/mounts"), / 9p /);
    await until(() => sh("ps").then((processes) => !/^ *\d+ \S+ +\S+ @kiln-share/m.test(processes)));
  });
});
