import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { KilnError } from "../../base/errors.js";
import { askCredentialHelper } from "./credential-helper.js";

describe("askCredentialHelper", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-helper-"));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  const helper = async (name: string, script: string) => {
    const path = join(directory, `docker-credential-${name}`);
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
    return name;
  };
  const ask = (name: string, timeoutMs = 20_000) =>
    askCredentialHelper({
      helper: name,
      server: "ghcr.io",
      env: { PATH: `${directory}:${process.env.PATH}`, OUT: join(directory, "seen") },
      timeoutMs,
    });
  const fails = async (name: string, why: RegExp, timeoutMs?: number) => {
    await assert.rejects(ask(name, timeoutMs), (error: unknown) => {
      assert.ok(error instanceof KilnError);
      assert.equal(error.reason, "credential-helper-failed");
      assert.match(error.message, why);
      assert.doesNotMatch(`${error.message}${error.hint}`, /SECRET/);
      return true;
    });
  };

  it("gives the server on stdin and reads user and secret", async () => {
    await helper(
      "ok",
      'cat >"$OUT"; echo "$1" >>"$OUT"; echo \'{"ServerURL":"ghcr.io","Username":"me","Secret":"pw"}\'',
    );
    assert.deepEqual(await ask("ok"), { username: "me", password: "pw" });
    assert.equal(await readFile(join(directory, "seen"), "utf8"), "ghcr.ioget\n");
  });
  it("knows an identity token by its user name", async () => {
    await helper("token", 'echo \'{"Username":"<token>","Secret":"tok"}\'');
    assert.deepEqual(await ask("token"), { identityToken: "tok" });
  });
  it("has nothing where the helper has nothing", async () => {
    await helper("none", 'echo "credentials not found in native keychain"; exit 1');
    assert.equal(await ask("none"), undefined);
  });
  it("reports another failure without the helper's words", async () => {
    await helper("broken", "echo SECRET; echo SECRET >&2; exit 3");
    await fails("broken", /exit code 3/);
  });
  it("reports an answer that is not JSON without quoting it", async () => {
    await helper("text", "echo SECRET");
    await fails("text", /not JSON/);
  });
  it("reports an answer in another form", async () => {
    await helper("odd", "echo '{\"Username\":1}'");
    await fails("odd", /no Username and Secret/);
  });
  it("reports a helper that is not there", () => fails("absent", /not in PATH/));
  it("gives up on a helper that hangs, even where its child keeps the pipe", async () => {
    await helper("hang", "sleep 60 & wait");
    await fails("hang", /in time/, 50);
  });
  it("bounds what a helper may print", async () => {
    await helper("flood", "head -c 200000 /dev/zero");
    await fails("flood", /too long/);
  });
  it("takes no path for a name", () => fails("../../bin/sh", /letters, digits/));
});
