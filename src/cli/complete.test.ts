import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type AskNames, completeWords } from "./complete.js";

const ask: AskNames = async (kind, operands) => [
  { value: kind.endsWith("exec") ? `exec-of-${operands[0] ?? "any"}` : `${kind}-1`, text: "" },
  { value: "other", text: "" },
];

async function complete(line: string): Promise<string> {
  const { candidates, files } = await completeWords(line.split(" "), ask);
  return [...candidates.map(({ value }) => value), ...(files ? [":files"] : [])].join(" ");
}

describe("completeWords", () => {
  it("completes verbs and families", async () => {
    assert.equal(await complete("res"), "restart");
    assert.match(await complete(""), /\brun\b.*\bimages\b/);
    assert.match(await complete(""), /\bkernel\b/);
    assert.equal(await complete("kernel i"), "import");
    assert.match(await complete("vm "), /\bps\b/);
    assert.doesNotMatch(await complete(""), /__complete/);
  });

  it("completes global flags before the verb", async () => {
    assert.equal(await complete("--ho"), "--host");
    assert.equal(await complete("--host unix:///x st"), "start stop stats");
    assert.equal(await complete("--host "), "");
  });

  it("completes flags, their choices and their values", async () => {
    assert.equal(await complete("run --pub"), "--publish --publish-all");
    assert.equal(await complete("run --pull al"), "always");
    assert.equal(await complete("run --pull=al"), "--pull=always");
    assert.equal(await complete("run --kernel k"), "kernel-1");
    assert.equal(await complete("run --env-file "), ":files");
    assert.equal(await complete("run -itm "), "");
    assert.equal(await complete("attach --no-s"), "--no-stdin --no-sig-proxy");
  });

  it("completes names where they belong, each for every operand that repeats", async () => {
    assert.equal(await complete("exec r"), "running-vm-1");
    assert.equal(await complete("rm vm-1 v"), "vm-1");
    assert.equal(await complete("run -d i"), "image-1");
    assert.equal(await complete("port "), "ls add rm vm-1 other");
  });

  it("completes programs of the VM that is named, or of any", async () => {
    assert.equal(await complete("execs rm web e"), "exec-of-web");
    assert.equal(await complete("execs rm web x e"), "exec-of-web");
    assert.equal(await complete("logs --exec e"), "exec-of-any");
    assert.equal(await complete("kill web --exec=e"), "--exec=exec-of-web");
    assert.equal(await complete("execs "), "ls rm vm-1 other");
  });

  it("stays silent where the program's own words begin", async () => {
    assert.equal(await complete("exec web l"), "");
    assert.equal(await complete("exec web ls --"), "");
  });

  it("completes choices of operands and file names", async () => {
    assert.equal(await complete("completion p"), "powershell");
    assert.equal(await complete("cp "), ":files");
  });
});
