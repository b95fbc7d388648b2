import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NO_MOUNT } from "../../base/mounts.js";
import type { ImageInfo, VmInfo } from "../../sdk/index.js";
import { dockerImage, dockerVm } from "./docker-view.js";
import { compileTemplate } from "./template.js";
import { ALSO } from "./template-values.js";

const PORT = { hostIp: "", hostPort: 8080, vmPort: 80, protocol: "tcp" } as const;
const ON_WEB = {
  ...{ network: "lan", networkId: "cd".repeat(32), ip: "10.89.0.2", ip6: "", mac: "02:00:00:00:00:01" },
  aliases: ["db"],
};
const VM: VmInfo = {
  id: "ab".repeat(32),
  name: "web",
  createdAt: new Date("2026-01-02T03:04:05Z"),
  config: {
    image: "docker.io/library/nginx:1.27",
    imageId: "sha256:1",
    entrypoint: ["/entry"],
    command: ["nginx", "-g", "daemon off;"],
    env: ["PATH=/bin", "A=1"],
    workdir: "/srv",
    user: "",
    hostname: "",
    labels: { app: "web" },
    publish: [PORT],
    publishAll: false,
    cpus: 2,
    memoryBytes: 536_870_912,
    diskBytes: 0,
    kernel: "",
    kernelArgs: [],
    init: "auto",
    restart: { name: "on-failure", maximumRetryCount: 3 },
    network: "user",
    networks: [{ ...ON_WEB }],
    egress: "all",
    dns: [],
    dnsSearch: ["a.example"],
    dnsOptions: [],
    publishMode: "dial",
    addHosts: [],
    platform: "linux/amd64",
    vmm: "",
    stopSignal: "",
    stopTimeoutMs: 10_000,
    tty: false,
    openStdin: false,
    autoRemove: false,
    lifetimeMs: 0,
    mounts: [
      { ...NO_MOUNT, source: "db", target: "/data", readOnly: true },
      { ...NO_MOUNT, target: "/own" },
      { ...NO_MOUNT, type: "tmpfs", target: "/t", sizeBytes: 1024, mode: 0o750, noExec: true },
      { ...NO_MOUNT, type: "image", source: "alpine", target: "/i" },
    ],
    readOnlyRoot: true,
    shmBytes: 4096,
    ulimits: [{ name: "nofile", soft: 1, hard: 2 }],
    sysctls: { "a.b": "1" },
  },
  status: {
    state: "running",
    exitCode: 0,
    reason: "",
    message: "",
    startedAt: new Date("2026-01-02T03:04:06Z"),
    finishedAt: undefined,
    expiresAt: undefined,
    pid: 42,
    vmm: "qemu",
    accelerator: "tcg",
    kernelRelease: "6.1",
    restartCount: 0,
    mode: "app",
    ports: [{ ...PORT, hostIp: "127.0.0.1" }],
    ipAddress: "10.0.2.15",
    oomKilled: false,
    egressDenied: 0,
    networks: [{ ...ON_WEB, gateway: "10.89.0.1", prefix: 24, gateway6: "", prefix6: 0 }],
    mounts: [
      {
        mount: { ...NO_MOUNT, source: "db", target: "/data", readOnly: true },
        state: "attached",
        message: "",
      },
      { mount: { ...NO_MOUNT, source: "ab12", target: "/own" }, state: "attached", message: "" },
    ],
    timings: {
      preparedMs: 0,
      spawnedMs: 0,
      helloMs: 0,
      startedMs: 0,
      guest: { initMs: 0, modulesMs: 0, helloMs: 0, rootMs: 0, startedMs: 0 },
    },
  },
};

const say = (template: string, vm: VmInfo = VM) => compileTemplate(template)({ ...vm, [ALSO]: dockerVm(vm) });
const inState = (state: VmInfo["status"]["state"], more: Partial<VmInfo["status"]> = {}): VmInfo => ({
  ...VM,
  status: { ...VM.status, state, ...more },
});

it("has docker's words for each mount, whose live state is kiln's own", () => {
  const bind = { ...NO_MOUNT, type: "bind" as const, source: "/srv", target: "/www" };
  const [volume] = VM.status.mounts;
  const mounts = [
    ...(volume === undefined ? [] : [volume]),
    { mount: bind, state: "away" as const, message: "why" },
  ];
  const vm = inState("running", { mounts });
  assert.deepEqual(JSON.parse(say("{{json .Mounts}}", vm)), [
    {
      ...{ Type: "volume", Name: "db", Source: "", Destination: "/data", Driver: "local" },
      ...{ Mode: "ro", RW: false, Propagation: "" },
    },
    {
      ...{ Type: "bind", Source: "/srv", Destination: "/www" },
      ...{ Mode: "", RW: true, Propagation: "rprivate" },
    },
  ]);
  assert.equal(say("{{range .status.mounts}}{{.state}} {{.message}};{{end}}", vm), "attached ;away why;");
});

describe("docker's paths of a VM", () => {
  for (const [template, expected] of [
    [
      "{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.Pid}} {{.State.ExitCode}}",
      "running true false 42 0",
    ],
    ["{{.State.StartedAt}} {{.State.FinishedAt}}", "2026-01-02T03:04:06.000Z 0001-01-01T00:00:00Z"],
    ["{{.NetworkSettings.IPAddress}}", "10.0.2.15"],
    ["{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", "10.89.0.2 10.0.2.15 "],
    ["{{.NetworkSettings.Networks.user.IPAddress}} {{.HostConfig.DnsSearch}}", "10.0.2.15 [a.example]"],
    [
      "{{with .NetworkSettings.Networks.lan}}{{.IPAddress}}/{{.IPPrefixLen}} {{.Gateway}} {{.MacAddress}} {{.Aliases}}{{end}}",
      "10.89.0.2/24 10.89.0.1 02:00:00:00:00:01 [db]",
    ],
    ['{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"],
    [
      "{{range $p, $b := .NetworkSettings.Ports}}{{$p}} -> {{(index $b 0).HostPort}}{{end}}",
      "80/tcp -> 8080",
    ],
    ["{{json .NetworkSettings.Ports}}", '{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}]}'],
    ["{{range .Config.Env}}{{println .}}{{end}}", "PATH=/bin\nA=1\n"],
    ["{{json .Config.Cmd}} {{json .Config.Entrypoint}}", '["nginx","-g","daemon off;"] ["/entry"]'],
    ["{{.Config.WorkingDir}} {{.Config.Image}} {{.Config.Hostname}}", "/srv nginx:1.27 abababababab"],
    ['{{index .Config.Labels "app"}} {{.Config.Labels.app}}', "web web"],
    [
      "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}},{{end}}",
      "volume db /data false,volume ab12 /own true,",
    ],
    ["{{.HostConfig.Binds}} {{.HostConfig.Tmpfs}}", "[db:/data:ro] map[/t:noexec,size=1024,mode=750]"],
    ["{{json .HostConfig.Mounts}}", '[{"Type":"image","Source":"alpine","Target":"/i","ReadOnly":true}]'],
    [
      "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.ShmSize}} {{.HostConfig.Sysctls}}",
      "true 4096 map[a.b:1]",
    ],
    ["{{json .HostConfig.Ulimits}} ", '[{"Name":"nofile","Soft":1,"Hard":2}] '],
    ["{{range .status.mounts}}{{.mount.source}}={{.state}} {{end}}", "db=attached ab12=attached "],
    ["{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}", "on-failure 3"],
    ["{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", "536870912 2000000000"],
    ["{{json .HostConfig.PortBindings}}", '{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}]}'],
    ["{{.Name}} {{.Id}} {{.Image}}", `web ${"ab".repeat(32)} sha256:1`],
    ['{{.Created}} {{.Path}} {{join .Args " "}}', "2026-01-02T03:04:05.000Z /entry nginx -g daemon off;"],
    ["{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}", "running"],
    ["{{.status.state}} {{.config.memoryBytes}} {{.Status.State}}", "running 536870912 running"],
  ] as const)
    it(`answers ${template}`, () => assert.equal(say(template), expected));

  it("says states in docker's words", () => {
    const word = (vm: VmInfo) => say("{{.State.Status}} {{.State.Running}} {{.State.Error}}", vm).trim();
    assert.equal(word(inState("paused")), "paused true");
    assert.equal(word(inState("created")), "created false");
    assert.equal(word(inState("exited")), "exited false");
    assert.equal(word(inState("stopping")), "running true");
    assert.equal(word(inState("failed", { message: "no hello" })), "exited false no hello");
  });
});

describe("docker's paths of an image", () => {
  const image: ImageInfo = {
    id: "sha256:1",
    names: ["docker.io/library/nginx:1.27"],
    digests: ["docker.io/library/nginx@sha256:2"],
    sizeBytes: 10,
    createdAt: undefined,
    platform: "linux/arm/v7",
    config: {
      env: [],
      entrypoint: [],
      cmd: ["nginx"],
      workdir: "",
      user: "",
      labels: { a: "b" },
      exposedPorts: ["80/tcp"],
      stopSignal: "",
      volumes: [],
    },
    layers: ["sha256:3"],
  };
  const view = { ...image, [ALSO]: dockerImage(image) };
  for (const [template, expected] of [
    ["{{.Id}} {{index .RepoTags 0}} {{.RepoDigests}}", "sha256:1 nginx:1.27 [nginx@sha256:2]"],
    ["{{.Os}}/{{.Architecture}}/{{.Variant}} {{.Size}} {{.Created}}", "linux/arm/v7 10 0001-01-01T00:00:00Z"],
    ["{{.Config.Cmd}} {{json .Config.ExposedPorts}} {{.Config.Labels.a}}", '[nginx] {"80/tcp":{}} b'],
    ["{{len .RootFS.Layers}} {{json .config.cmd}}", '1 ["nginx"]'],
  ] as const)
    it(`answers ${template}`, () => assert.equal(compileTemplate(template)(view), expected));
});
