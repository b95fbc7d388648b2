import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { parseMadison, parseShow, parseStatusLine, parseUris } from "./apt.js";

describe("apt's output", () => {
  it("gives a package's version and the first of each alternative it depends on", () => {
    const text = [
      "Package: linux-image-cloud-amd64",
      "Version: 6.1.192-2",
      "Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2), kmod | busybox, perl:any",
      "",
    ].join("\n");
    assert.deepEqual(parseShow("linux-image-cloud-amd64", text), {
      version: "6.1.192-2",
      depends: ["linux-image-6.1.0-56-cloud-amd64", "kmod", "perl"],
    });
  });

  it("is refused where apt knows no such package", () => {
    assert.throws(
      () => parseShow("linux-image-x", "N: Unable to locate package\n"),
      (error) => hasReason(error, "no-such-package"),
    );
  });

  it("gives a package's versions, newest first and each once", () => {
    const text = [
      "linux-source-6.1 |  6.1.192-2 | http://security.debian.org bookworm-security/main amd64 Packages",
      "linux-source-6.1 |  6.1.192-2 | http://other.mirror bookworm-security/main amd64 Packages",
      "linux-source-6.1 |  6.1.176-1 | http://deb.debian.org/debian bookworm/main amd64 Packages",
      "     linux | 6.1.176-1 | http://deb.debian.org/debian bookworm/main Sources",
      "",
    ].join("\n");
    assert.deepEqual(parseMadison("linux-source-6.1", text), ["6.1.192-2", "6.1.176-1"]);
  });

  it("with no version at all is refused", () => {
    assert.throws(
      () => parseMadison("linux-source-9.9", ""),
      (error) => hasReason(error, "no-such-package"),
    );
  });

  it("gives the files to download", () => {
    const text =
      "'http://deb.debian.org/x/linux-image_1_amd64.deb' linux-image_1_amd64.deb 26713492 SHA256:e7\n";
    assert.deepEqual(parseUris(text), [{ file: "linux-image_1_amd64.deb", sizeBytes: 26_713_492 }]);
  });

  it("gives no file whose name leaves the directory", () => {
    assert.throws(() => parseUris("'http://h/x' ../x.deb 5 SHA256:e7\n"));
  });

  it("gives the download's percentage", () => {
    assert.equal(parseStatusLine("dlstatus:1:42.5:Retrieving file 1 of 1"), 42.5);
    assert.equal(parseStatusLine("pmstatus:x:1:y"), undefined);
  });
});
