import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cliCase } from "../../test/fixtures/cli-case.js";
import type { Exec } from "../gen/kiln/v1/process_pb.js";

const cli = cliCase();
const { kiln } = cli;

/** Of the first to the third that are started. */
const [ONE, TWO, THREE] = ["a05555555555", "a15555555555", "a25555555555"] as const;

async function start(...words: string[]): Promise<Exec> {
  await kiln(["exec", "-d", "web", ...words]);
  const exec = cli.kilnd.kept.all.at(-1);
  assert.ok(exec !== undefined);
  return exec;
}

describe("kiln exec -d", () => {
  it("prints the id, and sends the policy", async () => {
    const { code, stdout, stderr } = await kiln([
      "exec",
      "-d",
      "--restart",
      "on-failure:3",
      "web",
      "job",
      "-v",
    ]);
    assert.deepEqual([code, stdout, stderr], [0, `${ONE.padEnd(32, "5")}\n`, ""]);
    const { args, restart, detach } = cli.kilnd.execs[0]?.config ?? {};
    assert.deepEqual([args, detach], [["job", "-v"], true]);
    assert.deepEqual([restart?.name, restart?.maximumRetryCount], ["on-failure", 3]);
  });

  it("says that -i does not count", async () => {
    const { code, stderr } = await kiln(["exec", "-dit", "web", "job"]);
    assert.deepEqual([code, stderr], [0, "kiln: with -d the program has no stdin: -i does not count\n"]);
  });

  it("refuses a policy that makes no sense, or that nobody would see to", async () => {
    const never = await kiln(["exec", "-d", "--restart", "unless-stopped", "web", "job"]);
    assert.equal(never.code, 125);
    assert.match(
      never.stderr,
      /^kiln: --restart takes no, on-failure\[:N\] or always, not "unless-stopped"\n/,
    );
    assert.equal((await kiln(["exec", "-d", "--restart", "always:3", "web", "job"])).code, 125);
    assert.match(
      (await kiln(["exec", "--restart", "always", "web", "job"])).stderr,
      /--restart goes with -d/,
    );
    assert.deepEqual(cli.kilnd.execs, []);
  });

  it("says where nothing of it is kept, and starts nothing there that was to be restarted", async () => {
    for (const keeps of ["nothing", "unasked"] as const) {
      cli.kilnd.kept.keeps = keeps;
      const { code, stdout, stderr } = await kiln(["exec", "-d", "web", "job"]);
      assert.deepEqual([code, stdout], [0, ""]);
      assert.match(stderr, /^kiln: its output and its end are not kept: .* of an older kiln\n$/);
    }
    cli.kilnd.kept.keeps = "nothing";
    const refused = await kiln(["exec", "-d", "--restart", "always", "web", "job"]);
    assert.equal(refused.code, 125);
    assert.match(refused.stderr, /\nhint: restart the VM/);
  });
});

describe("--exec", () => {
  it("reads the output of a program by a prefix of its id, and follows it to its end", async () => {
    const exec = await start("job");
    cli.kilnd.kept.print(exec, "one\n");
    assert.equal((await kiln(["logs", "--exec", "a0", "web"])).stdout, "one\n");
    const stamped = await kiln(["logs", "-t", "--exec", ONE, "web"]);
    assert.equal(stamped.stdout, "2026-01-02T03:04:08.000Z one\n");
    const followed = kiln(["logs", "-f", "--exec", "a0", "web"]);
    cli.kilnd.kept.print(exec, "two\n");
    cli.kilnd.kept.end(exec, 0);
    assert.equal((await followed).stdout, "one\ntwo\n");
    const both = await kiln(["logs", "--console", "--exec", "a0", "web"]);
    assert.match(both.stderr, /--exec and --console exclude each other/);
  });

  it("waits for programs, and prints their codes", async () => {
    cli.kilnd.kept.end(await start("one"), 3);
    cli.kilnd.kept.end(await start("two"), 0);
    assert.deepEqual(await kiln(["wait", "--exec", ONE, "--exec", TWO, "web"]), {
      ...{ code: 0, stdout: "3\n0\n", stderr: "" },
    });
    const odd = await kiln(["wait", "--condition", "running", "--exec", ONE, "web"]);
    assert.match(odd.stderr, /--condition is about VMs/);
  });

  it("signals a program, and never its VM", async () => {
    await start("job");
    assert.deepEqual(await kiln(["kill", "-s", "HUP", "--exec", "a0", "web"]), {
      ...{ code: 0, stdout: "a0\n", stderr: "" },
    });
    await kiln(["kill", "--exec", "a0", "web"]);
    assert.equal((await kiln(["kill", "--exec", "ff", "web"])).code, 1);
    for (const words of [["--exec", ""], ["--exec="], ["--exec", "a0", "--exec", ""]]) {
      assert.equal((await kiln(["kill", ...words, "web"])).code, 2);
    }
    const two = await kiln(["kill", "--exec", "a0", "--exec", "a1", "web", "db"]);
    assert.deepEqual([two.code, two.stderr.match(/name only that/g)?.length], [2, 1]);
    const signals = cli.kilnd.calls.filter((call) => /^(SignalExec|KillVm)/.test(call));
    const id = ONE.padEnd(32, "5");
    assert.deepEqual(signals, [`SignalExec HUP ${id} web`, `SignalExec SIGKILL ${id} web`]);
  });
});

describe("kiln execs", () => {
  it("lists what runs, with -a what has ended too, the newest first", async () => {
    cli.kilnd.kept.end(await start("sh", "-c", "exit 7"), 7);
    await start("sleep", "100");
    const { stdout } = await kiln(["execs", "-a", "web"]);
    assert.equal(
      stdout,
      "EXEC ID        COMMAND          CREATED         STATUS\n" +
        `${TWO}   sleep 100        9 minutes ago   Up 9 minutes\n` +
        `${ONE}   sh -c 'exit 7'   9 minutes ago   Exited (7) 58 seconds ago\n`,
    );
    assert.equal((await kiln(["execs", "-q", "web"])).stdout, `${TWO}\n`);
    assert.equal((await kiln(["execs", "-q", "-f", "status=exited", "web"])).stdout, `${ONE}\n`);
    assert.equal((await kiln(["execs", "ls", "-aq", "-f", "id=a1", "web"])).stdout, `${TWO}\n`);
    assert.match((await kiln(["execs", "-f", "status=dead", "web"])).stderr, /"status=dead" is no filter/);
  });

  it("prints JSON lines and templates", async () => {
    await start("job");
    const row = JSON.parse((await kiln(["execs", "--format", "json", "web"])).stdout) as object;
    const fields =
      "ID Command CreatedAt RunningFor Status State ExitCode Reason Pid User Restart RestartCount";
    assert.deepEqual(Object.keys(row), fields.split(" "));
    const line = await kiln(["execs", "--format", "{{.Pid}} {{.State}} {{.Restart}}", "web"]);
    assert.equal(line.stdout, "42 running no\n");
  });

  it("removes those that have ended, by force those that run too", async () => {
    cli.kilnd.kept.end(await start("one"), 0);
    await start("two");
    const some = await kiln(["execs", "rm", "web", ONE, TWO]);
    assert.deepEqual([some.code, some.stdout], [1, `${ONE}\n`]);
    assert.match(some.stderr, /^kiln: it runs/);
    assert.equal((await kiln(["execs", "rm", "-f", "web", TWO, THREE])).code, 0);
    assert.deepEqual(cli.kilnd.kept.all, []);
    await start("three");
    assert.equal((await kiln(["vm", "execs", "rm", "-f", "web", "a0"])).stdout, "a0\n");
  });
});

describe("elsewhere", () => {
  it("inspect tells of them, in kiln's words and in Docker's", async () => {
    cli.kilnd.kept.end(await start("one"), 1);
    await start("two");
    const format = "{{range .Execs}}{{.status.state}} {{end}}{{.ExecIDs}}";
    const { stdout } = await kiln(["inspect", "-f", format, "web"]);
    assert.equal(stdout, `exited running [${TWO.padEnd(32, "5")}]\n`);
    const [vm] = JSON.parse((await kiln(["inspect", "web"])).stdout) as { execs: { id: string }[] }[];
    assert.equal(vm?.execs.length, 2);
  });

  it("inspect tells of none where kilnd does not know of them", async () => {
    cli.kilnd.kept.keeps = "unasked";
    const { code, stdout } = await kiln(["inspect", "-f", "{{len .Execs}} {{.ExecIDs}}", "web"]);
    assert.deepEqual([code, stdout], [0, "0 []\n"]);
  });

  it("completion offers their ids", async () => {
    const job = await start("job");
    const offered = await kiln(["__complete", "execs", "rm", "web", ""]);
    assert.equal(offered.stdout, `${ONE}\tjob, running\n:none\n`);
    const flag = await kiln(["__complete", "kill", "--exec", "a"]);
    assert.equal(flag.stdout, `${ONE}\tweb: job, running\n:none\n`);
    cli.kilnd.kept.end(job, 0);
    assert.equal((await kiln(["__complete", "kill", "--exec", "a"])).stdout, ":none\n");
    assert.match((await kiln(["__complete", "wait", "--exec", "a"])).stdout, /job, exited/);
  });
});
