import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Challenge } from "../http/challenge.js";
import { parseTokenAnswer, planTokenRequest } from "./token.js";

const ENDPOINT = { root: new URL("https://registry.example/v2"), plainHttp: false };
const LOCAL = { root: new URL("http://127.0.0.1:5000/v2"), plainHttp: false };

function challenge(parameters: Record<string, string>): Challenge {
  return { scheme: "bearer", parameters: new Map(Object.entries(parameters)) };
}
const REALM = { realm: "https://auth.example/token?x=1", service: "svc" };

describe("planTokenRequest", () => {
  it("asks anonymously for pull on the repository", () => {
    const request = planTokenRequest(challenge(REALM), ENDPOINT, "a/b", undefined);
    assert.equal(
      request.url.href,
      "https://auth.example/token?x=1&service=svc&scope=repository%3Aa%2Fb%3Apull",
    );
    assert.deepEqual([request.method, request.privateHeaders], ["GET", {}]);
  });
  it("takes the challenge's scopes, each as a parameter of its own", () => {
    const scoped = challenge({ ...REALM, scope: "repository:p/b:pull repository:c:pull" });
    const { url } = planTokenRequest(scoped, ENDPOINT, "a/b", undefined);
    assert.deepEqual(url.searchParams.getAll("scope"), ["repository:p/b:pull", "repository:c:pull"]);
  });
  it("shows user and password by Basic", () => {
    const credentials = { username: "me", password: "pä:ss" };
    const { privateHeaders, url } = planTokenRequest(challenge(REALM), ENDPOINT, "a/b", credentials);
    assert.equal(privateHeaders.authorization, `Basic ${Buffer.from("me:pä:ss").toString("base64")}`);
    assert.equal(url.searchParams.get("account"), "me");
    assert.doesNotMatch(decodeURIComponent(url.href), /pä/);
  });
  it("sends an identity token in a form, never in the URL", () => {
    const request = planTokenRequest(challenge(REALM), ENDPOINT, "a/b", { identityToken: "refresh/me" });
    assert.equal(request.method, "POST");
    assert.equal(request.url.href, "https://auth.example/token?x=1");
    assert.deepEqual(Object.fromEntries(new URLSearchParams(request.body)), {
      grant_type: "refresh_token",
      refresh_token: "refresh/me",
      client_id: "kiln",
      scope: "repository:a/b:pull",
      service: "svc",
    });
  });
  for (const [what, endpoint, realm] of [
    ["without TLS", ENDPOINT, "http://auth.example/token"],
    ["on this machine, named by a remote registry", ENDPOINT, "https://127.0.0.1/token"],
    ["in plain HTTP off this machine", LOCAL, "http://auth.example/token"],
    ["that is no URL", ENDPOINT, "auth"],
  ] as const) {
    it(`refuses a token server ${what}`, () => {
      const credentials = { username: "me", password: "pw" };
      assert.throws(() => planTokenRequest(challenge({ realm }), endpoint, "a/b", credentials), {
        reason: "registry-error",
      });
    });
  }
  it("refuses a challenge without a realm", () => {
    assert.throws(() => planTokenRequest(challenge({}), ENDPOINT, "a/b", undefined), {
      reason: "registry-error",
    });
  });
  it("lets a registry on this machine have its token server there", () => {
    const local = challenge({ realm: "http://localhost:5001/token" });
    assert.equal(planTokenRequest(local, LOCAL, "a/b", undefined).url.host, "localhost:5001");
  });
});

describe("parseTokenAnswer", () => {
  it("takes either spelling", () => {
    assert.equal(parseTokenAnswer('{"token":"t"}', "x").value, "t");
    assert.equal(parseTokenAnswer('{"access_token":"a","token":null}', "x").value, "a");
    assert.equal(parseTokenAnswer('{"token":"t","access_token":"a"}', "x").value, "t");
  });
  it("takes the one that is not empty", () => {
    assert.equal(parseTokenAnswer('{"token":"","access_token":"a"}', "x").value, "a");
    assert.equal(parseTokenAnswer('{"token":"t","access_token":""}', "x").value, "t");
  });
  it("reads a life in any form, and believes the least of one that is none", () => {
    const life = (expires: unknown) =>
      parseTokenAnswer(JSON.stringify({ token: "t", refresh_token: "r", expires_in: expires }), "x").lifeMs;
    assert.deepEqual(
      [life("300"), life(300.5), life("soon"), life(null), life([1]), life({})],
      [240_000, 240_400, 48_000, 48_000, 48_000, 48_000],
    );
  });
  it("believes no life below a minute or above a day", () => {
    const life = (seconds: number) =>
      parseTokenAnswer(JSON.stringify({ token: "t", expires_in: seconds }), "x").lifeMs;
    assert.deepEqual([life(-5), life(300), life(1e12)], [48_000, 240_000, 69_120_000]);
  });
  for (const text of [
    "",
    "SECRET",
    '{"token":""}',
    '{"token":"","access_token":""}',
    "{}",
    '{"token":"SECRET\\r\\nx: y"}',
    '{"token":["SECRET"]}',
  ]) {
    it(`refuses ${JSON.stringify(text)} without showing it`, () => {
      assert.throws(
        () => parseTokenAnswer(text, "log in to x"),
        (error: unknown) => error instanceof Error && !error.message.includes("SECRET"),
      );
    });
  }
});
