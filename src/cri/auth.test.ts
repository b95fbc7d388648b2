import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { create } from "@bufbuild/protobuf";
import { hasReason } from "../base/errors.js";
import { type AuthConfig, AuthConfigSchema } from "../gen/runtime/v1/api_pb.js";
import { credentialsFor } from "./auth.js";

const authOf = (fields: Partial<Omit<AuthConfig, "$typeName">>) => create(AuthConfigSchema, fields);
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("credentialsFor", () => {
  it("takes the first that is there: user, identity token, pair in base64, registry token", () => {
    const all = { username: "u", password: "p", identityToken: "i", auth: base64("a:b"), registryToken: "r" };
    assert.deepEqual(credentialsFor("x.io", authOf(all)), { username: "u", password: "p" });
    assert.deepEqual(credentialsFor("x.io", authOf({ ...all, username: "" })), { identityToken: "i" });
    const pair = authOf({ auth: base64("a:b:c"), registryToken: "r" });
    assert.deepEqual(credentialsFor("x.io", pair), { username: "a", password: "b:c" });
    assert.deepEqual(credentialsFor("x.io", authOf({ registryToken: "r" })), { registryToken: "r" });
  });

  it("is nothing where nothing is said", () => {
    assert.equal(credentialsFor("x.io", undefined), undefined);
    assert.equal(credentialsFor("x.io", authOf({})), undefined);
  });

  it("keeps a secret that names a server for that server", () => {
    const secret = (serverAddress: string) => authOf({ username: "u", serverAddress });
    for (const address of ["x.io", "https://x.io", "https://X.io/v1/", ""]) {
      assert.deepEqual(credentialsFor("x.io", secret(address)), { username: "u", password: "" }, address);
    }
    for (const address of ["y.io", "https://y.io/x.io", "x.io:5000", "https://x.io.evil"]) {
      assert.equal(credentialsFor("x.io", secret(address)), undefined, address);
    }
    assert.ok(credentialsFor("docker.io", secret("https://index.docker.io/v1/")));
    assert.ok(credentialsFor("127.0.0.1:5000", secret("127.0.0.1:5000")));
  });

  for (const [what, fields] of [
    ["a pair without a colon", { auth: base64("SECRET") }],
    ["no base64", { auth: "SECRET:SECRET" }],
    ["a token with a line break", { registryToken: "SECRET\r\nx: y" }],
  ] as const) {
    it(`refuses ${what} without showing it`, () => {
      assert.throws(
        () => credentialsFor("x.io", authOf(fields)),
        (error) => hasReason(error, "bad-auth") && !/SECRET|U0VDUkVU/.test(inspect(error)),
      );
    });
  }
});
