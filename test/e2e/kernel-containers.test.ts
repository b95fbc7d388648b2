// What containers and other tenants of a guest need of kiln's own kernel, each by a program that uses it: podman and Docker
// among them. That systemd comes to running on it is shown with its shares (share-system.test.ts).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CHECKOUT } from "../fixtures/assets.js";
import { eventually } from "./harness.js";
import { KernelGuest } from "./kernel-guest.js";

let guest: KernelGuest;
before(async () => {
  guest = await KernelGuest.start();
});
after(() => guest?.dispose());

describe("the kernel", () => {
  it("is kiln's own and is configured by every line of this checkout's fragments", async () => {
    assert.match(await guest.sh("uname -r"), /^\d+\.\d+\.\d+-kiln/);
    const built = new Set((await guest.sh("zcat /proc/config.gz")).split("\n"));
    for (const name of ["common", "x86_64"]) {
      const fragment = await readFile(join(CHECKOUT, `kernel/${name}.config`), "utf8");
      const asked = fragment.split("\n").filter((line) => line.startsWith("CONFIG_"));
      const isBuilt = (line: string) =>
        line.endsWith("=n") ? !built.has(line.replace(/n$/, "y")) : built.has(line);
      assert.deepEqual(
        asked.filter((line) => !isBuilt(line)),
        [],
        `${name}.config`,
      );
    }
  });

  it("loads an eBPF program, makes machine code of it and runs it on packets", async () => {
    const seen = await guest.perl("bpf-filter.pl");
    assert.equal(seen, "machine code yes\nplain socket received\nfiltered socket nothing");
    assert.equal(await guest.sh("cat /proc/sys/net/core/bpf_jit_enable"), "1");
  });

  it("tells by PSI how long tasks waited for CPU, memory and I/O", async () => {
    for (const resource of ["cpu", "memory", "io"]) {
      assert.match(await guest.sh(`cat /proc/pressure/${resource}`), /^some avg10=\S+ .*total=\d+\nfull /);
      assert.match(await guest.sh(`cat /sys/fs/cgroup/main/${resource}.pressure`), /^some avg10=/);
    }
  });
});

describe("mounts", () => {
  it("made later are seen in mount namespaces made before, as the kubelet asks", async () => {
    const seen = await guest.sh(`
      own=$(readlink /proc/self/ns/mnt)
      unshare -m --propagation slave sleep 60 & child=$!
      while [ "$(readlink /proc/$child/ns/mnt)" = "$own" ]; do :; done
      mkdir /late && mount -t tmpfs late /late
      grep -o '^late /late' /proc/$child/mounts || true
      kill $child; umount /late; rmdir /late
    `);
    assert.equal(seen, "late /late");
  });
});

describe("cgroup v2", () => {
  it("has every controller, in the guest's root and below", async () => {
    const every = ["cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma"];
    for (const group of ["", "main/"]) {
      const have = await guest.sh(`cat /sys/fs/cgroup/${group}cgroup.controllers`);
      assert.deepEqual(have.split(" ").sort(), every);
    }
  });

  it("kills a process that exceeds its group's memory, and counts the kill", async () => {
    const seen = await guest.sh(`
      cd /sys/fs/cgroup && mkdir small && echo 16M > small/memory.max
      code=0
      sh -c 'echo 0 > small/cgroup.procs; exec perl -e "\\$held = q(x) x (64 << 20)"' || code=$?
      echo "exit $code"
      grep -w oom_kill small/memory.events
      rmdir small
    `);
    assert.equal(seen, "exit 137\noom_kill 1");
  });

  it("refuses a fork beyond its group's number of processes", async () => {
    const seen = await guest.sh(`
      cd /sys/fs/cgroup && mkdir few && echo 1 > few/pids.max
      sh -c 'echo 0 > few/cgroup.procs; (true); :' 2>&1 || true
      cat few/pids.events
      rmdir few
    `);
    assert.match(seen, /Cannot fork\nmax 1$/);
  });
});

describe("user namespaces", () => {
  it("make an ordinary user root of its own", async () => {
    assert.equal(await guest.sh("id -u; unshare -Ur id -u", { user: "nobody" }), "65534\n0");
  });

  it("let it mount an overlay in there", async () => {
    const seen = await guest.sh(
      `
      work=$(mktemp -d); cd "$work"; mkdir lower upper work merged; echo below > lower/file
      unshare -Urm sh -euc '
        mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work,userxattr overlay merged
        echo above > merged/file'
      cat lower/file upper/file
    `,
      { user: "nobody" },
    );
    assert.equal(seen, "below\nabove");
  });
});

describe("podman", () => {
  /** What a container that runs in the VM sees of itself, by the words that head each part. */
  const seen = new Map<string, string>();

  before(async () => {
    const inside = [
      ["kernel", "uname -r"],
      ["root", "grep ' / ' /proc/mounts"],
      ["gateway", "ping -q -c1 -W20 10.88.0.1"],
      ["memory", "cat /sys/fs/cgroup/memory.max"],
      ["seccomp", "mkdir /refused 2>&1; rm /bin/ls && echo allowed"],
    ];
    const program = inside.map(([name, command]) => `echo "== ${name}"; ${command}`).join("; ");
    // The image: busybox and nothing else. The profile lets everything pass but the making of directories.
    const output = await guest.sh(`
      root=$(mktemp -d); mkdir "$root/bin"; cp /usr/bin/busybox "$root/bin/"
      for name in cat grep httpd ls mkdir ping rm sh uname; do ln -s busybox "$root/bin/$name"; done
      tar -C "$root" -c . | podman import -q - tiny > /dev/null
      cat > /profile.json <<'EOF'
      { "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }] }
EOF
      podman run --rm --name inner --memory 32m --cap-add net_raw --security-opt seccomp=/profile.json \\
        tiny sh -c ${quote(program)} 2>&1
    `);
    for (const part of output.split(/^== /m).slice(1)) {
      const end = part.indexOf("\n");
      seen.set(part.slice(0, end), part.slice(end + 1).trim());
    }
  });

  it("runs a container on the VM's kernel", async () => {
    assert.equal(seen.get("kernel"), await guest.sh("uname -r"));
  });

  it("keeps its layers as an overlay on the VM's root disk", async () => {
    assert.match(seen.get("root") ?? "", /^overlay \/ overlay rw,.*upperdir=\/var\/lib\/containers/);
    assert.equal(
      await guest.sh("podman info --format '{{.Store.GraphDriverName}} {{.Store.GraphStatus}}'"),
      "overlay map[Backing Filesystem:extfs Native Overlay Diff:true Supports d_type:true Using metacopy:false]",
    );
  });

  it("connects it to a bridge whose gateway answers", () => {
    assert.match(seen.get("gateway") ?? "", /1 packets received, 0% packet loss/);
  });

  it("limits its memory by a cgroup of its own", () => {
    assert.equal(seen.get("memory"), String(32 << 20));
  });

  it("publishes its port in the VM, and kiln that one on the host", async () => {
    await guest.sh(`
      podman run -d --name web -p 8080:80 tiny sh -c 'echo from inside > /index.html; exec httpd -f' > /dev/null
    `);
    const url = await guest.url();
    const body = await eventually("the container answers", () =>
      fetch(url)
        .then((response) => response.text())
        .catch(() => undefined),
    );
    assert.equal(body, "from inside\n");
    await guest.sh("podman rm -f -t 0 web");
  });

  it("denies it a system call by a seccomp filter, and no other", () => {
    assert.match(seen.get("seccomp") ?? "", /Operation not permitted\nallowed$/);
  });
});

describe("Docker", () => {
  before(() =>
    guest.sh(`
      dockerd > /var/log/dockerd.log 2>&1 &
      until docker info > /dev/null 2>&1; do
        kill -0 $! || { cat /var/log/dockerd.log >&2; exit 1; }
        sleep 0.2
      done
    `),
  );

  it("keeps its layers as overlay2, limits by cgroup v2, and warns of nothing", async () => {
    const info = await guest.sh(
      "docker info --format '{{.Driver}} {{.CgroupVersion}} {{json .SecurityOptions}} {{json .Warnings}}'",
    );
    assert.equal(info, 'overlay2 2 ["name=seccomp,profile=default","name=cgroupns"] null');
  });

  it("runs a container with a limit of its own, behind its bridge", async () => {
    const seen = await guest.sh(`
      root=$(mktemp -d); mkdir "$root/bin"; cp /usr/bin/busybox "$root/bin/"
      for name in cat grep ping sh; do ln -s busybox "$root/bin/$name"; done
      tar -C "$root" -c . | docker import - tiny > /dev/null
      docker run --rm --memory 32m tiny sh -c '
        grep -o "^overlay / overlay" /proc/mounts
        cat /sys/fs/cgroup/memory.max
        ping -q -c1 -W20 172.17.0.1 | grep -o "1 packets received"'
    `);
    assert.equal(seen, `overlay / overlay\n${32 << 20}\n1 packets received`);
  });
});

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
