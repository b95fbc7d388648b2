import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hasReason, KilnError } from "../base/errors.js";
import { helpText, mergeConfig, parseCommandLine, parseConfigFile, readConfigFile } from "./config.js";
import { settingOf, toEngineSettings } from "./engine-settings.js";
import { flagOf, SETTINGS, variableOf } from "./settings-table.js";

const NOTHING = new Map();

describe("parseCommandLine", () => {
  it("takes values behind = and behind a blank", () => {
    const { flags } = parseCommandLine(["--log-level=debug", "--vmm", "qemu"]);
    assert.deepEqual(Object.fromEntries(flags), { "log.level": "debug", vmm: "qemu" });
  });

  it("knows help, version and the file", () => {
    const line = parseCommandLine(["--help", "--version", "--config", "/x"]);
    assert.deepEqual([line.help, line.version, line.file], [true, true, "/x"]);
  });

  for (const argv of [["--nothere"], ["word"], ["--vmm"]]) {
    it(`refuses ${argv.join(" ")}`, () => {
      assert.throws(
        () => parseCommandLine(argv),
        (error) => hasReason(error, "bad-flag"),
      );
    });
  }
});

describe("parseConfigFile", () => {
  it("reads tables as dotted names, numbers and booleans as texts", () => {
    const values = parseConfigFile('vmm = "qemu"\ntrust-firecracker = true\n[boot]\nconcurrent = 3\n', "x");
    assert.deepEqual(Object.fromEntries(values), {
      vmm: "qemu",
      "trust-firecracker": "yes",
      "boot.concurrent": "3",
    });
  });

  it("names what it does not know", () => {
    assert.throws(
      () => parseConfigFile("[boot]\nspeed = 3\n", "/etc/kiln/config.toml"),
      (error) =>
        hasReason(error, "bad-config-file") && /config\.toml.*"boot\.speed"/.test((error as Error).message),
    );
  });

  it("throws nothing but KilnErrors", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseConfigFile(text, "x");
        } catch (error) {
          assert.ok(error instanceof KilnError);
        }
      }),
    );
  });
});

describe("readConfigFile", () => {
  it("refuses a FIFO at once, whether it was named or not", async () => {
    const directory = await mkdtemp(join(tmpdir(), "kiln-config-"));
    const path = join(directory, "config.toml");
    try {
      execFileSync("mkfifo", [path]);
      for (const named of [true, false])
        await assert.rejects(readConfigFile(path, named), { reason: "not-a-file" });
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("misses a file that was not named, and only that", async () => {
    const directory = await mkdtemp(join(tmpdir(), "kiln-config-"));
    try {
      const path = join(directory, "config.toml");
      assert.equal((await readConfigFile(path, false)).size, 0);
      await assert.rejects(readConfigFile(path, true), KilnError);
      await writeFile(path, 'vmm = "qemu"');
      assert.equal((await readConfigFile(path, false)).get("vmm"), "qemu");
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe("mergeConfig", () => {
  it("prefers flag to environment to file to default, and keeps the origin", () => {
    const flags = new Map([["vmm" as const, "flag"]]);
    const env = { KILN_VMM: "env", KILN_QEMU: "env", KILN_GROUP: "" };
    const file = new Map([
      ["vmm", "file"],
      ["qemu", "file"],
      ["firecracker", "file"],
    ] as const);
    const config = mergeConfig(flags, env, file);
    const shown = (["vmm", "qemu", "firecracker", "group"] as const).map((name) => config.get(name));
    assert.deepEqual(shown, [
      { value: "flag", origin: "flag" },
      { value: "env", origin: "environment" },
      { value: "file", origin: "file" },
      { value: "", origin: "default" },
    ]);
  });

  it("blames a bad value on where it was written", () => {
    assert.throws(
      () => mergeConfig(NOTHING, { KILN_DISK_RESERVE: "lots" }, NOTHING),
      (error) => hasReason(error, "bad-size") && /KILN_DISK_RESERVE/.test((error as Error).message),
    );
    assert.throws(
      () => mergeConfig(new Map([["log.level" as const, "loud"]]), {}, NOTHING),
      (error) => hasReason(error, "bad-setting") && /--log-level/.test((error as Error).message),
    );
  });

  it("takes no time that is longer than timers wait", () => {
    assert.throws(
      () => mergeConfig(NOTHING, { KILN_PULL_ANSWER_TIMEOUT: "30d" }, NOTHING),
      /KILN_PULL_ANSWER_TIMEOUT.*30d/,
    );
  });
});

describe("toEngineSettings", () => {
  it("has sane defaults", () => {
    const settings = toEngineSettings(mergeConfig(NOTHING, {}, NOTHING), 8);
    assert.equal(settings.concurrentBoots, 8);
    assert.deepEqual(settings.buildLimits, {});
    assert.ok(settings.helloTimeoutMs.tcg > settings.helloTimeoutMs.kvm);
  });

  it("takes what was set", () => {
    const env = {
      KILN_DISK_RESERVE: "1g",
      KILN_BOOT_CONCURRENT: "3",
      KILN_BOOT_HELLO_TIMEOUT: "90s",
      KILN_LAYERS_MAX_RATIO: "7",
      KILN_OUTPUT_KEEP: "1m",
      KILN_OUTPUT_EXEC_KEEP: "4g",
    };
    const config = mergeConfig(NOTHING, env, NOTHING);
    const settings = toEngineSettings(config, 1);
    assert.equal(settings.diskReserveBytes, 1024 ** 3);
    assert.equal(settings.concurrentBoots, 3);
    assert.deepEqual(settings.helloTimeoutMs, { kvm: 90_000, tcg: 90_000 });
    assert.deepEqual(settings.buildLimits, { maxRatio: 7 });
    assert.equal(settings.logLimits.keepBytes, 1024 ** 2);
    assert.deepEqual(settings.execLogLimits, { keepBytes: 4 * 1024 ** 3, segmentBytes: 1024 ** 3 });
    assert.equal(settingOf(config, "vmm"), undefined);
  });
});

describe("the table of settings", () => {
  it("gives every setting one flag, one variable and a line of help", () => {
    const help = helpText();
    assert.equal(new Set(SETTINGS.map(({ name }) => flagOf(name))).size, SETTINGS.length);
    assert.equal(new Set(SETTINGS.map(({ name }) => variableOf(name))).size, SETTINGS.length);
    for (const { name } of SETTINGS) assert.ok(help.includes(flagOf(name)), name);
  });
});
