// File systems that guests mount on kiln's own kernel: 9p over a socketpair, FUSE, squashfs, EROFS; and those that
// need what no guest has here (a server, a device) by name.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { KernelGuest } from "./kernel-guest.js";

let guest: KernelGuest;
before(async () => {
  guest = await KernelGuest.start();
  await guest.sh("mkdir -p /tree /mnt/a; echo hello > /tree/file; seq 20000 > /tree/numbers");
});
after(() => guest?.dispose());

describe("mounts", () => {
  it("9p over a socketpair, written through on both sides", async () => {
    await guest.perl("mount-9p.pl", "/tree", "/mnt/a");
    const seen = await guest.sh(`
      grep ' /mnt/a ' /proc/mounts | grep -o trans=fd
      cat /mnt/a/file
      echo changed > /mnt/a/other; cat /tree/other
      cmp /mnt/a/numbers /tree/numbers
      rm /mnt/a/other; umount /mnt/a
    `);
    assert.equal(seen, "trans=fd\nhello\nchanged");
  });

  it("FUSE, served by a program of an ordinary user", async () => {
    const seen = await guest.sh(
      `
      cd "$(mktemp -d)"; mksquashfs /tree image -quiet -no-progress > /dev/null; mkdir mnt
      unshare -Urm sh -euc '
        squashfuse image mnt
        grep -o "fuse.squashfuse" /proc/mounts
        cat mnt/file; cmp mnt/numbers /tree/numbers
        umount mnt'
    `,
      { user: "nobody" },
    );
    assert.equal(seen, "fuse.squashfuse\nhello");
  });

  it("squashfs in every compression that Debian makes it with by name", async () => {
    const seen = await guest.sh(`
      cd "$(mktemp -d)"
      for kind in gzip lz4 xz zstd; do
        mksquashfs /tree $kind -comp $kind -quiet -no-progress > /dev/null
        mount -t squashfs -o loop $kind /mnt/a
        cmp /mnt/a/numbers /tree/numbers && echo $kind
        umount /mnt/a
      done
    `);
    assert.equal(seen, "gzip\nlz4\nxz\nzstd");
  });

  it("EROFS, plain and compressed", async () => {
    const seen = await guest.sh(`
      cd "$(mktemp -d)"
      for kind in plain lz4hc; do
        mkfs.erofs $(test $kind = plain || echo -z$kind) $kind /tree > /dev/null 2>&1
        mount -t erofs -o loop $kind /mnt/a
        cmp /mnt/a/numbers /tree/numbers && echo $kind
        umount /mnt/a
      done
    `);
    assert.equal(seen, "plain\nlz4hc");
  });
});

describe("the kernel", () => {
  it("knows every file system that images, volumes and pods may ask for", async () => {
    const known = new Set(
      (await guest.sh("cat /proc/filesystems")).split("\n").map((line) => line.split("\t")[1]),
    );
    const needed = [
      "9p",
      "erofs",
      "ext4",
      "fuse",
      "iso9660",
      "nfs",
      "nfs4",
      "overlay",
      "squashfs",
      "tmpfs",
      "vfat",
    ];
    for (const name of [
      ...needed,
      "virtiofs",
      "autofs",
      "bpf",
      "cgroup2",
      "hugetlbfs",
      "mqueue",
      "securityfs",
    ])
      assert.ok(known.has(name), name);
  });

  it("has the device-mapper targets of disks to come", async () => {
    const targets = (await guest.sh("dmsetup targets")).split("\n").map((line) => line.split(" ")[0]);
    for (const name of ["crypt", "snapshot", "thin", "thin-pool", "verity"])
      assert.ok(targets.includes(name), name);
  });
});
