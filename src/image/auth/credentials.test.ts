import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { RegistryCredentials } from "../types.js";
import { createCredentialSource } from "./credentials.js";

describe("createCredentialSource", () => {
  let directory: string;
  let env: NodeJS.ProcessEnv;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-auth-"));
    env = {
      PATH: `${directory}:${process.env.PATH}`,
      HOME: directory,
      XDG_RUNTIME_DIR: join(directory, "run"),
      XDG_CONFIG_HOME: join(directory, "config"),
      DOCKER_CONFIG: join(directory, "docker"),
    };
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const write = async (path: string, document: object) => {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), JSON.stringify(document));
  };
  const auth = (user: string) => ({ auth: Buffer.from(`${user}:pw`).toString("base64") });
  const find = async (registry: string, repository = "a/b", explicit?: Map<string, RegistryCredentials>) => {
    const found = await createCredentialSource({ env, uid: 1, explicit, helperMs: 20_000 }).find(
      registry,
      repository,
    );
    return found?.username ?? found?.identityToken;
  };
  const helper = async (name: string, script: string) => {
    await writeFile(join(directory, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`);
    await chmod(join(directory, `docker-credential-${name}`), 0o755);
  };

  it("finds nothing where there is nothing", async () => assert.equal(await find("ghcr.io"), undefined));
  it("takes the first file that knows the registry", async () => {
    await write("docker/config.json", { auths: { "ghcr.io": auth("docker"), "quay.io": auth("docker") } });
    await write("config/containers/auth.json", { auths: { "ghcr.io": auth("config") } });
    await write("run/containers/auth.json", { auths: { "other.io": auth("run") } });
    assert.equal(await find("ghcr.io"), "config");
    assert.equal(await find("quay.io"), "docker");
  });
  it("takes the most specific key for a repository", async () => {
    await write("run/containers/auth.json", {
      auths: { "quay.io": auth("host"), "quay.io/a": auth("org"), "quay.io/a/b": auth("repo") },
    });
    assert.equal(await find("quay.io", "a/b"), "repo");
    assert.equal(await find("quay.io", "a/c"), "org");
    assert.equal(await find("quay.io", "ab/c"), "host");
  });
  it("looks at no file where only what was given counts, be one required", async () => {
    await write("docker/config.json", { auths: { "ghcr.io": auth("file") } });
    const given = new Map([["quay.io", { username: "given" }]]);
    env.REGISTRY_AUTH_FILE = join(directory, "none.json");
    const source = createCredentialSource({ env, uid: 1, explicit: given, helperMs: 20_000, files: false });
    assert.equal(await source.find("ghcr.io", "a/b"), undefined);
    assert.equal((await source.find("quay.io", "a/b"))?.username, "given");
  });
  it("puts what was given before all files", async () => {
    await write("docker/config.json", { auths: { "https://index.docker.io/v1/": auth("file") } });
    const given = new Map([["https://index.docker.io/v1/", { username: "given", password: "x" }]]);
    assert.equal(await find("docker.io", "library/x", given), "given");
    assert.equal(await find("docker.io", "library/x", new Map([["docker.io", {}]])), "file");
  });
  it("asks a registry's helper before the file's own entries", async () => {
    await helper("one", 'read server; echo "{\\"Username\\":\\"$server\\",\\"Secret\\":\\"s\\"}"');
    await write("docker/config.json", {
      auths: { "ghcr.io": auth("file") },
      credHelpers: { "ghcr.io": "one" },
    });
    assert.equal(await find("ghcr.io"), "ghcr.io");
  });
  it("asks the credsStore, for Docker Hub under docker's old name first", async () => {
    await helper("store", 'cat >>"$HOME/asked"; echo >>"$HOME/asked"; echo credentials not found; exit 1');
    await write("docker/config.json", { auths: { "docker.io": auth("file") }, credsStore: "store" });
    assert.equal(await find("docker.io"), "file");
    assert.equal(
      await readFile(join(directory, "asked"), "utf8"),
      "https://index.docker.io/v1/\ndocker.io\n",
    );
  });
  it("reads REGISTRY_AUTH_FILE only, and says where it is missing", async () => {
    await write("docker/config.json", { auths: { "ghcr.io": auth("docker") } });
    env.REGISTRY_AUTH_FILE = join(directory, "mine.json");
    await assert.rejects(find("ghcr.io"), {
      reason: "invalid-auth-file",
      message: /mine\.json: there is no such file/,
    });
    await write("mine.json", { auths: {} });
    assert.equal(await find("ghcr.io"), undefined);
  });
});
