import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hasReason } from "../base/errors.js";
import { editDistance, nearest } from "../base/suggest.js";
import { parseCopySide } from "./cp-paths.js";
import { collectEnv, parseEnvFile } from "./env-file.js";
import { absoluteImage, absoluteKernel } from "./image-source.js";
import { LineSplitter } from "./line-splitter.js";
import { familiarImage } from "./render/names.js";
import { safeLine, safeText } from "./render/safe-text.js";
import { wantsColour } from "./render/style.js";
import { renderTable } from "./render/table.js";
import { parseWhen } from "./when.js";

describe("parseCopySide", () => {
  it("tells VMs, local paths and streams apart as docker does", () => {
    assert.deepEqual(parseCopySide("web:/etc"), { kind: "vm", vm: "web", path: "/etc" });
    assert.deepEqual(parseCopySide("web:etc"), { kind: "vm", vm: "web", path: "/etc" });
    assert.deepEqual(parseCopySide("web:/a:b"), { kind: "vm", vm: "web", path: "/a:b" });
    for (const path of ["./a:b", "/a:b", "a", "../x", ".", "a/b:c"]) {
      assert.deepEqual(parseCopySide(path), { kind: "local", path });
    }
    assert.deepEqual(parseCopySide("-"), { kind: "stream" });
  });
});

describe("collectEnv", () => {
  it("takes names with spaces from flags, as Docker does, and none without a name", async () => {
    const ours = { "A B": "ours" };
    assert.deepEqual(await collectEnv(["A B=c", "A B", "C\tD"], [], ours), ["A B=c", "A B=ours", "C\tD"]);
    await assert.rejects(collectEnv(["=c"], [], ours), /is not NAME=VALUE/);
    await assert.rejects(collectEnv([""], [], ours), /is not NAME=VALUE/);
  });
});

describe("parseEnvFile", () => {
  it("reads docker's format", () => {
    const content = "\ufeffA=1\r\n# comment\n\n  B=two words # kept\nHOME\nMISSING\nC=\n";
    assert.deepEqual(parseEnvFile(Buffer.from(content), "f", { HOME: "/me" }), [
      "A=1",
      "B=two words # kept",
      "HOME=/me",
      "C=",
    ]);
  });
  it("refuses bytes that are not UTF-8, and names their line", () => {
    const content = Buffer.from("A=fine\nB=caf\u00e9\nC=\xff\n", "latin1");
    for (const [bytes, at] of [
      [Buffer.concat([Buffer.from("A=f\u00e9\nB="), Buffer.from([0xff])]), "my.env:2"],
      [content, "my.env:2"],
    ] as const) {
      assert.throws(
        () => parseEnvFile(bytes, "my.env", {}),
        (error) => hasReason(error, "not-utf8") && String(error).includes(at),
      );
    }
  });
  it("names file and line of what it cannot read", () => {
    assert.throws(() => parseEnvFile(Buffer.from("A=1\nnot a name=2"), "my.env", {}), /my\.env:2/);
  });
});

describe("sources on this machine", () => {
  it("become absolute, names stay", () => {
    assert.equal(absoluteImage("oci:dir:tag", "/w"), "oci:/w/dir:tag");
    assert.equal(absoluteImage("docker-archive:/a.tar", "/w"), "docker-archive:/a.tar");
    assert.equal(absoluteImage("oci://x/y", "/w"), "oci://x/y");
    assert.equal(absoluteImage("nginx:1", "/w"), "nginx:1");
    assert.equal(absoluteKernel("./vmlinux", "/w"), "/w/vmlinux");
    assert.equal(absoluteKernel("debian", "/nonexistent"), "debian");
  });
});

describe("parseWhen", () => {
  const now = new Date("2026-01-02T00:00:00Z");
  it("reads ages, times and seconds", () => {
    assert.equal(parseWhen("10m", "--since", now).toISOString(), "2026-01-01T23:50:00.000Z");
    assert.equal(parseWhen("1h30m", "--since", now).toISOString(), "2026-01-01T22:30:00.000Z");
    assert.equal(parseWhen("2026-01-01T01:02:03Z", "--since", now).toISOString(), "2026-01-01T01:02:03.000Z");
    assert.equal(parseWhen("1767225600", "--since", now).toISOString(), "2026-01-01T00:00:00.000Z");
  });
  it("refuses the rest", () => {
    for (const text of ["", "yesterday", "10", "2026-13-45"]) {
      assert.throws(() => parseWhen(text, "--since", now), /--since/, text);
    }
  });
});

describe("LineSplitter", () => {
  it("gives back all bytes, cut at newlines, however they came", () => {
    const bytes = fc
      .uint8Array({ maxLength: 60 })
      .map((data) => data.map((byte) => (byte % 5 === 0 ? 10 : byte)));
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 6 }), (chunks) => {
        const splitter = new LineSplitter<number>();
        const lines = [
          ...chunks.flatMap((chunk, index) => splitter.push(chunk, index)),
          ...splitter.finish(),
        ];
        assert.deepEqual(Buffer.concat(lines.map(({ data }) => data)), Buffer.concat(chunks));
        assert.ok(lines.slice(0, -1).every(({ data }) => data.indexOf(10) === data.length - 1));
      }),
    );
  });
  it("tags a line with its first byte's tag, and cuts one without end", () => {
    const splitter = new LineSplitter<string>();
    assert.deepEqual(splitter.push(Buffer.from("a"), "first"), []);
    assert.equal(splitter.push(Buffer.from("b\n"), "second")[0]?.tag, "first");
    assert.equal(splitter.push(Buffer.alloc(1024 * 1024, "x"), "t").length, 1);
  });
});

describe("text for terminals", () => {
  it("loses what could drive one", () => {
    assert.equal(safeLine("a\x1b[31mb\x07\u202ec\nd"), "a\ufffd[31mb\ufffd\ufffdc d");
    assert.equal(safeText("a\tb\r\nc\x1b"), "a\tb\nc\ufffd");
  });
  it("is aligned by what it takes on the screen", () => {
    assert.equal(renderTable(["A", "B"], [["日本", "x"]]), "A         B\n日本      x\n");
  });
  it("is coloured only where that is wanted", () => {
    assert.equal(wantsColour({}, true), true);
    assert.equal(wantsColour({}, false), false);
    assert.equal(wantsColour({ NO_COLOR: "1" }, true), false);
    assert.equal(wantsColour({ TERM: "dumb" }, true), false);
    assert.equal(wantsColour({ FORCE_COLOR: "1", NO_COLOR: "1" }, false), true);
    assert.equal(wantsColour({ FORCE_COLOR: "0" }, true), false);
  });
});

describe("familiarImage", () => {
  it("shortens Docker Hub's names and no others", () => {
    assert.equal(familiarImage("docker.io/library/nginx:1"), "nginx:1");
    assert.equal(familiarImage("docker.io/bitnami/redis:7"), "bitnami/redis:7");
    assert.equal(familiarImage("ghcr.io/a/b:1"), "ghcr.io/a/b:1");
    assert.equal(familiarImage("docker.io/corp.example/x:1"), "docker.io/corp.example/x:1");
  });
});

describe("nearest", () => {
  it("finds slips of the finger and no more", () => {
    assert.equal(nearest("strat", ["start", "stop", "stats"]), "start");
    assert.equal(nearest("publ", ["publish", "pull"]), "publish");
    assert.equal(nearest("zzz", ["start", "stop"]), undefined);
    assert.equal(editDistance("ab", "ba"), 1);
  });
});
