import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { describe, it } from "node:test";
import { KilnError } from "../../base/errors.js";
import { HELPER_GROUPS } from "./plan.js";
import { hasSlirp, planSlirp, startSlirp } from "./slirp.js";
import { SlirpNetwork } from "./slirp-network.js";

const GUARD = { library: "/guard.so", resolver: undefined };
const REQUEST = {
  program: "/usr/bin/slirp4netns",
  guard: GUARD,
  egress: { kind: "all" },
  pid: 4_000_001,
} as const;

/** A process, whatever it is, with what a slirp4netns for that VMM is called by. */
function standIn(pid: number) {
  const child = spawn("sh", ["-c", "read word", "slirp4netns", `/proc/${pid}/ns/net`, "slirp0"], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  return { [Symbol.dispose]: () => void child.kill("SIGKILL") };
}

const tap = (pid: number) => async () => ({
  pid,
  alive: () => Promise.reject(new Error("nothing may be started")),
});

describe("planSlirp", () => {
  it("closes the host's loopback, runs guarded, and is in no namespace but the VM's", () => {
    const { argv, env } = planSlirp({ ...REQUEST, uid: 1000, environment: { MARK: "m" } });
    const words = argv.join(" ");
    assert.match(words, /--disable-host-loopback/);
    assert.match(words, /--userns-path=\/proc\/4000001\/ns\/user \/proc\/4000001\/ns\/net slirp0$/);
    assert.deepEqual([env.LD_PRELOAD, env.MARK], ["/guard.so", "m"]);
    assert.doesNotMatch(planSlirp({ ...REQUEST, uid: 0 }).argv.join(" "), /userns/);
  });

  it("has a group of its own under root, which keeps its VM from the host's networks, and none elsewhere", () => {
    const ofRoot = planSlirp({ ...REQUEST, uid: 0 }).argv;
    assert.ok(ofRoot.indexOf(`--regid=${HELPER_GROUPS.first}`) < ofRoot.indexOf("/usr/bin/slirp4netns"));
    assert.doesNotMatch(planSlirp({ ...REQUEST, uid: 1000 }).argv.join(" "), /gid|groups/);
  });
});

describe("slirp4netns beside a VMM", () => {
  it("is never started for one that is in the host's own network", async () => {
    const plan = planSlirp({ ...REQUEST, uid: 0 });
    const { pid } = process;
    await assert.rejects(
      startSlirp(plan, { pid, alive: () => Promise.reject(new Error("nothing may be opened")) }),
      (error) => error instanceof KilnError && /the host's network/.test(error.message),
    );
  });

  it("is found again by the namespace that it names, and then no second one is started", async () => {
    using running = standIn(process.pid);
    assert.ok(running);
    while (!(await hasSlirp(process.pid))) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await hasSlirp(1), false);
    const network = await SlirpNetwork.adopt({
      ...{ tap: tap(process.pid), join: async () => undefined, runDirectory: "/nowhere" },
      plan: () => Promise.reject(new Error("nothing may be planned")),
    });
    network.listen(({ message }) => assert.fail(message));
    await network.end();
    assert.ok(await hasSlirp(process.pid), "what an earlier kilnd started ends with its VMM");
  });

  it("that is gone and can't be started again costs the VM its network, which is told once, and not the VM", async () => {
    const network = await SlirpNetwork.adopt({
      ...{ tap: tap(REQUEST.pid), join: async () => undefined, runDirectory: "/nowhere" },
      plan: () => Promise.reject(new Error("it is not installed")),
    });
    const told: unknown[] = [];
    network.listen((notice) => told.push(notice));
    network.listen((notice) => told.push(notice));
    assert.deepEqual(told, [{ down: true, message: "it is not installed" }]);
  });
});
