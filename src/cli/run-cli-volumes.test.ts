import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { cliCase } from "../../test/fixtures/cli-case.js";
import { MountStatusSchema } from "../gen/kiln/v1/types_pb.js";

const cli = cliCase();
const { kiln } = cli;
const GIB = 1024 ** 3;

describe("kiln volume create", () => {
  it("prints the name, and sends size and labels in every spelling", async () => {
    assert.deepEqual(await kiln(["volume", "create", "data"]), { code: 0, stdout: "data\n", stderr: "" });
    await kiln(["volume", "create", "--size", "10g", "--label", "a=b=c", "-l", "x", "two"]);
    await kiln(["volume", "create", "-d", "local", "-o", "size=1.5g", "--opt=size=1536m"]);
    assert.deepEqual(cli.kilnd.calls, [
      'CreateVolume ["data",0,{}]',
      `CreateVolume ["two",${10 * GIB},{"a":"b=c","x":""}]`,
      `CreateVolume ["",${1.5 * GIB},{}]`,
    ]);
  });

  it("refuses what volumes have not, with the way that there is", async () => {
    const refused: [string[], RegExp][] = [
      [["-o", "siez=1g"], /no option "siez=1g" of volumes\nhint: did you mean size\?/],
      [["-o", "size"], /did you mean size=SIZE\?/],
      [["-o", "type=tmpfs"], /give --tmpfs/],
      [["-o", "device=/srv"], /give its path to -v/],
      [["-o", "uid=5"], /there is size=SIZE/],
      [["-o", "size=1g", "--size", "2g"], /two sizes/],
      [["--size", "big"], /"big" is not a size/],
      [["--size", "0"], /--size "0": a disk has more than 0 bytes\nhint: leave it out for the default/],
      [["-o", "size=0g"], /-o size "0g": a disk has more than 0 bytes/],
      [["--driver", "nfs"], /volumes are disks of this host/],
      [["--ignore"], /that is there already is no failure/],
      [["--label", "=x"], /--label takes NAME=VALUE/],
      [["a", "b"], /what to do with "b"/],
    ];
    for (const [words, expected] of refused) {
      const { code, stderr } = await kiln(["volume", "create", ...words]);
      assert.match(stderr, expected);
      assert.notEqual(code, 0, words.join(" "));
    }
    assert.deepEqual(cli.kilnd.calls, []);
  });
});

describe("kiln volume ls", () => {
  it("prints a table, names, JSON and templates", async () => {
    cli.kilnd.addVolume("data", { vms: ["web", "db"], writer: "web", labels: { a: "b" } });
    assert.equal(
      (await kiln(["volume", "ls"])).stdout,
      "VOLUME NAME   CREATED          SIZE      USED      VMS\n" +
        "data          10 minutes ago   64GiB     1MB       web,db\n",
    );
    assert.equal((await kiln(["volume", "list", "-q"])).stdout, "data\n");
    const [row] = (await kiln(["volume", "ls", "--format", "json"])).stdout.split("\n");
    const { Name, Driver, SizeBytes, Labels, Anonymous } = JSON.parse(row ?? "") as Record<string, unknown>;
    assert.deepEqual([Name, Driver, SizeBytes, Labels, Anonymous], ["data", "local", 64 * GIB, "a=b", false]);
    assert.equal((await kiln(["volume", "ls", "--format", "{{.Name}} {{.Writer}}"])).stdout, "data web\n");
    const format = "{{.Links}} {{.Size}} {{.Labels}} [{{.Mountpoint}}]";
    assert.equal((await kiln(["volume", "ls", "--format", format])).stdout, "2 64GiB a=b []\n");
  });

  it("sends filters", async () => {
    await kiln(["volume", "ls", "-f", "dangling=true", "--filter", "label=a"]);
    assert.deepEqual(cli.kilnd.calls, ["ListVolumes dangling=true label=a"]);
  });
});

describe("kiln volume inspect", () => {
  it("shows all that is known, and takes Docker's names", async () => {
    cli.kilnd.addVolume("data", { vms: ["web"] });
    const { code, stdout, stderr } = await kiln(["volume", "inspect", "data", "dada"]);
    assert.equal(code, 1);
    assert.match(stderr, /no such volume: dada/);
    const [volume, ...none] = JSON.parse(stdout) as { name: string; vms: string[]; sizeBytes: number }[];
    assert.deepEqual([volume?.name, volume?.vms, volume?.sizeBytes, none], ["data", ["web"], 64 * GIB, []]);
    const format = "{{.Name}} {{.Driver}} {{.Options.size}} {{.usedBytes}}";
    assert.equal(
      (await kiln(["volume", "inspect", "-f", format, "data"])).stdout,
      "data local 68719476736 1000000\n",
    );
  });

  it("is also what `kiln inspect` does where nothing else bears the name", async () => {
    cli.kilnd.addVolume("data");
    cli.kilnd.addVolume("web");
    assert.equal((await kiln(["inspect", "-f", "{{.Name}}", "data"])).stdout, "data\n");
    assert.equal((await kiln(["inspect", "--type", "volume", "-f", "{{.Scope}}", "web"])).stdout, "local\n");
    assert.match((await kiln(["inspect", "--type", "volume", "x"])).stderr, /no such volume: x/);
  });
});

describe("kiln volume rm", () => {
  it("removes several, names who has one, and takes what is gone already by -f", async () => {
    cli.kilnd.addVolume("a");
    cli.kilnd.addVolume("b", { vms: ["web"] });
    cli.kilnd.addVolume("c");
    const { code, stdout, stderr } = await kiln(["volume", "rm", "a", "b", "c"]);
    assert.deepEqual([code, stdout], [1, "a\nc\n"]);
    assert.match(stderr, /used by VM web/);
    const gone = await kiln(["volume", "rm", "-f", "a"]);
    assert.equal(gone.code, 0);
    assert.match(gone.stderr, /no such volume: a/);
    assert.equal((await kiln(["volume", "remove", "a"])).code, 1);
    assert.equal((await kiln(["volume", "rm", "-f", "b"])).code, 1);
  });
});

describe("kiln volume prune", () => {
  it("asks before, and says what went", async () => {
    const pruned = await kiln(["volume", "prune", "-af", "--filter", "label=a"]);
    assert.equal(pruned.stdout, "Deleted: old\nTotal reclaimed space: 5MB\n");
    assert.match((await kiln(["volume", "prune"])).stderr, /nobody can be asked/);
    assert.deepEqual(cli.kilnd.calls, ["PruneVolumes true label=a"]);
  });

  it("goes with `kiln system prune --volumes`", async () => {
    assert.equal(
      (await kiln(["system", "prune", "-f", "--volumes"])).stdout,
      "Deleted VM: gone\nDeleted volume: old\nDeleted network: idle\nTotal reclaimed space: 5B\n",
    );
    assert.doesNotMatch((await kiln(["system", "prune", "-f"])).stdout, /volume/);
  });
});

describe("kiln volume grow", () => {
  it("says where the file system follows later", async () => {
    cli.kilnd.addVolume("data");
    const { code, stdout, stderr } = await kiln(["volume", "grow", "data", "100g"]);
    assert.deepEqual([code, stdout], [0, "data\n"]);
    assert.match(stderr, /grows at the next mount/);
    assert.equal(cli.kilnd.volumes.get("data")?.sizeBytes, 100n * 1024n ** 3n);
    assert.match((await kiln(["volume", "grow", "data", "much"])).stderr, /"much" is not a size/);
  });
});

describe("kiln volume attach and detach", () => {
  it("say the path, and pass on what -v takes", async () => {
    assert.equal((await kiln(["volume", "attach", "web", "data:/data/:ro"])).stdout, "/data\n");
    assert.equal((await kiln(["volume", "detach", "web", "/data"])).stdout, "/data\n");
    const calls = cli.kilnd.calls.filter(
      (call) => call.endsWith("tachVolume web /data") || call.startsWith("Attach"),
    );
    assert.deepEqual(calls, ["AttachVolume web data:/data true", "DetachVolume web /data"]);
    assert.match(
      (await kiln(["volume", "attach", "web", "data"])).stderr,
      /says no path in the VM\nhint: write data:\/path/,
    );
  });
});

describe("kiln volume export and import", () => {
  it("go from and to files, stdin and stdout", async () => {
    cli.kilnd.addVolume("data");
    const root = await mkdtemp(join(tmpdir(), "kiln-volume-cli-"));
    try {
      const file = join(root, "data.tar");
      assert.equal((await kiln(["volume", "export", "-o", file, "data"])).code, 0);
      assert.equal(await readFile(file, "utf8"), "tar of data");
      assert.equal((await kiln(["volume", "export", "data"])).stdout, "tar of data");
      assert.equal((await kiln(["volume", "export", "-o", join(root, "x"), "nothing"])).code, 1);
      assert.deepEqual(await readdir(root), ["data.tar"]);
      assert.equal((await kiln(["volume", "import", "data", file])).stdout, "data\n");
      await kiln(["volume", "import", "data", "-"], { stdin: "12345" });
      assert.deepEqual(cli.kilnd.calls, ["ImportVolume data 11", "ImportVolume data 5"]);
      assert.match(
        (await kiln(["volume", "import", "data", join(root, "y")])).stderr,
        /no such file|ENOENT/i,
      );
    } finally {
      await rm(root, { recursive: true });
    }
  });
});

describe("completion of volumes", () => {
  it("gives those of the VM to detach, and names and files to mount", async () => {
    cli.kilnd.addVolume("data");
    const vm = cli.kilnd.add("box");
    const mount = { type: "volume", source: "data", target: "/var/data" };
    if (vm.status !== undefined) vm.status.mounts = [create(MountStatusSchema, { mount })];
    const offered = async (...words: string[]) => (await kiln(["__complete", ...words])).stdout;
    assert.equal(await offered("volume", "detach", "box", ""), "/var/data\tdata\n:none\n");
    assert.equal(await offered("volume", "attach", "box", "d"), "data:\t\n:none\n");
    assert.equal(
      await offered("run", "-v", "/proc/self/ma"),
      "/proc/self/map_files/\t\n/proc/self/maps\t\n:none\n",
    );
    assert.equal(await offered("run", "-v", "~nobody/x"), ":none\n");
  });

  it("gives their names, with who has them", async () => {
    cli.kilnd.addVolume("data", { vms: ["web"] });
    cli.kilnd.addVolume("logs");
    const { stdout } = await kiln(["__complete", "volume", "rm", "d"]);
    assert.equal(stdout, "data\tweb\n:none\n");
    assert.match((await kiln(["__complete", "volume", ""])).stdout, /^create\t/m);
    const objects = (await kiln(["__complete", "inspect", ""])).stdout;
    for (const name of ["web", "data"]) assert.match(objects, new RegExp(`^${name}\t`, "m"));
  });
});
