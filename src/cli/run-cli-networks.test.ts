import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { cliCase } from "../../test/fixtures/cli-case.js";
import { NetworkMemberSchema } from "../gen/kiln/v1/types_pb.js";

const cli = cliCase();
const { kiln } = cli;
const lan = () =>
  cli.kilnd.addNetwork("lan", {
    labels: { a: "b" },
    members: [
      create(NetworkMemberSchema, {
        vm: "web",
        vmId: "ab".repeat(32),
        ip: "10.89.0.2",
        mac: "02:00:00:00:00:01",
      }),
    ],
  });

describe("kiln network create", () => {
  it("prints the id, and sends what Docker's flags say", async () => {
    const { code, stdout } = await kiln(["network", "create", "web"]);
    assert.deepEqual([code, stdout.length], [0, 65]);
    await kiln([
      ...["network", "create", "-d", "bridge", "--subnet", "10.1.0.0/24", "--subnet=fd00:1::/64"],
      ...["--gateway", "10.1.0.9", "--ip-range", "10.1.0.64/26", "--ipv6", "--internal", "--disable-dns"],
      ...["-o", "mtu=1400", "--opt", "isolated", "--label", "a=b=c", "two"],
    ]);
    assert.deepEqual(cli.kilnd.calls, [
      'CreateNetwork web ["",[],[],[],false,false,false,{},{}]',
      'CreateNetwork two ["bridge",["10.1.0.0/24","fd00:1::/64"],["10.1.0.9"],["10.1.0.64/26"],true,true,true,' +
        '{"mtu":"1400","isolated":""},{"a":"b=c"}]',
    ]);
  });

  it("says why what Docker has beside that is not there", async () => {
    for (const [words, expected] of [
      [["--attachable", "x"], /kiln's networks are this host's/],
      [["--aux-address", "a=10.0.0.1", "x"], /--ip-range/],
      [["-o", "=x", "x"], /--opt takes NAME=VALUE/],
      [[], /NAME/],
    ] as const) {
      const { code, stderr } = await kiln(["network", "create", ...words]);
      assert.match(stderr, expected);
      assert.notEqual(code, 0);
    }
    assert.deepEqual(cli.kilnd.calls, []);
  });
});

describe("kiln network", () => {
  it("lists in a table, by ids, as JSON and by templates", async () => {
    const { id } = lan();
    assert.equal(
      (await kiln(["network", "ls"])).stdout,
      "NETWORK ID     NAME      DRIVER    SUBNETS        VMS\n" +
        `${id.slice(0, 12)}   lan       bridge    10.89.0.0/24   web\n`,
    );
    assert.equal((await kiln(["network", "list", "-q", "--no-trunc"])).stdout, `${id}\n`);
    const { stdout } = await kiln([
      "network",
      "ls",
      "-f",
      "name=l",
      "--format",
      "{{.Name}} {{.Labels}} {{.IPv6}}",
    ]);
    assert.equal(stdout, "lan a=b false\n");
    assert.equal(cli.kilnd.calls.at(-1), "ListNetworks name=l");
  });

  it("shows who is on one, in its own words and in Docker's", async () => {
    lan();
    const say = async (template: string) =>
      (await kiln(["network", "inspect", "-f", template, "lan"])).stdout;
    assert.equal(await say("{{range .members}}{{.vm}} {{.ip}}{{end}}"), "web 10.89.0.2\n");
    assert.equal(
      await say("{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}"),
      "10.89.0.0/24 10.89.0.1\n",
    );
    assert.equal(
      await say("{{range .Containers}}{{.Name}} {{.MacAddress}}{{end}}"),
      "web 02:00:00:00:00:01\n",
    );
    assert.match((await kiln(["inspect", "lan"])).stdout, /"subnet": "10.89.0.0\/24"/);
    const { code, stderr } = await kiln(["network", "inspect", "nothing"]);
    assert.match(stderr, /no such network: nothing/);
    assert.equal(code, 1);
  });

  it("connects and disconnects", async () => {
    lan();
    const more = ["--ip", "10.89.0.5", "--alias", "pg", "--mac-address", "02-00-00-00-00-02"];
    assert.equal((await kiln(["network", "connect", ...more, "lan", "db"])).code, 0);
    assert.deepEqual(cli.kilnd.calls, [
      'ConnectNetwork db ["lan","10.89.0.5","","02:00:00:00:00:02",["pg"]]',
    ]);
    assert.equal((await kiln(["network", "disconnect", "lan", "db"])).code, 0);
    assert.match((await kiln(["network", "disconnect", "lan", "db"])).stderr, /is not on network/);
    assert.equal((await kiln(["network", "disconnect", "-f", "lan", "db"])).code, 0);
    assert.match(
      (await kiln(["network", "connect", "--link", "a", "lan", "db"])).stderr,
      /find each other by name/,
    );
  });

  it("removes and prunes", async () => {
    lan();
    cli.kilnd.addNetwork("idle");
    const { stdout, stderr, code } = await kiln(["network", "rm", "idle", "lan"]);
    assert.deepEqual([stdout, code], ["idle\n", 1]);
    assert.match(stderr, /used by VM web/);
    assert.equal((await kiln(["network", "rm", "-f", "idle"])).code, 0);
    assert.equal((await kiln(["network", "prune", "-f", "--filter", "until=1h"])).stdout, "Deleted: old\n");
    assert.match((await kiln(["system", "prune", "-f"])).stdout, /Deleted network: idle/);
  });
});

describe("kiln create --network", () => {
  const asked = async (...words: string[]) => {
    const { stderr, code } = await kiln(["create", ...words, "alpine"]);
    const config = cli.kilnd.creates.at(-1)?.config;
    const networks = config?.networks.map(({ network, ip, ip6, mac, aliases }) =>
      [network, ip, ip6, mac, ...aliases].filter((word) => word !== "").join(" "),
    );
    return code === 0 ? [config?.network, ...(networks ?? [])] : stderr;
  };

  it("takes modes, names, and addresses in both ways", async () => {
    assert.deepEqual(await asked(), [""]);
    assert.deepEqual(await asked("--network", "user"), ["user"]);
    assert.deepEqual(await asked("--net", "none"), ["none"]);
    assert.deepEqual(await asked("--network", "lan"), ["none", "lan"]);
    assert.deepEqual(
      await asked("--network=lan:ip=10.89.0.5,alias=db", "--network", "user", "--network", "two"),
      [...["user", "lan 10.89.0.5 db", "two"]],
    );
    const words = ["--ip", "10.89.0.6", "--ip6", "fd00::6", "--mac-address", "02:00:00:00:00:06"];
    assert.deepEqual(
      await asked("--network", "lan", ...words, "--network-alias", "a", "--network-alias", "b"),
      [...["none", "lan 10.89.0.6 fd00::6 02:00:00:00:00:06 a b"]],
    );
  });

  it("sends what is asked of names, ports and the world outside", async () => {
    const words = [
      "--dns-search",
      "a.example",
      "--dns-option",
      "ndots:2",
      "--dns-opt",
      "use-vc",
      "--egress",
      "none",
    ];
    await asked(...words, "--publish-mode", "nft");
    const { dnsSearch, dnsOptions, egress, publishMode } = cli.kilnd.creates.at(-1)?.config ?? {};
    assert.deepEqual([dnsSearch, dnsOptions], [["a.example"], ["ndots:2", "use-vc"]]);
    assert.deepEqual([egress, publishMode], ["none", "nft"]);
  });

  it("refuses what contradicts itself, and what a VM can't have, each in one line", async () => {
    for (const [words, expected] of [
      [["--network", "none", "--network", "lan"], /none excludes all others/],
      [["--network", "host"], /never shares the host's/],
      [["--network", "container:db"], /kernel of its own/],
      [["--ip", "10.0.0.1"], /go with a network that --network names/],
      [["--ip", "10.0.0.1", "--network", "a", "--network", "b"], /go with one network/],
      [["--network", "lan:ip=x"], /no IPv4 address/],
      [["--publish-mode", "magic"], /dial or nft|dial, nft/],
      [["--egress", ""], /it says nothing/],
    ] as const) {
      const said = await asked(...words);
      assert.ok(typeof said === "string", words.join(" "));
      assert.match(said, expected);
    }
  });
});
