import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CONTAINER, IMAGE_RUN } from "../../../../test/fixtures/container-spec.js";
import { hasReason } from "../../../base/errors.js";
import { planArguments, planDirectory, planEnvironment } from "./process.js";

describe("planArguments", () => {
  const image = { entrypoint: ["/entry"], cmd: ["c", "d"] };
  for (const [command, args, words] of [
    [[], [], ["/entry", "c", "d"]],
    [["/x"], [], ["/x"]],
    [[], ["a"], ["/entry", "a"]],
    [["/x"], ["a"], ["/x", "a"]],
  ] as const) {
    it(`of command [${command}] and arguments [${args}]`, () => {
      assert.deepEqual(planArguments({ command, args }, image), words);
    });
  }

  it("refuses what a program would be shown in part", () => {
    for (const spec of [
      { command: ["/a\0"], args: [] },
      { command: [], args: ["x\0y"] },
    ]) {
      assert.throws(
        () => planArguments(spec, image),
        (error) => hasReason(error, "bad-text"),
      );
    }
    assert.throws(
      () => planDirectory({ workdir: "/a\0b" }, IMAGE_RUN),
      (error) => hasReason(error, "bad-text"),
    );
  });

  it("refuses a container that would run nothing", () => {
    assert.throws(
      () => planArguments({ command: [], args: [] }, IMAGE_RUN),
      (error) => hasReason(error, "no-command"),
    );
  });
});

describe("planEnvironment", () => {
  const variable = (name: string, value: string) => ({ name, value: Buffer.from(value) });

  it("puts what was asked over the image's, and the image's over what every container has", () => {
    const env = [variable("B", "asked"), variable("NEW", "x=y"), variable("NEW", "last")];
    const image = { env: ["PATH=/image", "A=image", "B=image"] };
    assert.deepEqual(planEnvironment({ env, tty: false }, image, "pod").text, [
      ...["PATH=/image", "HOSTNAME=pod", "A=image", "B=asked", "NEW=last"],
    ]);
  });

  it("has a PATH, and a TERM on a terminal", () => {
    const { text } = planEnvironment({ env: [], tty: true }, IMAGE_RUN, "pod");
    assert.match(text[0] ?? "", /^PATH=\/usr\/local\/sbin:/);
    assert.equal(text.at(-1), "TERM=xterm");
  });

  it("gives what is no UTF-8 by itself, byte for byte", () => {
    const value = new Uint8Array([0xff, 0x3d, 0xc3, 0x28]);
    const { text, bytes } = planEnvironment({ env: [{ name: "A", value }], tty: false }, IMAGE_RUN, "pod");
    assert.ok(text.every((entry) => !entry.startsWith("A=")));
    assert.deepEqual(bytes, [Buffer.from([0x41, 0x3d, ...value])]);
  });

  for (const [name, value] of [
    ["", "x"],
    ["A=B", "x"],
    ["A\0", "x"],
    ["A", "x\0y"],
  ] as const) {
    it(`refuses ${JSON.stringify(name)} of ${JSON.stringify(value)}`, () => {
      const env = [variable(name, value)];
      assert.throws(
        () => planEnvironment({ env, tty: false }, IMAGE_RUN, "pod"),
        (error) => hasReason(error, "bad-variable"),
      );
    });
  }
});

it("the directory is what was asked, else the image's, else the root", () => {
  assert.equal(planDirectory({ workdir: "/asked" }, { workdir: "/image" }), "/asked");
  assert.equal(planDirectory(CONTAINER, { workdir: "/image" }), "/image");
  assert.equal(planDirectory(CONTAINER, { workdir: "srv" }), "/srv");
  assert.equal(planDirectory(CONTAINER, IMAGE_RUN), "/");
});
