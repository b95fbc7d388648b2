import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { authFilePaths, keysFor, normaliseKey, parseAuthFile, readAuthFile } from "./auth-file.js";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const parse = (document: object) => parseAuthFile(JSON.stringify(document), "/auth.json");

describe("authFilePaths", () => {
  const env = {
    HOME: "/home/u",
    XDG_RUNTIME_DIR: "/run/user/1",
    XDG_CONFIG_HOME: "/cfg",
    DOCKER_CONFIG: "/dock",
  };
  const paths = (more: NodeJS.ProcessEnv) => authFilePaths(more, 7).map(({ path }) => path);

  it("names the files in their order", () => {
    assert.deepEqual(paths(env), [
      "/run/user/1/containers/auth.json",
      "/cfg/containers/auth.json",
      "/dock/config.json",
    ]);
  });
  it("falls back to the home directory and the user's own runtime directory", () => {
    assert.deepEqual(paths({ HOME: "/home/u" }), [
      "/run/containers/7/auth.json",
      "/home/u/.config/containers/auth.json",
      "/home/u/.docker/config.json",
    ]);
  });
  it("looks nowhere else when REGISTRY_AUTH_FILE is set", () => {
    assert.deepEqual(authFilePaths({ ...env, REGISTRY_AUTH_FILE: "/mine" }, 7), [
      { path: "/mine", required: true },
    ]);
  });
});

describe("readAuthFile", () => {
  it("refuses a FIFO and an endless device at once, and knows a file that is not there", async () => {
    const directory = await mkdtemp(join(tmpdir(), "kiln-auth-"));
    try {
      execFileSync("mkfifo", [join(directory, "fifo")]);
      await symlink("/dev/zero", join(directory, "device"));
      for (const name of ["fifo", "device"]) {
        const why = { reason: "invalid-auth-file", message: /is not a regular file/ };
        await assert.rejects(readAuthFile(join(directory, name)), why);
      }
      assert.equal(await readAuthFile(join(directory, "nothing")), undefined);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe("parseAuthFile", () => {
  it("reads user and password, colons in the password kept", () => {
    const { auths } = parse({ auths: { "ghcr.io": { auth: base64("me:a:b") } } });
    assert.deepEqual(auths.get("ghcr.io"), { username: "me", password: "a:b" });
  });
  it("prefers an identity token", () => {
    const { auths } = parse({ auths: { "x.io": { auth: base64("me:pw"), identitytoken: "tok" } } });
    assert.deepEqual(auths.get("x.io"), { identityToken: "tok" });
  });
  it("skips the empty entries that docker writes beside a credsStore", () => {
    const file = parse({ auths: { "x.io": {} }, credsStore: "desktop" });
    assert.deepEqual([file.auths.size, file.credsStore], [0, "desktop"]);
  });
  it("knows Docker Hub under all its names", () => {
    for (const key of [
      "https://index.docker.io/v1/",
      "docker.io",
      "registry-1.docker.io",
      "index.docker.io",
    ]) {
      assert.ok(parse({ auths: { [key]: { auth: base64("a:b") } } }).auths.has("docker.io"), key);
    }
  });
  for (const [what, text] of [
    ["no JSON", '{"auths": SECRET'],
    ["another form", '{"auths": {"x": {"auth": {"SECRET": 1}}}}'],
    ["an auth without a colon", JSON.stringify({ auths: { x: { auth: base64("SECRET") } } })],
  ] as const) {
    it(`refuses ${what} without showing it`, () => {
      assert.throws(
        () => parseAuthFile(text, "/auth.json"),
        (error: unknown) => {
          assert.ok(error instanceof Error);
          assert.match(error.message, /\/auth\.json/);
          assert.doesNotMatch(`${error.message} ${String(error.cause)}`, /SECRET|U0VDUkVU/);
          return true;
        },
      );
    });
  }
});

describe("normaliseKey", () => {
  for (const [key, expected] of [
    ["https://Quay.io/v2/", "quay.io"],
    ["http://localhost:5000", "localhost:5000"],
    ["quay.io/org/repo", "quay.io/org/repo"],
    ["docker.io/owner", "docker.io/owner"],
    ["index.docker.io/v1/", "docker.io"],
  ] as const) {
    it(`reads ${key} as ${expected}`, () => assert.equal(normaliseKey(key), expected));
  }
});

describe("keysFor", () => {
  it("goes from the repository to the host", () => {
    assert.deepEqual(keysFor("quay.io", "a/b"), ["quay.io/a/b", "quay.io/a", "quay.io"]);
  });
});
