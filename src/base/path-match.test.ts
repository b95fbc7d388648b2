import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "./errors.js";
import { matchesReference, pathMatch } from "./path-match.js";

describe("pathMatch", () => {
  for (const [pattern, text, expected] of [
    ["abc", "abc", true],
    ["ab", "abc", false],
    ["", "", true],
    ["*", "", true],
    ["*", "a/b", false],
    ["*/*", "a/b", true],
    ["a*/b", "abc/b", true],
    ["a*b*c*", "aXbYcZ", true],
    ["a*b*c", "aXbYcZ", false],
    ["a*b?c*x", "abxbbxdbxebxczzx", true],
    ["a?c", "a/c", false],
    ["a[^b]c", "a/c", false],
    ["[a-c]x", "bx", true],
    ["[^a-c]x", "bx", false],
    ["[\\-x]", "-", true],
    ["[\\]a]", "]", true],
    ["a\\*b", "a*b", true],
    ["a\\*b", "axb", false],
    ["?", "é", true],
    ["?", "😀", true],
  ] as const)
    it(`says ${expected} of ${JSON.stringify(pattern)} and ${JSON.stringify(text)}`, () =>
      assert.equal(pathMatch(pattern, text), expected));

  for (const pattern of ["[", "[a", "[]", "[^]", "[-a]", "[a-]", "[a-", "a\\", "x".repeat(2000)])
    it(`refuses ${JSON.stringify(pattern.slice(0, 10))}`, () =>
      assert.throws(
        () => pathMatch(pattern, "a"),
        (error) => hasReason(error, "bad-pattern"),
      ));

  it("takes no time that grows with the number of stars", () => {
    assert.equal(pathMatch("*a".repeat(200), `${"a".repeat(5000)}b`), false);
  });
});

describe("matchesReference", () => {
  for (const [pattern, name, expected] of [
    ["nginx", "nginx:1.27", true],
    ["nginx:1.27", "nginx:1.27", true],
    ["nginx:1.*", "nginx:1.27", true],
    ["ngin", "nginx:1.27", false],
    ["*", "nginx:latest", true],
    ["*", "library/nginx:latest", false],
    ["*inx*", "nginx:latest", true],
    ["docker.io/library/nginx", "nginx:latest", true],
    ["docker.io/me/*", "me/app:1", true],
    ["localhost:5000/*", "localhost:5000/app:1", true],
    ["localhost:5000/app", "localhost:5000/app@sha256:ab", true],
    ["ghcr.io/*/b:v?", "ghcr.io/a/b:v1", true],
  ] as const)
    it(`says ${expected} of ${pattern} and ${name}`, () =>
      assert.equal(matchesReference(pattern, name), expected));
});
