import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { tinyImage } from "../../test/fixtures/registry/tiny-image.js";
import { KilnError } from "../base/errors.js";
import { normalisePort, parseImageConfig } from "./config.js";

const parse = (run: object | null, config: object = {}) =>
  parseImageConfig(tinyImage({ ...(run === null ? {} : { run }), config }).config.bytes, "img");

function refuses(run: object, message: RegExp): void {
  assert.throws(
    () => parse(run),
    (error: unknown) =>
      error instanceof KilnError && error.reason === "invalid-image-config" && message.test(error.message),
  );
}

describe("parseImageConfig", () => {
  it("reads everything that says what to run", () => {
    const { run } = parse({
      Env: ["PATH=/bin", "EMPTY="],
      Entrypoint: ["/entry"],
      Cmd: ["a", "b c"],
      WorkingDir: "/srv",
      User: "1000:33",
      Labels: { a: "b" },
      ExposedPorts: { "80/tcp": {}, "53/UDP": {}, "8080": {} },
      Volumes: { "/data": {} },
      StopSignal: "SIGRTMIN+3",
    });
    assert.deepEqual(run, {
      env: ["PATH=/bin", "EMPTY="],
      entrypoint: ["/entry"],
      cmd: ["a", "b c"],
      workdir: "/srv",
      user: "1000:33",
      labels: { a: "b" },
      exposedPorts: ["8080/tcp", "80/tcp", "53/udp"],
      volumes: ["/data"],
      stopSignal: "SIGRTMIN+3",
    });
  });
  it("takes null for whatever Go left out", () => {
    const { run } = parse({
      Env: null,
      Entrypoint: null,
      Cmd: null,
      Labels: null,
      ExposedPorts: null,
      User: null,
    });
    assert.deepEqual([run.env, run.entrypoint, run.cmd, run.labels, run.user], [[], [], [], {}, ""]);
  });
  it("takes a command written as one string", () =>
    assert.deepEqual(parse({ Cmd: "/run me" }).run.cmd, ["/run me"]));
  it("gives the platform with its variant", () => {
    assert.deepEqual(parse(null, { architecture: "arm", variant: "v6" }).platform, {
      os: "linux",
      architecture: "arm",
      variant: "v6",
    });
  });
  it("knows no platform where the config does not say", () => {
    assert.equal(parse(null, { architecture: "" }).platform, undefined);
  });
  it("keeps the time to the nanosecond, and gives the epoch for nonsense", () => {
    assert.equal(parse({}).createdAt, "2024-05-06T07:08:09.123456789Z");
    for (const created of ["yesterday", "2024-13-45T07:08:09Z", "2024-05-06T99:99:99Z"])
      assert.equal(parse({}, { created }).createdAt, "1970-01-01T00:00:00Z");
  });
  it("refuses a config without a root file system as no image", () => {
    assert.throws(
      () => parseImageConfig(Buffer.from("{}"), "img"),
      (error: unknown) => error instanceof KilnError && error.reason === "not-an-image",
    );
  });
  it("refuses NUL characters, which would end an argument early", () => refuses({ Cmd: ["a\0b"] }, /NUL/));
  it("refuses an argument that Linux can't take", () =>
    refuses({ Env: [`A=${"x".repeat(131_072)}`] }, /Env/));
  it("leaves out what is no port", () => {
    const words = [
      "0/tcp",
      "/tcp",
      "8080/http",
      "$PORT/tcp",
      "http/tcp",
      "",
      "70000",
      "80/tcp",
      "9-7",
      "7-9/udp",
    ];
    const ExposedPorts = Object.fromEntries(words.map((word) => [word, {}]));
    assert.deepEqual(parse({ ExposedPorts }).run.exposedPorts, ["80/tcp", "7-9/udp"]);
  });
  it("takes null within a list or a map for an empty string, as Go does", () => {
    const { run } = parse({ Env: [null, "A=b"], Cmd: ["a", null], Labels: { a: null, b: "c" } });
    assert.deepEqual([run.env, run.cmd, run.labels], [["A=b"], ["a", ""], { a: "", b: "c" }]);
  });
  it("refuses what is no signal", () => refuses({ StopSignal: "; reboot" }, /signal/));
  it("refuses a command that is an object", () => refuses({ Cmd: { a: 1 } }, /Cmd/));
  it("refuses a diff id that is no digest", () => {
    assert.throws(
      () => parse({}, { rootfs: { type: "layers", diff_ids: ["../../etc/passwd"] } }),
      /diff_ids/,
    );
  });
  it("throws nothing but KilnErrors, whatever the document", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (run, rootfs) => {
        try {
          parseImageConfig(Buffer.from(JSON.stringify({ config: run, rootfs })), "img");
        } catch (error) {
          assert.ok(error instanceof KilnError);
        }
      }),
    );
  });
});

describe("normalisePort", () => {
  for (const [text, expected] of [
    ["80", "80/tcp"],
    ["80/UDP", "80/udp"],
    ["8000-8010/tcp", "8000-8010/tcp"],
    ["0", undefined],
    ["65536", undefined],
    ["10-9", undefined],
    ["80/http", undefined],
  ] as const) {
    it(`reads ${text} as ${expected}`, () => assert.equal(normalisePort(text), expected));
  }
});
