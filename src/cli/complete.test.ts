import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseMountFlag } from "../base/mount-flag.js";
import { type AskNames, completeWords } from "./complete.js";
import { MOUNT_WORDS } from "./complete-mounts.js";

const ask: AskNames = async (kind, operands) => [
  { value: kind.endsWith("exec") ? `exec-of-${operands[0] ?? "any"}` : `${kind}-1`, text: "" },
  { value: "other", text: "" },
];

const paths = async (typed: string) => [{ value: `${typed}~/`, text: "" }];

async function complete(line: string): Promise<string> {
  const { candidates, files } = await completeWords(line.split(" "), ask, paths);
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
    assert.equal(await complete("run --pub"), "--publish --publish-all --publish-mode");
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

  it("completes -v: a volume's name or a path, then options", async () => {
    assert.equal(await complete("run -v v"), "volume-1:");
    assert.equal(await complete("run --volume=v"), "--volume=volume-1:");
    assert.equal(await complete("run -v ./a"), "./a~/");
    assert.equal(await complete("run -v data:/x"), "");
    assert.equal(await complete("run -v data:/x:"), "data:/x:ro data:/x:rw data:/x:nocopy");
    assert.equal(await complete("run -v ./a:/x:ro,i"), "./a:/x:ro,idmap=");
    assert.equal(await complete("volume attach web ./"), "");
  });

  it("completes --mount field by field, and --tmpfs behind its path", async () => {
    assert.equal(await complete("run --mount t"), "type= target=");
    assert.equal(await complete("run --mount type=t"), "type=tmpfs,");
    assert.equal(await complete("run --mount type=volume,source=v"), "type=volume,source=volume-1");
    assert.equal(await complete("run --mount source=o"), "source=other");
    assert.equal(await complete("run --mount type=bind,src=/a"), "type=bind,src=/a~/");
    assert.equal(await complete("run --mount type=image,source=x"), "");
    assert.equal(await complete("run --mount type=bind,source=/a,n"), "type=bind,source=/a,notify");
    assert.equal(
      await complete("run --mount type=tmpfs,target=/a,t"),
      ["size", "mode"].map((word) => `type=tmpfs,target=/a,tmpfs-${word}=`).join(" "),
    );
    assert.equal(await complete("run --tmpfs /t"), "");
    assert.equal(await complete("run --tmpfs /t:size=1m,n"), "/t:size=1m,noexec");
  });

  it("offers nothing that --mount and -v do not take", () => {
    const values: Readonly<Record<string, string>> = {
      "source=": "/dev/x",
      "target=": "/t",
      "idmap=": "0:1:1",
      "tmpfs-mode=": "755",
    };
    for (const [type, words] of Object.entries(MOUNT_WORDS)) {
      const fields = words.map((word) => (word.endsWith("=") ? `${word}${values[word] ?? "1g"}` : word));
      const text = [`type=${type}`, ...fields]
        .join(",")
        .replace("/dev/x", type === "volume" ? "data" : "/dev/x");
      assert.equal(parseMountFlag(text, { cwd: "/", home: undefined }).type, type);
    }
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
