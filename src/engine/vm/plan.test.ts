import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hasReason } from "../../base/errors.js";
import type { ImageRunConfig } from "../../image/types.js";
import { exposedPorts, planProgram } from "./plan.js";
import { defaultConfig, type VmConfig } from "./vm-config.js";

function image(over: Partial<ImageRunConfig> = {}): ImageRunConfig {
  return {
    env: [],
    entrypoint: [],
    cmd: [],
    workdir: "",
    user: "",
    labels: {},
    exposedPorts: [],
    volumes: [],
    stopSignal: "",
    ...over,
  };
}

function plan(config: Partial<VmConfig>, run: Partial<ImageRunConfig> = {}, hasInit = false) {
  return planProgram({ ...defaultConfig("app"), ...config }, image(run), hasInit);
}

describe("the arguments", () => {
  const both = { entrypoint: ["/entry"], cmd: ["-a", "-b"] };

  it("are the image's entrypoint and command", () => {
    assert.deepEqual(plan({}, both).args, ["/entry", "-a", "-b"]);
  });

  it("take the user's command instead of the image's", () => {
    assert.deepEqual(plan({ command: ["-c"] }, both).args, ["/entry", "-c"]);
  });

  it("lose the image's command with its entrypoint", () => {
    assert.deepEqual(plan({ entrypoint: ["/mine"] }, both).args, ["/mine"]);
    assert.deepEqual(plan({ entrypoint: ["/mine"], command: ["x"] }, both).args, ["/mine", "x"]);
  });

  it("are the command alone when the entrypoint is emptied", () => {
    assert.deepEqual(plan({ entrypointSet: true, command: ["ls"] }, both).args, ["ls"]);
    assert.deepEqual(plan({ entrypoint: [""], entrypointSet: true, command: ["ls"] }, both).args, ["ls"]);
  });

  it("must be there", () => {
    assert.throws(
      () => plan({}),
      (error) => hasReason(error, "no-command"),
    );
  });
});

describe("the environment", () => {
  it("loses what a name alone takes away, and gets it back from what stands later", () => {
    const run = { env: ["A=image", "B=image", "PATH=/image"] };
    assert.deepEqual(plan({ command: ["x"], env: ["A", "NEVER"] }, run).env, ["PATH=/image", "B=image"]);
    assert.deepEqual(plan({ command: ["x"], env: ["A", "A=mine"] }, run).env, [
      "PATH=/image",
      "B=image",
      "A=mine",
    ]);
    assert.deepEqual(plan({ command: ["x"], env: ["A=mine", "A"] }, run).env, ["PATH=/image", "B=image"]);
  });
});

describe("volumes", () => {
  it("become directories, as far as they are paths, and no more than anybody has", () => {
    const volumes = ["/data", "relative", "/with\0nul", "/var/lib/x"];
    assert.deepEqual(plan({ command: ["x"] }, { volumes }).directories, ["/data", "/var/lib/x"]);
    const many = Array.from({ length: 1000 }, (_, at) => `/v${at}`);
    assert.equal(plan({ command: ["x"] }, { volumes: many }).directories.length, 256);
  });
});

describe("the mode", () => {
  it("is system for an image that names no command and has an init", () => {
    assert.equal(plan({}, {}, true).mode, "system");
    assert.deepEqual(plan({}, {}, true).args, ["/sbin/init"]);
  });

  it("is app as soon as anybody names a command", () => {
    assert.equal(plan({ command: ["ls"] }, {}, true).mode, "app");
    assert.equal(plan({}, { cmd: ["bash"] }, true).mode, "app");
  });

  it("is what the user says", () => {
    assert.deepEqual(plan({ init: "system" }, { cmd: ["bash"] }, true).args, ["/sbin/init"]);
    assert.deepEqual(plan({ init: "system", command: ["/lib/systemd/systemd"] }).args, [
      "/lib/systemd/systemd",
    ]);
    assert.throws(
      () => plan({ init: "app" }, {}, true),
      (error) => hasReason(error, "no-command"),
    );
  });

  it("is system for an init by its name, be it entrypoint, command or the user's own word", () => {
    for (const init of [
      "/init",
      "/sbin/init",
      "/usr/sbin/init",
      "/usr/local/sbin/init",
      "//sbin/init",
      "/lib/systemd/systemd",
      "/usr/lib/systemd/systemd",
    ]) {
      const plans = [plan({}, { entrypoint: [init], cmd: ["nginx"] }), plan({}, { cmd: [init, "nginx"] })];
      plans.push(plan({ command: [init, "nginx"] }), plan({ init: "system" }, { cmd: [init, "nginx"] }));
      for (const { mode, args, stopSignal } of plans) {
        const way = init === "/init" ? 15 : 0; // s6-overlay's ends by a signal, as in a container
        assert.deepEqual([mode, args, stopSignal], ["system", [init, "nginx"], way]);
      }
      assert.equal(plan({ init: "app", command: [init] }).mode, "app");
    }
    for (const program of ["init", "/opt/init", "systemd", "/sbin/init2", "/etc/systemd/run"]) {
      assert.equal(plan({ command: [program] }).mode, "app", program);
    }
  });

  it("is system for an init in a shell's words, without the shell", () => {
    const shell = (script: string) => plan({}, { cmd: ["/bin/sh", "-c", script] });
    assert.deepEqual(shell("/usr/lib/systemd/systemd --log-level=info").args, [
      "/usr/lib/systemd/systemd",
      "--log-level=info",
    ]);
    assert.deepEqual(shell("exec /sbin/init").args, ["/sbin/init"]);
    for (const script of ["/sbin/init && true", "/sbin/init $X", "echo /sbin/init", ""]) {
      assert.deepEqual([shell(script).mode, shell(script).args[2]], ["app", script]);
    }
    assert.equal(plan({ init: "app" }, { cmd: ["/bin/sh", "-c", "/sbin/init"] }).args.length, 3);
  });

  it("keeps user and directory of an init that an image for containers names", () => {
    const run = { entrypoint: ["/init"], user: "1000", workdir: "/srv" };
    assert.deepEqual([plan({}, run).user, plan({}, run).workdir], ["1000", "/srv"]);
    assert.equal(plan({ init: "system" }, { ...run, entrypoint: ["/sbin/init"] }).user, "");
  });

  it("can't be system without an init", () => {
    assert.throws(
      () => plan({ init: "system" }),
      (error) => hasReason(error, "no-init"),
    );
  });

  it("system leaves the way to stop to the init, and runs it as root", () => {
    const { stopSignal, user } = plan({ init: "system", user: "app" }, {}, true);
    assert.deepEqual([stopSignal, user], [0, ""]);
    assert.equal(plan({ init: "system", stopSignal: "RTMIN+3" }, {}, true).stopSignal, 37);
  });
});

describe("the rest", () => {
  it("merges the environment, the user's last, each name once", () => {
    const { env } = plan({ command: ["x"], env: ["A=user", "C=3"] }, { env: ["A=image", "B=2"] });
    assert.deepEqual(env.slice(1), ["A=user", "B=2", "C=3"]);
    assert.match(env[0] ?? "", /^PATH=/);
  });

  it("gives a terminal's program a TERM unless the image has one", () => {
    assert.ok(plan({ command: ["x"], tty: true }).env.includes("TERM=xterm"));
    assert.ok(plan({ command: ["x"], tty: true }, { env: ["TERM=dumb"] }).env.includes("TERM=dumb"));
  });

  it("takes user, directory and stop signal from the image unless given", () => {
    const run = { cmd: ["x"], user: "app", workdir: "/srv", stopSignal: "SIGQUIT" };
    const pick = ({ user, workdir, stopSignal }: ReturnType<typeof plan>) => [user, workdir, stopSignal];
    assert.deepEqual(pick(plan({}, run)), ["app", "/srv", 3]);
    assert.deepEqual(pick(plan({ user: "1", workdir: "/w", stopSignal: "HUP" }, run)), ["1", "/w", 1]);
  });

  it("publishes what the image exposes with -P, but not what is published already", () => {
    const publish = [{ hostIp: "", hostPort: 8080, vmPort: 80, protocol: "tcp" as const }];
    const run = { cmd: ["x"], exposedPorts: ["80/tcp", "53/udp", "9", "x", "70000"] };
    const ports = plan({ publish, publishAll: true }, run).ports;
    assert.deepEqual(
      ports.map(({ hostPort, vmPort, protocol }) => [hostPort, vmPort, protocol]),
      [
        [8080, 80, "tcp"],
        [0, 53, "udp"],
        [0, 9, "tcp"],
      ],
    );
  });

  it("publishes every port of an exposed range, within the same bound", () => {
    const portsOf = (...exposed: string[]) =>
      plan({ command: ["x"], publishAll: true }, { exposedPorts: exposed }).ports.map(targetOf);
    const targetOf = ({ vmPort, protocol }: { vmPort: number; protocol: string }) => `${vmPort}/${protocol}`;
    assert.deepEqual(portsOf("20000-20002/tcp", "20002/tcp", "7-8/udp"), [
      ...["20000/tcp", "20001/tcp", "20002/tcp"],
      ...["7/udp", "8/udp"],
    ]);
    assert.deepEqual(portsOf("9-7", "0-3", "65535-65536", "5-6/sctp"), []);
    assert.equal(portsOf("1-1024").length, 1024);
    assert.throws(
      () => portsOf("1-65535"),
      (error) => hasReason(error, "too-many-ports"),
    );
  });

  it("reads exposed ports without ever throwing", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        return [...exposedPorts(text)].every(({ vmPort }) => vmPort >= 1 && vmPort <= 65_535);
      }),
    );
  });
});

it("refuses to publish more ports than a VM may have, and counts none twice", () => {
  const exposed = (count: number) => Array.from({ length: count }, (_, at) => `${at + 1}/tcp`);
  const all = plan({ command: ["x"], publishAll: true }, { exposedPorts: [...exposed(1024), "1", "1/TCP"] });
  assert.equal(all.ports.length, 1024);
  assert.throws(
    () => plan({ command: ["x"], publishAll: true }, { exposedPorts: exposed(65_535) }),
    (error) => hasReason(error, "too-many-ports"),
  );
});
