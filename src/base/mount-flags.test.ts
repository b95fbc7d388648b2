import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { csvFields } from "./csv-fields.js";
import { KilnError } from "./errors.js";
import { parseSysctl, parseUlimit } from "./limits.js";
import { parseMountFlag } from "./mount-flag.js";
import { type MountSpec, NO_MOUNT } from "./mounts.js";
import { parseTmpfsFlag } from "./tmpfs-flag.js";
import { parseVolumeFlag } from "./volume-flag.js";

const HERE = { cwd: "/work/app", home: "/home/me" };
type Table = readonly (readonly [string, Partial<MountSpec>])[];

function assertParses(parse: (text: string) => MountSpec, table: Table): void {
  for (const [text, wanted] of table) assert.deepEqual(parse(text), { ...NO_MOUNT, ...wanted }, text);
}

/** The reason, and that the message says what was meant. */
function assertRefuses(
  parse: (text: string) => unknown,
  table: readonly (readonly [string, RegExp])[],
): void {
  for (const [text, why] of table) {
    assert.throws(
      () => parse(text),
      (error) =>
        error instanceof KilnError &&
        error.code === 3 &&
        why.test(`${error.reason} ${error.message}\n${error.hint}`),
      text,
    );
  }
}

describe("-v", () => {
  const parse = (text: string) => parseVolumeFlag(text, HERE);

  it("takes what Docker and Podman take", () => {
    assertParses(parse, [
      ["/data", { target: "/data" }],
      ["/data/../a//b/", { target: "/a/b" }],
      ["db:/var/lib/db", { source: "db", target: "/var/lib/db" }],
      ["db:/data:ro", { source: "db", target: "/data", readOnly: true }],
      ["db:/data:rw,nocopy", { source: "db", target: "/data", noCopy: true }],
      ["db:/data:ro,z,cached,copy", { source: "db", target: "/data", readOnly: true }],
      ["db:/data:", { source: "db", target: "/data" }],
      ["/srv:/srv", { type: "bind", source: "/srv", target: "/srv" }],
      ["/srv/:/srv:Z,rprivate", { type: "bind", source: "/srv/", target: "/srv" }],
      [".:/src", { type: "bind", source: "/work/app", target: "/src" }],
      ["./a b:/src:ro", { type: "bind", source: "/work/app/a b", target: "/src", readOnly: true }],
      ["../x:/src", { type: "bind", source: "/work/x", target: "/src" }],
      ["~/x:/src", { type: "bind", source: "/home/me/x", target: "/src" }],
      ["~:/src", { type: "bind", source: "/home/me", target: "/src" }],
      ["/srv:/srv:soft,notify", { type: "bind", source: "/srv", target: "/srv", soft: true, notify: true }],
      [
        "/srv:/srv:idmap=0:100000:65536",
        { type: "bind", source: "/srv", target: "/srv", idmap: "0:100000:65536" },
      ],
      ["/dev/sdb1:/data", { type: "device", source: "/dev/sdb1", target: "/data" }],
      [
        "/dev/disk/by-id/x:/dev/xvda:ro",
        { type: "device", source: "/dev/disk/by-id/x", target: "/dev/xvda", readOnly: true },
      ],
      ["/dev/shm/x:/data", { type: "bind", source: "/dev/shm/x", target: "/data" }],
    ]);
  });

  it("says why it takes nothing else", () => {
    assertRefuses(parse, [
      ["", /bad-mount.*empty/],
      [":/data", /bad-mount.*part of it is empty/],
      ["db:", /bad-mount.*part of it is empty/],
      ["db", /says no path in the VM.*write db:\/path/s],
      ["db:data", /no absolute path/],
      ["db:/", /on \//],
      ["/", /on \//],
      ["/..", /on \//],
      ["/data:ro", /source is missing/],
      ["/data:nocopy", /source is missing/],
      ["/a:b:/c:ro", /too many colons/],
      ["a/b:/c", /neither a volume's name nor a whole path/],
      ["-x:/c", /no name for a volume/],
      ["~him/x:/c", /can't be told/],
      ["db:/c:ro,rw", /contradicts/],
      ["db:/c:z,Z", /contradicts/],
      ["db:/c:ro,ro", /repeats/],
      ["db:/c:rw,", /no option/],
      ["db:/c:fast", /no option.*there are ro, rw,/s],
      ["db:/c:notfy", /no option.*did you mean notify\?/s],
      ["db:/c:__proto__", /no option/],
      ["/a:/c:rshared", /mount-not-supported.*do not travel/],
      ["db:/c:U", /mount-not-supported.*owners/],
      ["/a:/c:O", /mount-not-supported.*overlay/],
      ["/a:/c:noexec", /mount-not-supported/],
      ["/a:/c:nocopy", /goes with a volume/],
      ["/a:/c:idmap=1:2", /no map of ids/],
      ["/a:/c:idmap=0:4294967290:10", /no map of ids/],
      ["/a:/c:idmap=0:1:4294967294", /no map of ids/],
      ["/a:/c:idmap=0:0:65536", /the host's root/],
    ]);
  });
});

describe("--mount", () => {
  const parse = (text: string) => parseMountFlag(text, HERE);

  it("takes what Docker and Podman take", () => {
    assertParses(parse, [
      ["target=/data", { target: "/data" }],
      ["type=volume,source=db,target=/data", { source: "db", target: "/data" }],
      ["type=VOLUME,src=db,dst=/data,ro", { source: "db", target: "/data", readOnly: true }],
      ["source=db,destination=/data,readonly=true", { source: "db", target: "/data", readOnly: true }],
      ["source=db,target=/data,readonly=0", { source: "db", target: "/data" }],
      ["source=db,target=/data,rw=false", { source: "db", target: "/data", readOnly: true }],
      ["source=db,target=/data,volume-nocopy", { source: "db", target: "/data", noCopy: true }],
      ["source=db,target=/d,volume-nocopy=false", { source: "db", target: "/d" }],
      ["source=db,target=/d,volume-subpath=a/b", { source: "db", target: "/d", subpath: "a/b" }],
      [
        "source=db,target=/d,volume-label=a=b=c,volume-label=x,volume-driver=local",
        { source: "db", target: "/d", labels: { a: "b=c", x: "" } },
      ],
      ["source=db,target=/d,volume-opt=size=10g", { source: "db", target: "/d", sizeBytes: 10 * 1024 ** 3 }],
      [
        "type=bind,source=/a:b,target=/c,bind-propagation=rprivate",
        { type: "bind", source: "/a:b", target: "/c" },
      ],
      ["type=bind,src=.,target=/c,consistency=cached", { type: "bind", source: "/work/app", target: "/c" }],
      ['type=bind,"source=/a,b",target=/c', { type: "bind", source: "/a,b", target: "/c" }],
      ['type=bind,"source=/say ""hi""",target=/c', { type: "bind", source: '/say "hi"', target: "/c" }],
      [
        "type=bind,source=/a=b,target=/c,soft,notify",
        { type: "bind", source: "/a=b", target: "/c", soft: true, notify: true },
      ],
      [
        "type=bind,source=/a,target=/c,hard,bind-nonrecursive=false,z",
        { type: "bind", source: "/a", target: "/c" },
      ],
      [
        "type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=755,noexec",
        { type: "tmpfs", target: "/t", sizeBytes: 64 * 1024 ** 2, mode: 0o755, noExec: true },
      ],
      [
        "type=image,source=alpine:3,target=/t,subpath=etc",
        { type: "image", source: "alpine:3", target: "/t", subpath: "etc" },
      ],
      [
        "type=device,source=/dev/sdb,target=/dev/xvda",
        { type: "device", source: "/dev/sdb", target: "/dev/xvda" },
      ],
    ]);
  });

  it("says why it takes nothing else", () => {
    assertRefuses(parse, [
      ["", /bad-mount/],
      ["data:/x", /the form of -v.*write -v data:\/x/s],
      ["target=/a,readolny", /no option.*did you mean readonly/s],
      ["type=volume", /target is missing/],
      ["target=/a,source", /no value/],
      ["target=", /no value/],
      ["target=/a,target=/b", /target twice/],
      ["target=/a,dst=/b", /dst twice/],
      ["target=/a,ro,rw", /rw twice/],
      ["target=/a,readonly=maybe", /true or false/],
      ["target=/a,reedonly=true", /no word/],
      ["target=/a,__proto__=1", /no word/],
      ["target=/a,constructor", /no option/],
      ['target="/a"', /quotes/],
      ['"target=/a', /quotes/],
      ["type=ramfs,target=/a", /no type ramfs/],
      ["type=bind,target=/a", /needs a source/],
      ["type=volume,source=./a,target=/a", /is a path.*type=bind/s],
      ["type=image,source=alpine,target=/a,rw", /can only be read/],
      ["type=image,source=alpine,target=/a,readonly=false", /can only be read/],
      ["type=bind,source=a,target=/a", /is no path/],
      ["type=tmpfs,source=x,target=/a", /source goes not with type=tmpfs/],
      ["type=tmpfs,target=/a,volume-nocopy", /goes not with type=tmpfs/],
      ["type=bind,source=/a,target=/a,tmpfs-size=1m", /goes not with type=bind/],
      ["type=bind,source=/a,target=/a,subpath=x", /goes not with type=bind/],
      ["source=db,target=/a,notify", /goes not with type=volume/],
      ["type=tmpfs,target=/a,tmpfs-mode=999", /no mode/],
      ["type=tmpfs,target=/a,tmpfs-size=many", /bad-size/],
      ["target=/a,volume-opt=size=0", /bad-size.*more than 0/],
      ["type=tmpfs,target=/a,tmpcopyup", /mount-not-supported/],
      ["type=bind,source=/a,target=/b,bind-propagation=rshared", /mount-not-supported.*travel/],
      ["type=bind,source=/a,target=/b,bind-nonrecursive", /mount-not-supported/],
      ["source=db,target=/b,volume-driver=nfs", /mount-not-supported/],
      ["source=db,target=/b,volume-opt=o=uid=1", /mount-not-supported/],
    ]);
  });

  it("reads back any fields that are quoted as Go quotes them", () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 6 }), (fields) => {
        const text = fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(",");
        assert.deepEqual(csvFields(text), fields);
      }),
    );
  });
});

describe("--tmpfs", () => {
  it("takes the words of mount(8) that can be honoured", () => {
    const tmpfs = { type: "tmpfs" } as const;
    assertParses(parseTmpfsFlag, [
      ["/run", { ...tmpfs, target: "/run" }],
      ["/run:", { ...tmpfs, target: "/run" }],
      [
        "/run:rw,noexec,nosuid,size=65536k",
        { ...tmpfs, target: "/run", noExec: true, sizeBytes: 64 * 1024 ** 2 },
      ],
      [
        "/run:ro,mode=0750,uid=1000,gid=10",
        { ...tmpfs, target: "/run", readOnly: true, mode: 0o750, uid: 1000, gid: 10 },
      ],
      ["/run:exec,size=50%", { ...tmpfs, target: "/run" }],
    ]);
    assertRefuses(parseTmpfsFlag, [
      ["run", /no absolute path/],
      ["/", /on \//],
      ["/run:nr_inodes=5", /mount-not-supported/],
      ["/run:size=20%", /share of the memory/],
      ["/run:uid=me", /no user's/],
      ["/run:suid", /mount-not-supported/],
      ["/run:mode=rwx", /no mode/],
      ["/run:what", /no option/],
    ]);
  });
});

describe("--ulimit and --sysctl", () => {
  it("take Docker's forms", () => {
    assert.deepEqual(parseUlimit("nofile=1024"), { name: "nofile", soft: 1024, hard: 1024 });
    assert.deepEqual(parseUlimit("nofile=1024:4096"), { name: "nofile", soft: 1024, hard: 4096 });
    assert.deepEqual(parseUlimit("core=0:-1"), { name: "core", soft: 0, hard: -1 });
    assert.deepEqual(parseUlimit("memlock=unlimited"), { name: "memlock", soft: -1, hard: -1 });
    assert.deepEqual(parseSysctl("net.core.somaxconn=1024"), ["net.core.somaxconn", "1024"]);
    assert.deepEqual(parseSysctl("net.ipv4.ping_group_range = 0 5"), ["net.ipv4.ping_group_range", "0 5"]);
  });

  it("refuse the rest with a reason", () => {
    assertRefuses(parseUlimit, [
      ["nofile", /bad-ulimit/],
      ["nofile=", /bad-ulimit/],
      ["nofile=5:4", /above the hard one/],
      ["nofile=-1:4", /above the hard one/],
      ["nofile=-2", /bad-ulimit/],
      ["nofiles=5", /no limit/],
      ["host", /bad-ulimit/],
    ]);
    assertRefuses(parseSysctl, [
      ["net.core.somaxconn", /bad-sysctl/],
      ["=5", /bad-sysctl/],
      ["../x=5", /bad-sysctl/],
      ["net/../../x=5", /bad-sysctl/],
      ["a.b=1\n2", /bad-sysctl/],
    ]);
  });
});
