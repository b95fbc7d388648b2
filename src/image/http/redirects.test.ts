import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { type FakeRegistry, startFakeRegistry } from "../../../test/fixtures/registry/fake-registry.js";
import { KilnError } from "../../base/errors.js";
import { HttpClient } from "./client.js";
import { planRedirect, sendFollowing } from "./redirects.js";

const STRICT = { plainHttp: false };

function refused(from: string, location: string, why: RegExp, rules = STRICT): void {
  assert.throws(
    () => planRedirect(new URL(from), location, rules),
    (error: unknown) =>
      error instanceof KilnError && error.reason === "redirect-refused" && why.test(error.message),
  );
}

describe("planRedirect", () => {
  it("resolves a relative location", () => {
    const to = planRedirect(new URL("https://a.example/v2/x"), "../y?z=1#frag", STRICT);
    assert.equal(to.href, "https://a.example/y?z=1");
  });
  it("lets HTTPS lead to another HTTPS host", () => {
    assert.equal(
      planRedirect(new URL("https://a.example/"), "https://b.example/x", STRICT).host,
      "b.example",
    );
  });
  it("refuses to leave HTTPS, even where plain HTTP was asked for", () => {
    refused("https://a.example/", "http://a.example/", /without TLS/, { plainHttp: true });
  });
  it("refuses plain HTTP off loopback unless it was asked for", () => {
    refused("http://127.0.0.1/", "http://b.example/", /plain HTTP/);
    assert.equal(
      planRedirect(new URL("http://a.example/"), "http://b.example/", { plainHttp: true }).host,
      "b.example",
    );
  });
  it("refuses to be sent to this machine or the cloud's metadata", () => {
    refused("https://a.example/", "https://127.0.0.1:8443/", /this machine/);
    refused("https://a.example/", "https://169.254.169.254/latest", /this machine/);
    refused("http://a.example/", "http://localhost/", /this machine/, { plainHttp: true });
  });
  it("refuses other schemes, passwords and nonsense", () => {
    refused("https://a.example/", "file:///etc/passwd", /not HTTP/);
    refused("https://a.example/", "https://user:pw@b.example/", /password/);
    refused("https://a.example/", "https://", /no URL/);
    refused("https://a.example/", `https://b.example/${"x".repeat(20_000)}`, /no URL/);
  });
  it("does not repeat a signed link's query in its error", () => {
    assert.throws(
      () => planRedirect(new URL("https://a.example/"), "http://b.example/x?sig=SECRET", STRICT),
      (error: unknown) => error instanceof Error && !error.message.includes("SECRET"),
    );
  });
});

describe("sendFollowing", () => {
  let home: FakeRegistry;
  let elsewhere: FakeRegistry;
  let client: HttpClient;
  before(async () => {
    home = await startFakeRegistry();
    elsewhere = await startFakeRegistry();
    client = new HttpClient({ home: new URL(home.origin), tls: {}, env: {}, limits: { answerMs: 10_000 } });
  });
  after(async () => {
    client.close();
    await home.close();
    await elsewhere.close();
  });
  beforeEach(() => {
    home.intercept = elsewhere.intercept = () => false;
  });

  const send = (path: string) =>
    sendFollowing(
      client,
      {
        method: "GET",
        url: new URL(path, home.origin),
        headers: { accept: "x/y", range: "bytes=3-" },
        privateHeaders: { authorization: "Bearer SECRET", "x-mirror-key": "SECRET" },
      },
      { redirects: 3, plainHttp: false },
    );
  const redirect = (registry: FakeRegistry, path: string, location: string) => {
    const others = registry.intercept;
    registry.intercept = (request, response) => {
      if (request.url !== path) return others(request, response);
      response.writeHead(307, { location }).end();
      return true;
    };
  };

  it("keeps credentials on a redirect within the host", async () => {
    redirect(home, "/one", "/v2/");
    (await send("/one")).body.resume();
    assert.equal(home.asked("/v2/").at(-1)?.headers.authorization, "Bearer SECRET");
  });
  it("shows another host, if only another port, neither credentials nor the mirror's headers, but what was asked", async () => {
    redirect(home, "/two", `${elsewhere.origin}/v2/`);
    (await send("/two")).body.resume();
    const headers = elsewhere.asked("/v2/").at(-1)?.headers;
    assert.deepEqual(
      [headers?.authorization, headers?.["x-mirror-key"], headers?.range, headers?.accept],
      [undefined, undefined, "bytes=3-", "x/y"],
    );
  });
  it("does not show them again when the redirect comes back", async () => {
    redirect(home, "/three", `${elsewhere.origin}/back`);
    redirect(elsewhere, "/back", `${home.origin}/v2/again`);
    (await send("/three")).body.resume();
    assert.equal(home.asked("/v2/again").at(-1)?.headers.authorization, undefined);
  });
  it("ends a circle", async () => {
    redirect(home, "/circle", "/circle");
    await assert.rejects(send("/circle"), { reason: "redirect-refused", message: /more than 3 times/ });
  });
});
