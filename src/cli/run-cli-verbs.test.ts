import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { cliCase } from "../../test/fixtures/cli-case.js";
import { ImageSchema, MountStatusSchema, VmState } from "../gen/kiln/v1/types_pb.js";

const cli = cliCase();
const { kiln } = cli;

describe("verbs with several VMs", () => {
  it("do what they can, name what they could not, and end with 1", async () => {
    cli.kilnd.add("db");
    const { code, stdout, stderr } = await kiln(["stop", "web", "nobody", "db"]);
    assert.equal(code, 1);
    assert.equal(stdout, "web\ndb\n");
    assert.match(stderr, /^kiln: no such VM: nobody\nhint: /);
  });

  it("send their flags", async () => {
    await kiln(["kill", "-s", "HUP", "web"]);
    await kiln(["rm", "-f", "web"]);
    assert.deepEqual(cli.kilnd.calls, ["KillVm HUP web", "RemoveVm -f web"]);
  });

  it("remove by force what is gone already without failing: it says so and does the others", async () => {
    const forced = await kiln(["rm", "-f", "nobody", "web"]);
    assert.deepEqual([forced.code, forced.stdout], [0, "web\n"]);
    assert.match(forced.stderr, /^kiln: no such VM: nobody\n/);
    assert.equal((await kiln(["rm", "nobody"])).code, 1);
    assert.equal((await kiln(["rmi", "-f", "nothing"])).code, 0);
    assert.equal((await kiln(["rmi", "nothing"])).code, 1);
    assert.equal((await kiln(["kernel", "rm", "-f", "nothing"])).code, 0);
    assert.equal((await kiln(["kernel", "rm", "nothing"])).code, 1);
  });

  it("print exit codes with wait", async () => {
    const vm = cli.kilnd.add("job");
    if (vm.status !== undefined) Object.assign(vm.status, { state: VmState.EXITED, exitCode: 7 });
    assert.equal((await kiln(["wait", "job"])).stdout, "7\n");
  });
});

describe("kiln rm", () => {
  it("takes docker's -v, and explains -l", async () => {
    assert.deepEqual(await kiln(["rm", "-fv", "web"]), { code: 0, stdout: "web\n", stderr: "" });
    assert.match((await kiln(["rm", "-l", "web"])).stderr, /^kiln: rm has no -l: VMs are not linked/);
  });
});

describe("kiln ps", () => {
  it("prints docker's table", async () => {
    const { stdout } = await kiln(["ps"]);
    assert.equal(
      stdout,
      "VM ID          IMAGE             COMMAND     CREATED          STATUS          PORTS                  NAMES\n" +
        "776562303030   debian:bookworm   sleep 100   10 minutes ago   Up 10 minutes   0.0.0.0:8080->80/tcp   web\n",
    );
  });

  it("takes -l for the newest, running or not, and explains -s", async () => {
    cli.kilnd.add("latest");
    assert.equal((await kiln(["ps", "-l", "--format", "{{.Names}}"])).stdout, "latest\n");
    for (const flag of ["-s", "--size"]) {
      const { code, stderr } = await kiln(["ps", flag]);
      assert.equal(code, 2);
      assert.match(stderr, /^kiln: ps has no (-s|--size): `kiln system df` shows what the VMs take/);
    }
  });

  it("prints ids, whole ids, JSON lines and templates", async () => {
    assert.equal((await kiln(["ps", "-q"])).stdout, "776562303030\n");
    assert.match((await kiln(["ps", "-q", "--no-trunc"])).stdout, /^[0-9a-f]{64}\n$/);
    const row = JSON.parse((await kiln(["ps", "--format", "json"])).stdout) as Record<string, unknown>;
    assert.deepEqual(Object.keys(row), [
      ..."ID Image Command CreatedAt RunningFor Status State ExitCode Ports Names Labels Cpus Memory Vmm".split(
        " ",
      ),
      ..."Accelerator Kernel IP RestartCount Mounts Networks LocalVolumes".split(" "),
    ]);
    assert.equal((await kiln(["ps", "--format", "{{.Names}}={{.State}}"])).stdout, "web=running\n");
    const table = await kiln(["ps", "--format", "table {{.Names}}\\t{{.Ports}}"]);
    assert.equal(table.stdout, "NAMES     PORTS\nweb       0.0.0.0:8080->80/tcp\n");
  });

  it("says what is mounted as docker does: long sources are cut, memory has none", async () => {
    const vm = cli.kilnd.add("mounted");
    if (vm.status === undefined) throw new Error("it has no status");
    vm.status.mounts = ["data", "/home/me/a/project", ""].map((source) => {
      const type = source === "data" ? "volume" : source === "" ? "tmpfs" : "bind";
      return create(MountStatusSchema, { mount: { type, source, target: "/x" } });
    });
    const format = ["-n", "1", "--format", "{{.Mounts}} {{.LocalVolumes}}"];
    assert.equal((await kiln(["ps", ...format])).stdout, "data,/home/me/a/pro… 1\n");
    assert.equal((await kiln(["ps", "--no-trunc", ...format])).stdout, "data,/home/me/a/project 1\n");
  });

  it("does not let a name drive the terminal", async () => {
    cli.kilnd.add("evil\x1b]0;x\x07");
    const { stdout } = await kiln(["ps"]);
    assert.ok(!stdout.includes("\x1b"));
    const shown = async (isTTY: boolean, ...words: string[]) => (await kiln(words, { isTTY })).stdout;
    for (const words of [
      ["ps", "--format", "{{.Names}}"],
      ["ps", "--format", "json"],
      ["inspect", "-f", "{{.name}}", "evil\x1b]0;x\x07"],
      ["inspect", "evil\x1b]0;x\x07"],
      ["rm", "-f", "evil\x1b]0;x\x07"],
    ]) {
      const text = await shown(true, ...words);
      assert.ok(text !== "" && !text.includes("\x1b"), words.join(" "));
    }
    cli.kilnd.add("evil\x1b]0;x\x07");
    const whole = await shown(false, "ps", "--format", "{{.Names}}");
    assert.ok(whole.includes("evil\x1b]0;x\x07\n"), "programs get it as it is");
  });
});

describe("lists and objects", () => {
  it("list images, kernels and disk usage", async () => {
    assert.match((await kiln(["images"])).stdout, /^debian +bookworm +abababababab +\S.* +30MB$/m);
    assert.equal((await kiln(["images", "nginx", "-q"])).stdout, "");
    assert.equal((await kiln(["image", "ls", "-q", "debian"])).stdout, "abababababab\n");
    assert.match((await kiln(["kernel", "ls"])).stdout, /efefefefefef +debian/);
    assert.match((await kiln(["system", "df"])).stdout, /^images +1 +0 +30MB +0B \(0%\)$/m);
    assert.match(
      (await kiln(["system", "df", "-v"])).stdout,
      /^TYPE .*\nvolumes +abababababab +data +5kB +web\n$/,
    );
  });

  it("inspect VMs, images and kernels by name", async () => {
    assert.equal((await kiln(["inspect", "-f", "{{.name}}", "web"])).stdout, "web\n");
    const [image] = JSON.parse((await kiln(["inspect", "--type", "image", "debian"])).stdout) as {
      sizeBytes: number;
    }[];
    assert.equal(image?.sizeBytes, 30_000_000);
    assert.equal(
      (await kiln(["inspect", "-f", "{{.release}}", "--type", "kernel", "debian"])).stdout,
      "6.1.0\n",
    );
    const missing = await kiln(["inspect", "--type", "vm", "web", "nobody"]);
    assert.equal(missing.code, 1);
    assert.equal((JSON.parse(missing.stdout) as unknown[]).length, 1);
  });

  it("print ports, add and remove them", async () => {
    assert.equal((await kiln(["port", "web"])).stdout, "80/tcp -> 0.0.0.0:8080\n");
    assert.equal((await kiln(["port", "web", "80"])).stdout, "0.0.0.0:8080\n");
    assert.match((await kiln(["port", "web", "81"])).stderr, /port 81 of VM web is not published/);
    assert.equal((await kiln(["port", "add", "web", "81"])).stdout, "0.0.0.0:49153->81/tcp\n");
    assert.equal((await kiln(["port", "rm", "web", "81"])).code, 0);
  });

  it("print logs with times and streams apart", async () => {
    const plain = await kiln(["logs", "web"]);
    assert.deepEqual([plain.stdout, plain.stderr], ["one\ntwo\n", "error\n"]);
    const stamped = await kiln(["logs", "-t", "--tail", "5", "--since", "10m", "web"]);
    assert.equal(stamped.stdout, "2026-01-02T03:04:07.123Z one\n2026-01-02T03:04:07.123Z two\n");
  });

  it("show images by patterns of their names, and no age of one without a date", async () => {
    const digests = [`docker.io/me/app@sha256:${"cd".repeat(32)}`];
    cli.kilnd.moreImages.push(
      create(ImageSchema, { id: "sha256:1", names: ["docker.io/library/nginx:1.27", "ghcr.io/a/nginx:1"] }),
      create(ImageSchema, { id: "sha256:2", names: [], digests }),
    );
    const names = async (...args: string[]) =>
      (await kiln(["images", "--format", "{{.Repository}}:{{.Tag}}", ...args])).stdout.trim().split("\n");
    try {
      assert.deepEqual(await names("nginx"), ["nginx:1.27"]);
      assert.deepEqual(await names("nginx:1.*"), ["nginx:1.27"]);
      assert.deepEqual(await names("*/*/nginx"), ["ghcr.io/a/nginx:1"]);
      assert.deepEqual(await names("-f", "reference=*:book*", "-f", "reference=me/*"), [
        "debian:bookworm",
        "me/app:<none>",
      ]);
      assert.deepEqual(await names("ngin"), [""]);
      assert.match((await kiln(["images", "["])).stderr, /^kiln: pattern "\[": it ends within a class/);
      assert.match((await kiln(["images", "nginx"])).stdout, /^nginx +1\.27 +1 +N\/A +0B$/m);
    } finally {
      cli.kilnd.moreImages.length = 0;
    }
  });

  it("print one sample of statistics", async () => {
    assert.match((await kiln(["stats", "--no-stream"])).stdout, /^aaaaaaaaaaaa +web +12\.50% +1MiB \/ 0B/m);
  });
});

describe("completion of images", () => {
  it("offers the names that people write, and those that kiln keeps to who writes them", async () => {
    cli.kilnd.moreImages.push(
      create(ImageSchema, {
        names: ["docker.io/library/nginx:latest", "docker.io/team/app:1", "ghcr.io/team/app:2"],
      }),
    );
    try {
      const offers = async (typed: string) =>
        (await kiln(["__complete", "run", typed])).stdout.replaceAll("\t", "").split("\n").slice(0, -2);
      assert.deepEqual(await offers(""), [
        "debian:bookworm",
        "nginx",
        "nginx:latest",
        "team/app:1",
        "ghcr.io/team/app:2",
      ]);
      assert.deepEqual(await offers("d"), ["debian:bookworm"]);
      assert.deepEqual(await offers("ng"), ["nginx", "nginx:latest"]);
      assert.deepEqual(await offers("team/"), ["team/app:1"]);
      const kept = "docker.io/library/nginx";
      assert.deepEqual(await offers("docker.io/library/n"), [kept, `${kept}:latest`]);
    } finally {
      cli.kilnd.moreImages.length = 0;
    }
  });
});

describe("kiln image save", () => {
  it("writes to stdout, or to a file that appears whole or not at all", async () => {
    assert.equal((await kiln(["image", "save", "a", "b"])).stdout, "saved a\nsaved b\n");
    const directory = await mkdtemp(join(tmpdir(), "kiln-save-"));
    try {
      assert.equal((await kiln(["save", "-o", join(directory, "a.tar"), "a"])).code, 0);
      const failed = await kiln(["save", "-o", join(directory, "b.tar"), "missing"]);
      assert.match(failed.stderr, /^kiln: no such image: missing/);
      assert.deepEqual(await readdir(directory), ["a.tar"]);
      assert.equal(await readFile(join(directory, "a.tar"), "utf8"), "saved a\n");
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("shows how far it is on stderr, as pull does", async () => {
    const saved = await kiln(["image", "save", "a", "b"]);
    assert.equal(saved.stderr, "2 images: Saving\n2 images: Done 16B\n");
    const json = await kiln(["image", "save", "--progress", "json", "a"]);
    const steps = json.stderr.trim().split("\n");
    assert.deepEqual(
      steps
        .map((line) => JSON.parse(line))
        .map(({ id, status, current, total }) => [id, status, current, total]),
      [
        ["a", "saving", 8, 5000],
        ["a", "done", 8, 8],
      ],
    );
    for (const flags of [["-q"], ["--progress", "none"]]) {
      assert.equal((await kiln(["image", "save", ...flags, "a"])).stderr, "");
    }
  });

  it("refuses to write to a terminal", async () => {
    assert.equal((await kiln(["image", "save", "a"], { isTTY: true })).code, 2);
  });
});

describe("kiln kernel build", () => {
  it("sends its flags, shows how far it is, and prints the kernel's id", async () => {
    const line = "kernel build --version 6.1 --arch amd64 --no-cache -j 3 --name k --default";
    const { code, stdout, stderr } = await kiln(line.split(" "));
    assert.equal(code, 0);
    assert.equal(stdout, `${"ef".repeat(32)}\n`);
    assert.match(stderr, /^compile: Building 2 of about 2 objects$/m);
    assert.deepEqual(cli.kilnd.calls, ['BuildKernel ["6.1","amd64",true,3,"k",true]']);
  });

  it("prints the image's name for another architecture", async () => {
    const { stdout } = await kiln(["kernel", "build", "-q", "--arch", "arm64"]);
    assert.equal(stdout, "localhost/kiln-kernel:6.1.192-arm64\n");
  });

  it("refuses architectures and numbers that are none", async () => {
    assert.equal((await kiln(["kernel", "build", "--arch", "riscv64"])).code, 2);
    assert.equal((await kiln(["kernel", "build", "-j", "0"])).code, 2);
    assert.deepEqual(cli.kilnd.calls, []);
  });
});

describe("kiln pull and import", () => {
  it("print the name on stdout and the progress on stderr", async () => {
    const { stdout, stderr } = await kiln(["pull", "debian:bookworm"]);
    assert.equal(stdout, "docker.io/library/debian:bookworm\n");
    assert.equal(stderr, "cdcdcdcdcdcd: Downloading\n");
    const quiet = await kiln(["pull", "-q", "debian"]);
    assert.deepEqual([quiet.stdout, quiet.stderr], ["docker.io/library/debian:bookworm\n", ""]);
  });

  it("read a root file system from stdin", async () => {
    const { stdout } = await kiln(["image", "import", "-", "mine"], { stdin: "tar" });
    assert.match(stdout, /^sha256:/);
    const missing = await kiln(["image", "import", "/nonexistent.tar", "mine"]);
    assert.match(missing.stderr, /read \/nonexistent\.tar/);
  });
});

describe("without kilnd", () => {
  const host = "unix:///nonexistent/kiln.sock";

  it("info and version say so and succeed", async () => {
    const info = await kiln(["info"], { host });
    assert.equal(info.code, 0);
    assert.match(
      info.stdout,
      /Daemon: not running \(connect to kilnd at \/nonexistent\/kiln\.sock: there is no such/,
    );
    assert.match(info.stdout, /\n`kiln ps` starts it, .*; `kiln doctor` looks at this host without it\.\n$/);
    const version = await kiln(["version", "--format", "{{.daemon}}|{{.client.apiVersion}}"], { host });
    assert.equal(version.stdout, "|kiln.v1\n");
  });

  it("other verbs fail with a hint", async () => {
    const { code, stderr } = await kiln(["ps"], { host });
    assert.equal(code, 1);
    assert.match(stderr, /^kiln: connect to kilnd at .*\nhint: start it with `kilnd`/);
  });
});
