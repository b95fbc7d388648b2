import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { cliCase } from "../../test/fixtures/cli-case.js";
import { VmState } from "../gen/kiln/v1/types_pb.js";

const cli = cliCase();
const { kiln } = cli;

describe("kiln", () => {
  it("prints help with exit code 0 when asked and 2 when not", async () => {
    const asked = await kiln(["--help"]);
    assert.equal(asked.code, 0);
    assert.match(asked.stdout, /^Usage: kiln/);
    for (const word of ["run", "image import", "kernel ls", "system df", "doctor"]) {
      assert.match(asked.stdout, new RegExp(`^  ${word} `, "m"));
    }
    const lost = await kiln([]);
    assert.equal(lost.code, 2);
    assert.equal(lost.stdout, "");
    assert.equal(lost.stderr, asked.stdout);
  });

  it("prints help of a verb, of its other spelling, and of a family", async () => {
    const help = await kiln(["run", "--help"]);
    assert.match(help.stdout, /^Usage: kiln run \[FLAGS\] IMAGE \[COMMAND\] \[ARG\.\.\.\]/);
    assert.match(help.stdout, /-p, --publish/);
    assert.equal((await kiln(["image", "ls", "-h"])).stdout, (await kiln(["images", "--help"])).stdout);
    assert.equal((await kiln(["vm", "ps", "--help"])).stdout, (await kiln(["help", "ps"])).stdout);
    assert.match((await kiln(["image", "--help"])).stdout, /image import/);
    assert.equal((await kiln(["image"])).code, 2);
  });

  it("says of a kilnd that does not answer how it goes on", async () => {
    const { code, stderr } = await kiln(["__call-failed", "--silent", "VmService/Exec", "0"]);
    assert.equal(code, 125);
    assert.match(
      stderr,
      /^kiln: VmService\/Exec: kilnd has given no sign of life for 60 s\nhint: .*kill -CONT/,
    );
  });

  it("leaves --help behind the operand to the program", async () => {
    const { stdout } = await kiln(["exec", "web", "echo", "--help"]);
    assert.equal(stdout, "--help\n");
  });

  it("suggests the verb that was meant", async () => {
    const { code, stderr } = await kiln(["strat"]);
    assert.equal(code, 2);
    assert.equal(stderr, 'kiln: there is no verb "strat"\nhint: did you mean start?; see `kiln --help`\n');
    assert.match((await kiln(["image", "lss"])).stderr, /did you mean image ls\?/);
  });

  it("says what there is instead of another tool's verb, not what sounds alike", async () => {
    for (const [words, hint] of [
      ["login", /logins of docker.*--creds/],
      ["import x", /kiln image import/],
      ["load", /kiln pull docker-archive:FILE/],
      ["top", /kiln exec VM ps/],
      ["build .", /builds no images/],
      ["push x", /skopeo copy/],
      ["rename a b", /keeps its name/],
      ["compose up", /no compose files/],
      ["image push x", /skopeo copy/],
      ["image build", /builds no images/],
      ["vm rename a b", /keeps its name/],
      ["container ls", /kiln vm VERB/],
      ["buildx build", /builds no images/],
      ["ssh web", /kiln exec -it VM sh/],
    ] as const) {
      const { code, stderr } = await kiln(words.split(" "));
      assert.equal(code, 2, words);
      assert.match(stderr, /^kiln: there is no verb "/, words);
      assert.match(stderr, hint, words);
      assert.doesNotMatch(stderr, /did you mean/, words);
    }
  });

  it("checks operands that are one of a few words", async () => {
    const { code, stderr } = await kiln(["completion", "bogus"]);
    assert.deepEqual(
      [code, stderr],
      [
        2,
        'kiln: SHELL takes one of bash, zsh, fish, powershell, not "bogus"\nhint: see `kiln completion --help`\n',
      ],
    );
    assert.match((await kiln(["completion", "fisch"])).stderr, /did you mean fish\?/);
  });

  it("reads no file without end, and tells a missing one once", async () => {
    const zero = await kiln(["create", "--env-file", "/dev/zero", "x"]);
    assert.match(zero.stderr, /^kiln: the environment file \/dev\/zero is larger than 1MiB\n$/);
    const none = await kiln(["create", "--env-file", "/nope", "x"]);
    assert.match(none.stderr, /^kiln: read the environment file \/nope: no such file or directory\n$/);
    const tar = await kiln(["image", "import", "/nope.tar", "x"]);
    assert.match(tar.stderr, /^kiln: read \/nope.tar: no such file or directory\n$/);
  });

  it("prints its version", async () => {
    assert.match((await kiln(["--version"])).stdout, /^kiln [0-9]+\.[0-9]+\.[0-9]+\n$/);
  });

  it("refuses wrong usage with 2, and with 125 where the exit code is a program's", async () => {
    assert.equal((await kiln(["ps", "--nope"])).code, 2);
    assert.equal((await kiln(["run", "--nope", "x"])).code, 125);
    assert.equal((await kiln(["exec", "web"])).code, 125);
  });
});

describe("kiln run", () => {
  it("shows the program's output and gives its exit code", async () => {
    assert.deepEqual(await kiln(["run", "-q", "debian", "echo", "hi"]), {
      code: 0,
      stdout: "hi\n",
      stderr: "",
    });
    assert.equal((await kiln(["run", "-q", "debian", "exit", "42"])).code, 42);
    const { stdout, stderr } = await kiln(["run", "-q", "debian", "complain", "oh"]);
    assert.deepEqual([stdout, stderr], ["", "oh\n"]);
  });

  it("prints the id with -d, and starts", async () => {
    const { stdout } = await kiln(["run", "-d", "-q", "--name", "job", "debian"]);
    assert.match(stdout, /^[0-9a-f]{64}\n$/);
    assert.deepEqual(cli.kilnd.calls, ["CreateVm debian missing", `StartVm ${stdout.trim()}`]);
  });

  it("gives the program our stdin with -i", async () => {
    const { stdout } = await kiln(["run", "-q", "-i", "debian", "cat"], { stdin: "piped" });
    assert.equal(stdout, "piped");
  });

  it("sends every flag on", async () => {
    const line =
      "create -q --name n -e A=1 -e HOME -w /w -u me --hostname h -l a=b -l c -p 8080:80 -P --cpus 2 -m 1g --disk 2g " +
      "--kernel k --kernel-args quiet --init app --restart on-failure:3 --network none --dns 1.1.1.1 " +
      "--add-host db:10.0.0.1 --pull never --platform linux/amd64 --vmm qemu --stop-signal INT --stop-timeout 5 --lifetime 1h " +
      "-i -t --entrypoint /e oci:dir:tag cmd arg";
    await kiln(line.split(" "), { env: { HOME: "/me" } });
    const vm = [...cli.kilnd.vms.values()].find(({ name }) => name === "n");
    assert.ok(vm?.config);
    const { $typeName, publish, restart, ...config } = vm.config;
    assert.deepEqual(
      publish.map(({ hostPort, vmPort }) => [hostPort, vmPort]),
      [[8080, 80]],
    );
    assert.deepEqual([restart?.name, restart?.maximumRetryCount], ["on-failure", 3]);
    assert.deepEqual(config, {
      image: "oci:/work/dir:tag",
      imageId: "",
      name: "n",
      command: ["cmd", "arg"],
      entrypoint: ["/e"],
      entrypointSet: true,
      env: ["A=1", "HOME=/me"],
      workdir: "/w",
      user: "me",
      hostname: "h",
      labels: { a: "b", c: "" },
      publishAll: true,
      cpus: 2,
      memoryBytes: 1024n ** 3n,
      diskBytes: 2n * 1024n ** 3n,
      kernel: "k",
      kernelArgs: ["quiet"],
      init: "app",
      network: "none",
      dns: ["1.1.1.1"],
      addHosts: ["db:10.0.0.1"],
      platform: "linux/amd64",
      vmm: "qemu",
      stopSignal: "INT",
      stopTimeoutMs: 5000,
      lifetimeMs: 3_600_000n,
      tty: true,
      openStdin: true,
      autoRemove: false,
      ttyColumns: 0,
      ttyRows: 0,
      ...{ mounts: [], readOnlyRoot: false, shmBytes: 0n, ulimits: [], sysctls: {} },
      ...{ networks: [], egress: "", dnsSearch: [], dnsOptions: [], publishMode: "" },
    });
    assert.ok(cli.kilnd.calls.includes("CreateVm oci:/work/dir:tag never"));
  });

  it("sends mounts and limits on", async () => {
    const line =
      "create -q --name n -v db:/data:ro --mount type=bind,src=./x,dst=/x --tmpfs /t:size=1m --read-only --shm-size 64m " +
      "--ulimit nofile=1:2 --sysctl net.core.somaxconn=5 debian";
    await kiln(line.split(" "));
    const { config } = [...cli.kilnd.vms.values()].find(({ name }) => name === "n") ?? {};
    assert.deepEqual(
      config?.mounts.map(({ type, source, target, readOnly, sizeBytes }) => [
        type,
        source,
        target,
        readOnly,
        sizeBytes,
      ]),
      [
        ["volume", "db", "/data", true, 0n],
        ["bind", "/work/x", "/x", false, 0n],
        ["tmpfs", "", "/t", false, 1024n ** 2n],
      ],
    );
    const limits = config?.ulimits.map(({ name, soft, hard }) => [name, soft, hard]);
    assert.deepEqual(
      [config?.readOnlyRoot, config?.shmBytes, limits],
      [true, 64n * 1024n ** 2n, [["nofile", 1n, 2n]]],
    );
    assert.deepEqual(config?.sysctls, { "net.core.somaxconn": "5" });
  });

  it("says why kiln failed and ends with 125", async () => {
    const { code, stderr } = await kiln(["run", "-q", "missing"]);
    assert.equal(code, 125);
    assert.equal(stderr, "kiln: no such image: missing\n");
  });

  it("refuses a terminal that is none, before anything is made", async () => {
    const { code, stderr } = await kiln(["run", "-it", "debian"]);
    assert.equal(code, 125);
    assert.match(stderr, /stdin is not a terminal/);
    assert.deepEqual(cli.kilnd.calls, []);
  });

  it("writes --cidfile once, and not over another", async () => {
    const directory = await mkdtemp(join(tmpdir(), "cid-"));
    const file = join(directory, "id");
    const { stdout } = await kiln(["create", "-q", "--cidfile", file, "debian"]);
    assert.equal(`${await readFile(file, "utf8")}\n`, stdout);
    assert.match((await kiln(["create", "--cidfile", file, "debian"])).stderr, /is there already/);
    const failing = join(directory, "other");
    await kiln(["create", "-q", "--cidfile", failing, "missing"]);
    await assert.rejects(readFile(failing), { code: "ENOENT" });
    await rm(directory, { recursive: true });
  });

  it("refuses flags that contradict", async () => {
    assert.match((await kiln(["run", "--rm", "--restart", "always", "x"])).stderr, /exclude each other/);
    assert.match((await kiln(["run", "--restart", "often", "x"])).stderr, /--restart takes/);
    assert.match((await kiln(["run", "--cpus", "none", "x"])).stderr, /--cpus takes/);
    assert.match((await kiln(["run", "-m", "lots", "x"])).stderr, /--memory "lots" is not a size/);
    assert.match((await kiln(["run", "-p", "x:y", "x"])).stderr, /cannot publish "x:y"/);
    assert.match((await kiln(["run", "-e", "=x", "x"])).stderr, /is not NAME=VALUE/);
    assert.match(
      (await kiln(["run", "-v", "data", "x"])).stderr,
      /says no path in the VM\nhint: write data:\/path/,
    );
    assert.match((await kiln(["run", "--mount", "type=bind,target=/x", "x"])).stderr, /needs a source/);
  });

  it("says that the VM failed, with kilnd's words", async () => {
    const vm = cli.kilnd.add("broken");
    if (vm.status !== undefined) {
      Object.assign(vm.status, { state: VmState.FAILED, message: "vmm died", reason: "vmm-died" });
    }
    vm.config?.command.splice(0, 9, "exit", "1");
    const { code, stderr } = await kiln(["start", "-a", "broken"]);
    assert.equal(code, 125);
    assert.match(stderr, /^kiln: VM broken failed: vmm died\nhint: `kiln logs --console broken`/);
  });
});

describe("kiln exec", () => {
  it("gives output, exit code and stdin", async () => {
    assert.deepEqual(await kiln(["exec", "web", "echo", "a"]), { code: 0, stdout: "a\n", stderr: "" });
    assert.equal((await kiln(["exec", "web", "exit", "3"])).code, 3);
    assert.equal((await kiln(["exec", "-i", "web", "cat"], { stdin: "x" })).stdout, "x");
  });

  it("says why a program could not be started, with 127", async () => {
    const { code, stderr } = await kiln(["exec", "web", "nothing-like-this"]);
    assert.deepEqual([code, stderr], [127, "kiln: nothing-like-this: not found\n"]);
  });

  it("ends with 125 where there is no such VM", async () => {
    assert.equal((await kiln(["exec", "nobody", "true"])).code, 125);
  });

  it("returns at once with -d, and prints an id", async () => {
    assert.deepEqual(await kiln(["exec", "-d", "web", "sleep"]), {
      code: 0,
      stdout: `${"a0".padEnd(32, "5")}\n`,
      stderr: "",
    });
  });
});

it("system prune asks, and refuses where nobody can answer", async () => {
  assert.match((await kiln(["system", "prune"])).stderr, /nobody can be asked/);
  const { stdout } = await kiln(["system", "prune", "-f"]);
  assert.equal(stdout, "Deleted VM: gone\nDeleted network: idle\nTotal reclaimed space: 5B\n");
  const asked = await kiln(["system", "prune"], { isTTY: true, stdin: "no\n" });
  assert.deepEqual([asked.code, asked.stdout], [1, ""]);
});
