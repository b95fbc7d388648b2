// Layouts and archives as skopeo and umoci write them.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { missingPrograms, runProgram } from "../fixtures/registry/programs.js";
import { openStoreLab, type StoreLab } from "../fixtures/registry/store-lab.js";
import { type TinyImage, tarOf, tinyImage, writeLayout } from "../fixtures/registry/tiny-image.js";

const missing = missingPrograms(["skopeo", "umoci"]);
const skip = missing.length === 0 ? false : `not installed: ${missing.join(", ")}`;

describe("skopeo's archives", { skip }, () => {
  let lab: StoreLab;
  let image: TinyImage;
  let layout: string;
  beforeEach(async () => {
    lab = await openStoreLab();
    layout = join(lab.directory, "layout");
    const same = tarOf({ same: "twice" });
    image = tinyImage({ tars: [tarOf({ a: randomBytes(100_000) }), same, same] });
    await writeLayout(layout, [{ image, tag: "v1" }]);
  });
  afterEach(() => lab[Symbol.asyncDispose]());
  const copy = (to: string) =>
    runProgram("skopeo", ["copy", "--quiet", `oci:${layout}:v1`, to], {
      ...process.env,
      HOME: lab.directory,
    });

  it("docker-archive is read, with a layer that occurs twice", async () => {
    const file = join(lab.directory, "docker.tar");
    await copy(`docker-archive:${file}:team/app:v1`);
    const stored = await lab.pull(`docker-archive:${file}:team/app:v1`);
    assert.equal(stored.id, image.config.digest);
    assert.deepEqual(stored.names, ["docker.io/team/app:v1"]);
    assert.deepEqual(
      stored.layers.map(({ diffId, digest }) => diffId === digest),
      [true, true, true],
    );
  });
  it("oci-archive is read, by its tag", async () => {
    const file = join(lab.directory, "oci.tar");
    await copy(`oci-archive:${file}:v2`);
    const stored = await lab.pull(`oci-archive:${file}:v2`);
    assert.equal(stored.id, image.config.digest);
    assert.deepEqual(stored.names, ["localhost/oci:v2"]);
  });
  it("an OCI layout is read", async () => {
    await copy(`oci:${join(lab.directory, "copy")}:v3`);
    assert.equal((await lab.pull(`oci:${join(lab.directory, "copy")}:v3`)).id, image.config.digest);
  });
  it("an image that umoci has configured is read", async () => {
    await runProgram("umoci", [
      "config",
      "--image",
      `${layout}:v1`,
      "--tag",
      "mine",
      "--config.entrypoint=/entry",
      "--config.exposedports=80/tcp",
      "--config.user=1000:33",
    ]);
    const { run, layers } = await lab.pull(`oci:${layout}:mine`);
    assert.deepEqual([run.entrypoint, run.exposedPorts, run.user], [["/entry"], ["80/tcp"], "1000:33"]);
    assert.equal(layers.length, 3);
  });
});
