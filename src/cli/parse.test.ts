import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KilnError } from "../base/errors.js";
import { explainFlag } from "./docker-flags.js";
import { bool, list, text } from "./flags.js";
import { parseCommandLine } from "./parse.js";

const command = {
  operands: [{ name: "IMAGE" }, { name: "[ARG...]" }],
  stopAtOperand: true,
  flags: {
    detach: bool("", { short: "d" }),
    interactive: bool("", { short: "i" }),
    tty: bool("", { short: "t" }),
    env: list("", "", { short: "e" }),
    publish: list("", "", { short: "p" }),
    name: text("", ""),
    pull: text("", "", { choices: ["always", "never"] }),
    "sig-proxy": bool("", { fallback: true }),
    "no-trunc": bool(""),
  },
} as const;

function parse(line: string) {
  const { flags, operands } = parseCommandLine(
    "run",
    command,
    line === "" ? [] : line.split(" "),
    explainFlag,
  );
  const given = Object.entries(flags).filter(([name, value]) =>
    name === "sig-proxy" ? value === false : value !== undefined && value !== false && String(value) !== "",
  );
  return { ...Object.fromEntries(given), operands: operands.join(" ") };
}

function failureOf(line: string): KilnError {
  try {
    parse(line);
  } catch (error) {
    assert.ok(error instanceof KilnError);
    return error;
  }
  throw new Error(`${line} was taken`);
}

describe("parseCommandLine", () => {
  it("takes letters in a cluster, with a value at the end", () => {
    assert.deepEqual(parse("-it x"), { interactive: true, tty: true, operands: "x" });
    assert.deepEqual(parse("-dp 80:80 x"), { detach: true, publish: ["80:80"], operands: "x" });
    assert.deepEqual(parse("-itp80:80 x"), {
      interactive: true,
      tty: true,
      publish: ["80:80"],
      operands: "x",
    });
  });

  it("takes a letter's value glued, with a sign, or apart", () => {
    assert.deepEqual(parse("-eB=2 x"), { env: ["B=2"], operands: "x" });
    assert.deepEqual(parse("-e=B=2 x"), { env: ["B=2"], operands: "x" });
    assert.deepEqual(parse("-e B=2 x"), { env: ["B=2"], operands: "x" });
    assert.deepEqual(parse("-p8080:80 x"), { publish: ["8080:80"], operands: "x" });
  });

  it("takes long flags with = and apart, and repeats", () => {
    assert.deepEqual(parse("--name=a --env A=1 --env=B=2 x"), {
      name: "a",
      env: ["A=1", "B=2"],
      operands: "x",
    });
  });

  it("lets the last of a repeated single value count", () => {
    assert.deepEqual(parse("--name a --name b x"), { name: "b", operands: "x" });
  });

  it("takes a value that begins with a dash", () => {
    assert.deepEqual(parse("-e -X=1 x"), { env: ["-X=1"], operands: "x" });
  });

  it("stops at the first operand", () => {
    assert.deepEqual(parse("-d x ls -la --name y -- z"), {
      detach: true,
      operands: "x ls -la --name y -- z",
    });
  });

  it("takes what follows -- as operands", () => {
    assert.deepEqual(parse("-d -- -x -y"), { detach: true, operands: "-x -y" });
  });

  it("turns a switch that is on off, in both spellings", () => {
    assert.deepEqual(parse("--no-sig-proxy x"), { "sig-proxy": false, operands: "x" });
    assert.deepEqual(parse("--sig-proxy=false x"), { "sig-proxy": false, operands: "x" });
    assert.deepEqual(parse("--sig-proxy=true x"), { operands: "x" });
  });

  it("knows a flag whose name begins with no-", () => {
    assert.deepEqual(parse("--no-trunc x"), { "no-trunc": true, operands: "x" });
  });

  it("takes flags after operands where the verb does not stop at them", () => {
    const { flags, operands } = parseCommandLine("rm", { ...command, stopAtOperand: false }, [
      "a",
      "-d",
      "b",
    ]);
    assert.deepEqual([flags.detach, operands], [true, ["a", "b"]]);
  });

  it("keeps a lone dash as an operand", () => {
    assert.deepEqual(parse("- x"), { operands: "- x" });
  });

  it("refuses unknown flags with the nearest one", () => {
    assert.match(failureOf("--nmae x x").hint ?? "", /did you mean --name\?/);
    assert.match(failureOf("-X x").message, /run has no flag -X/);
    assert.match(failureOf("-dX x").message, /no flag -X/);
    assert.match(failureOf("--no-detach x").message, /no flag --no-detach/);
  });

  it("says why a flag of docker's is missing", () => {
    assert.match(failureOf("--privileged x").message, /kernel of its own/);
    assert.match(failureOf("--volumes-from a x").message, /name each volume with -v/);
    assert.match(failureOf("--cap-add=NET_ADMIN x").message, /kernel of its own/);
  });

  it("refuses a missing value, a bad choice and a bad switch", () => {
    assert.match(failureOf("--name").message, /--name needs a value/);
    assert.match(failureOf("--pull=allways x").hint ?? "", /did you mean always\?/);
    assert.match(failureOf("--detach=maybe x").message, /takes true or false/);
  });

  it("refuses too few and too many operands", () => {
    assert.match(failureOf("-d").message, /IMAGE is missing/);
    const one = { operands: [{ name: "A" }], flags: {} };
    assert.throws(() => parseCommandLine("x", one, ["a", "b"]), /what to do with "b"/);
  });
});
