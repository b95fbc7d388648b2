// kilnd as Kubernetes sees it: critest's own specs, and crictl, both unmodified, on the socket of a real kilnd whose images
// come from a registry here.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { run, TestKiln } from "../e2e/harness.js";
import { CHECKOUT } from "../fixtures/assets.js";
import { cannotRunRegistry, type TestRegistry } from "../fixtures/registry/index.js";
import { serveImages, writeMirrors } from "./images.js";
import { resultsOf } from "./report.js";
import { FOCUS, NOT_YET } from "./specs.js";

const PROGRAMS = join(CHECKOUT, ".build/cri");
const USER_IMAGE = "gcr.io/k8s-staging-cri-tools/test-image-user-uid:latest";

const skip = cannotRunRegistry() ?? false;

describe("Kubernetes' judges", { skip }, () => {
  let registry: TestRegistry;
  let kiln: TestKiln;
  let endpoint: string;
  before(async () => {
    registry = await serveImages();
    // Short, as sockets' paths have to be.
    const socket = `/tmp/kiln-critest-${process.pid}.sock`;
    endpoint = `unix://${socket}`;
    kiln = await TestKiln.start({ daemonArgs: ["--cri", socket] });
    await writeMirrors(join(kiln.root, "config"), registry);
  });
  after(async () => {
    await kiln?.dispose();
    await registry?.stop();
  });

  it("critest passes, but for what is not there yet", async (t) => {
    const report = join(kiln.root, "critest.json");
    const words = ["--runtime-endpoint", endpoint, "--ginkgo.no-color", "--ginkgo.timeout", "10m"];
    const chosen = ["--ginkgo.focus", FOCUS.join("|"), "--ginkgo.json-report", report];
    const { stdout } = await run([join(PROGRAMS, "critest"), ...words, ...chosen], { timeoutMs: 660_000 });
    const specs = resultsOf(await readFile(report, "utf8").catch(() => assert.fail(`no report:\n${stdout}`)));
    const passed = specs.filter(({ state }) => state === "passed").map(({ name }) => name);
    t.diagnostic(`critest: ${passed.length} of ${specs.length} specs about images and the runtime pass`);
    for (const [name, why] of NOT_YET) t.diagnostic(`not yet: ${name}: ${why}`);
    const failed = specs.filter(({ name, state }) => state !== "passed" && !NOT_YET.has(name));
    assert.deepEqual(failed, []);
    assert.ok(passed.length >= 18, `${passed.length} passed`);
    // What has come to pass is taken off the list.
    assert.deepEqual(
      passed.filter((name) => NOT_YET.has(name)),
      [],
    );
    const names = new Set(specs.map(({ name }) => name));
    assert.deepEqual(
      [...NOT_YET.keys()].filter((name) => !names.has(name)),
      [],
    );
  });

  /** crictl, which must succeed. */
  async function crictl(...words: string[]): Promise<string> {
    const result = await run([join(PROGRAMS, "crictl"), "-r", endpoint, "-i", endpoint, ...words]);
    assert.equal(result.code, 0, `crictl ${words.join(" ")}:\n${result.stderr}`);
    return result.stdout;
  }

  it("crictl tells what this is", async () => {
    const version = await crictl("version");
    assert.match(version, /RuntimeName: +kiln\n/);
    assert.match(version, /RuntimeApiVersion: +v1\n/);
    const info = JSON.parse(await crictl("info"));
    assert.equal(info.status.conditions[0].reason, "PodsUnimplemented");
    assert.match(await crictl("runtime-config"), /CGROUPFS/i);
    for (const list of ["pods", "ps", "stats", "statsp"])
      assert.match(await crictl(list), /^\S*(POD|CONTAINER)/);
  });

  it("crictl pulls, shows, finds and removes an image, as kiln does", async () => {
    const pulled = await crictl("pull", USER_IMAGE);
    const [id = ""] = /sha256:[a-f0-9]{64}/.exec(pulled) ?? [];
    const { images } = JSON.parse(await crictl("images", "-o", "json"));
    assert.deepEqual(
      images.map((image: { id: string }) => image.id),
      [id],
    );
    assert.deepEqual(images[0].repoTags, [USER_IMAGE]);
    assert.equal((await kiln.ok(["images", "-q", "--no-trunc"])).trim(), id);
    assert.match(await crictl("images", "--digests"), /test-image-user-uid +latest/);
    const shown = JSON.parse(await crictl("inspecti", id.slice("sha256:".length, 20)));
    assert.equal(shown.status.uid.value, "1002");
    assert.equal(shown.info.imageSpec.config.User, "1002");
    const { status } = JSON.parse(await crictl("imagefsinfo", "-o", "json"));
    assert.equal(status.imageFilesystems[0].fsId.mountpoint, join(kiln.root, "data"));
    await crictl("rmi", USER_IMAGE);
    assert.equal(await kiln.ok(["images", "-q"]), "");
  });

  it("crictl is told why there is no such image", async () => {
    const none = ["pull", "gcr.io/k8s-staging-cri-tools/none:1"];
    const { code, stderr } = await run([join(PROGRAMS, "crictl"), "-r", endpoint, "-i", endpoint, ...none]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /code = NotFound desc = no such image: gcr\.io\/k8s-staging-cri-tools\/none:1.*\(check the name/,
    );
  });

  it("the list of the interface is what its module says", async () => {
    const script = join(CHECKOUT, "scripts/cri-descriptor.mjs");
    const { code, stderr } = await run([process.execPath, script, "--check"]);
    assert.equal(code, 0, stderr);
  });
});
