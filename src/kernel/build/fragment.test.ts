import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hasReason, KilnError } from "../../base/errors.js";
import { joinFragments, lostLines, mergeConfig, parseFragment, requireSurvival } from "./fragment.js";

const parse = (text: string) => parseFragment(text, "x.config");
const plain = (text: string) => parse(text).map(({ name, value }) => `${name}=${value}`);

describe("a fragment", () => {
  it("is read line by line, comments and empty lines passed over", () => {
    const text =
      '# who needs it\nCONFIG_A=y\n\nCONFIG_B=m\nCONFIG_C=64\nCONFIG_D=0x1f\nCONFIG_E="a,b"\nCONFIG_F=-1\n';
    assert.deepEqual(plain(text), [
      "CONFIG_A=y",
      "CONFIG_B=m",
      "CONFIG_C=64",
      "CONFIG_D=0x1f",
      'CONFIG_E="a,b"',
      "CONFIG_F=-1",
    ]);
  });

  it("says that an option is off in both spellings", () => {
    assert.deepEqual(plain("CONFIG_A=n\n# CONFIG_B is not set\n"), ["CONFIG_A=n", "CONFIG_B=n"]);
  });

  it("knows where each line stands", () => {
    assert.equal(parse("# one\nCONFIG_A=y\n")[0]?.place, "x.config:2");
  });

  for (const line of ["CONFIG_A", "A=y", "CONFIG_A=yes", 'CONFIG_A="b', "CONFIG_A=y # why", "CONFIG A=y"]) {
    it(`with the line ${JSON.stringify(line)} is refused, naming the line`, () => {
      assert.throws(
        () => parse(`CONFIG_X=y\n${line}\n`),
        (error) => hasReason(error, "bad-kernel-config") && String(error).includes("x.config:2"),
      );
    });
  }

  it("gives lines or its own error, whatever the text", () => {
    const word = fc.constantFrom("CONFIG_A", "=", "y", "n", '"', "#", " is not set", "\n", " ", "0x1");
    fc.assert(
      fc.property(fc.array(fc.oneof(word, fc.string()), { maxLength: 12 }), (words) => {
        try {
          parse(words.join(""));
        } catch (error) {
          assert.ok(error instanceof KilnError && error.reason === "bad-kernel-config");
        }
      }),
    );
  });
});

describe("joinFragments", () => {
  const join = (...texts: string[]) =>
    joinFragments(texts.map((text, index) => parseFragment(text, `f${index}`))).map(
      ({ name, value, place }) => `${name}=${value} ${place}`,
    );

  it("gives a later fragment the last word", () => {
    assert.deepEqual(join("CONFIG_A=y\nCONFIG_B=y\n", "CONFIG_A=n\nCONFIG_C=y\n"), [
      "CONFIG_A=n f1:1",
      "CONFIG_B=y f0:2",
      "CONFIG_C=y f1:2",
    ]);
  });

  it("refuses an option that one fragment sets twice, and names both places", () => {
    assert.throws(() => join("CONFIG_A=y\n# why\nCONFIG_A=n\n"), /f0:3: CONFIG_A is set in f0:1 already/);
  });
});

describe("mergeConfig", () => {
  it("puts the fragment's options in place of the base's and keeps the rest", () => {
    const base = '#\n# Automatic\n#\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x"\nCONFIG_D=y\n';
    const merged = mergeConfig(base, parse("CONFIG_A=n\nCONFIG_B=y\nCONFIG_E=5\n"));
    assert.equal(
      merged,
      '#\n# Automatic\n#\nCONFIG_C="x"\nCONFIG_D=y\n# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_E=5\n',
    );
  });

  it("gives a configuration that every line survives in", () => {
    const name = fc.stringMatching(/^CONFIG_[A-Z]{1,3}$/);
    const value = fc.constantFrom("y", "n", "m", "7", '"text"');
    const config = fc.dictionary(name, value);
    const text = (options: Record<string, string>) =>
      Object.entries(options)
        .map(([key, of]) => `${key}=${of}\n`)
        .join("");
    fc.assert(
      fc.property(config, config, (base, fragment) => {
        const lines = parse(text(fragment));
        assert.deepEqual(lostLines(lines, mergeConfig(text(base), lines)), []);
      }),
    );
  });
});

describe("the survival check", () => {
  const lines = parse('CONFIG_A=y\nCONFIG_B=n\nCONFIG_C="x"\nCONFIG_D=m\n');

  it("is content where every option is as it was asked for, missing being off", () => {
    assert.deepEqual(lostLines(lines, 'CONFIG_A=y\nCONFIG_C="x"\nCONFIG_D=m\nCONFIG_Z=y\n'), []);
  });

  it("finds options that are gone, on against the fragment, or of another value", () => {
    const lost = lostLines(lines, '# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C="y"\nCONFIG_D=y\n');
    assert.deepEqual(
      lost.map(({ line, became }) => [line.name, became]),
      [
        ["CONFIG_A", undefined],
        ["CONFIG_B", "y"],
        ["CONFIG_C", '"y"'],
        ["CONFIG_D", "y"],
      ],
    );
  });

  it("fails with every lost line named and placed", () => {
    assert.throws(
      () => requireSurvival(lines, 'CONFIG_B=y\nCONFIG_C="x"\nCONFIG_D=m\n', "linux-source-6.1 6.1.192-2"),
      (error) => {
        assert.ok(hasReason(error, "kernel-config-lost"));
        assert.match(String(error), /2 lines .* 6\.1\.192-2/);
        assert.match(
          String(error),
          /x\.config:1: CONFIG_A=y became not set\nx\.config:2: CONFIG_B=n became y/,
        );
        return true;
      },
    );
  });
});
