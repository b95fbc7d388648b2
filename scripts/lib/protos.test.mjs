import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { ROOT } from "./paths.mjs";
import { protoProblems } from "./protos.mjs";

describe("the protos", () => {
  let copy;

  beforeEach(() => {
    copy = mkdtempSync(join(tmpdir(), "kiln-protos-"));
    cpSync(`${ROOT}/proto`, `${copy}/proto`, { recursive: true });
    cpSync(`${ROOT}/buf.yaml`, `${copy}/buf.yaml`);
  });

  afterEach(() => rmSync(copy, { recursive: true, force: true }));

  const found = () => protoProblems(copy, `${copy}/proto/released`);
  const edit = (name, from, to) => {
    const path = `${copy}/proto/kiln/${name}`;
    const text = readFileSync(path, "utf8");
    assert.ok(text.includes(from), `${name} has ${from}`);
    writeFileSync(path, text.replace(from, to));
  };

  it("are fine as they are", () => assert.deepEqual(found(), []));

  for (const [what, name, from, to, problem] of [
    [
      "a message with a name of another form",
      "v1/vm.proto",
      "message GetVmRequest {",
      "message get_vm {} message GetVmRequest {",
      /get_vm/,
    ],
    [
      "a field that is gone",
      "v1/types.proto",
      "  string network = 21;",
      "",
      /breaks with 0\.1\.0: .*"21".* "VmConfig" .*deleted/,
    ],
    [
      "a field of another type",
      "agent/v1/machine.proto",
      "uint32 protocol = 2;",
      "string protocol = 2;",
      /breaks with 0\.1\.0: .*"protocol"/,
    ],
    [
      "a field whose name in JSON is another",
      "v1/process.proto",
      "bool console = 5;",
      "bool kernel_console = 5;",
      /breaks with 0\.1\.0: .*"console".*"kernelConsole"/,
    ],
    [
      "a call that is gone",
      "agent/v1/agent.proto",
      "  rpc Sync(SyncRequest) returns (SyncResponse);",
      "",
      /breaks with 0\.1\.0: .*"Sync"/,
    ],
    [
      "a service that is gone",
      "v1/kernel.proto",
      "service KernelService",
      "service KernelsService",
      /breaks with 0\.1\.0: .*KernelService"/,
    ],
  ]) {
    it(`are refused with ${what}`, () => {
      edit(name, from, to);
      assert.match(found().join("\n"), problem);
    });
  }

  it("are refused where no release is known", () => {
    rmSync(`${copy}/proto/released`, { recursive: true });
    assert.match(found().join("\n"), /no released descriptor/);
  });
});
