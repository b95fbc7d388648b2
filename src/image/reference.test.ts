import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { KilnError } from "../base/errors.js";
import { familiarName, formatReference, parseReference, registryHost } from "./reference.js";

const HEX = "a".repeat(64);

function assertInvalid(text: string, why: RegExp): void {
  assert.throws(
    () => parseReference(text),
    (error: unknown) =>
      error instanceof KilnError && error.reason === "invalid-reference" && why.test(error.message),
  );
}

describe("parseReference", () => {
  const full: [string, string][] = [
    ["alpine", "docker.io/library/alpine:latest"],
    ["alpine:3.20", "docker.io/library/alpine:3.20"],
    ["docker://alpine", "docker.io/library/alpine:latest"],
    ["index.docker.io/alpine", "docker.io/library/alpine:latest"],
    ["docker.io/owner/name", "docker.io/owner/name:latest"],
    ["owner/name:v1", "docker.io/owner/name:v1"],
    ["localhost/x", "localhost/x:latest"],
    ["localhost:5000/x/y:z", "localhost:5000/x/y:z"],
    ["127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"],
    ["[::1]:5000/x", "[::1]:5000/x:latest"],
    ["GHCR.io/a/b", "ghcr.io/a/b:latest"],
    ["quay.io/a/b/c/d:e", "quay.io/a/b/c/d:e"],
    [`alpine@sha256:${HEX}`, `docker.io/library/alpine@sha256:${HEX}`],
    [`localhost:5000/x:y@sha256:${HEX}`, `localhost:5000/x:y@sha256:${HEX}`],
    ["a--b__c/d.e-f", "docker.io/a--b__c/d.e-f:latest"],
  ];
  for (const [text, expected] of full) {
    it(`reads ${text} as ${expected}`, () => {
      assert.equal(formatReference(parseReference(text)), expected);
    });
  }

  const refused: [string, RegExp][] = [
    ["", /empty/],
    ["Alpine", /lower-case/],
    ["host.example/Name", /lower-case/],
    ["a//b", /has parts/],
    ["a/b/", /has parts/],
    ["-a", /has parts/],
    ["a___b", /has parts/],
    ["a:", /a tag is/],
    ["a:.b", /a tag is/],
    [`a:${"t".repeat(129)}`, /a tag is/],
    ["a@sha256:abc", /64 lower-case hex/],
    [`a@sha512:${HEX}`, /64 lower-case hex/],
    [`a@sha256:${"A".repeat(64)}`, /64 lower-case hex/],
    [HEX, /image id/],
    [`localhost/${"x".repeat(250)}`, /longer than 255/],
    ["x".repeat(2000), /too long/],
    ["host:99999/a", /host name/],
    ["ho_st.example/a", /host name/],
    ["a b", /has parts/],
    ["../etc/passwd", /host name/],
    ["a/../b", /has parts/],
  ];
  for (const [text, why] of refused) {
    it(`refuses ${JSON.stringify(text.slice(0, 40))} and says why`, () => assertInvalid(text, why));
  }

  it("gives back every name that it made itself", () => {
    const label = fc.stringMatching(/^[a-z0-9]{1,8}(?:[_-][a-z0-9]{1,8}){0,2}$/);
    const name = fc.tuple(
      fc.constantFrom("", "localhost:5000/", "ghcr.io/", "[::1]:80/"),
      fc.array(label, { minLength: 1, maxLength: 4 }),
      fc.constantFrom("", ":v1", `@sha256:${HEX}`, `:x@sha256:${HEX}`),
    );
    fc.assert(
      fc.property(name, ([host, parts, suffix]) => {
        const once = formatReference(parseReference(`${host}${parts.join("/")}${suffix}`));
        assert.equal(formatReference(parseReference(once)), once);
      }),
    );
  });

  it("throws nothing but its own error, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 1100 }), (text) => {
        try {
          parseReference(text);
        } catch (error) {
          assert.ok(error instanceof KilnError && error.reason === "invalid-reference");
        }
      }),
    );
  });
});

describe("familiarName", () => {
  const short: [string, string][] = [
    ["docker.io/library/alpine:latest", "alpine:latest"],
    ["docker.io/owner/name:v1", "owner/name:v1"],
    ["ghcr.io/a/b:c", "ghcr.io/a/b:c"],
    [`docker.io/library/alpine@sha256:${HEX}`, `alpine@sha256:${HEX}`],
    // "corp.example/x" would be another registry, "library/a/b" loses nothing
    ["docker.io/corp.example/x:latest", "docker.io/corp.example/x:latest"],
    ["docker.io/localhost/x:latest", "docker.io/localhost/x:latest"],
    ["docker.io/library/a/b:latest", "library/a/b:latest"],
    ["<none>", "<none>"],
  ];
  for (const [name, expected] of short) {
    it(`shortens ${name} to ${expected}`, () => assert.equal(familiarName(name), expected));
  }
});

describe("registryHost", () => {
  it("knows where Docker Hub answers", () => assert.equal(registryHost("docker.io"), "registry-1.docker.io"));
  it("leaves other registries alone", () => assert.equal(registryHost("ghcr.io:8443"), "ghcr.io:8443"));
});
