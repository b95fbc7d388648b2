// A C project: cloned, built, changed and repacked on a shared directory; git and its result are looked at from both sides.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ShareGuest } from "../e2e/share-guest.js";
import { passtSources } from "../fixtures/assets.js";

const AUTHOR = "-c user.name=kiln -c user.email=kiln@localhost";
/** What of its sources needs nothing generated, and one program: its own Makefile has a shell script read all of them first. */
const PARTS = `
OBJECTS := arp.o checksum.o dhcp.o iov.o ip.o inany.o lineread.o log.o ndp.o packet.o pcap.o util.o
CPPFLAGS := -D_GNU_SOURCE -D_XOPEN_SOURCE=700 -DPAGE_SIZE=4096 -DVERSION='"share"' -DDUAL_STACK_SOCKETS=1 -DHAS_GETRANDOM
CFLAGS := -std=c11 -O0 -g
all: qrap parts.a
parts.a: $(OBJECTS)
\t$(AR) rcs $@ $^
qrap: CPPFLAGS += -DARCH='"x86_64"'
$(OBJECTS): passt.h util.h
`;
const LONG = { timeoutMs: 50 * 60_000 };

describe("git and cc on a shared directory", () => {
  let guest: ShareGuest;
  before(async () => {
    guest = await ShareGuest.start({ image: "programs" });
    await guest.host(`
      mkdir source; tar -xJf '${passtSources()}' -C source --strip-components=1
      cd source; git init -q -b main .; git add -A; git ${AUTHOR} commit -q -m 'As it is'
    `);
    await guest.give();
  });
  after(() => guest.dispose());

  const soundOnBothSides = async (directory: string) => {
    const check = "git fsck --full --strict --no-progress && git status --porcelain && git log --format=%H";
    const seen = await guest.sh(`cd /work/${directory}; { ${check}; } 2>&1`, LONG);
    assert.match(seen, /^[0-9a-f]{40}(\n[0-9a-f]{40})*$/, "no complaint, nothing changed");
    assert.equal(await guest.host(`cd ${directory}; { ${check}; } 2>&1`), seen);
  };

  it("clones, by links of what is beside it and by packs", async () => {
    await guest.sh("cd /work; git clone -q source linked; git clone -q file:///work/source packed", LONG);
    await soundOnBothSides("linked");
    await soundOnBothSides("packed");
    const sum = "find . -name .git -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum";
    const seen = await guest.sh(`cd /work/packed; ${sum}`);
    assert.equal(seen, await guest.host(`cd source; ${sum}`));
  });

  it("builds what runs from it, and again what the host has changed", async () => {
    await writeFile(join(guest.shared, "packed/parts.mk"), PARTS);
    await guest.give();
    const build = "make -f parts.mk -j 2";
    await guest.sh(`cd /work/packed; ${build} > /tmp/said 2>&1 || { cat /tmp/said >&2; exit 1; }`, LONG);
    assert.match(await guest.sh("/work/packed/qrap 2>&1 || true"), /Probe of/);
    const sums = "sha256sum *.o parts.a qrap";
    assert.equal(await guest.sh(`cd /work/packed; ${sums}`), await guest.host(`cd packed; ${sums}`));
    assert.match(await guest.host("packed/qrap 2>&1 || true"), /Probe of/);
    assert.match(await guest.sh(`cd /work/packed; ${build}`), /Nothing to be done/);
    await guest.host("cd packed; touch arp.c");
    const again = (await guest.sh(`cd /work/packed; ${build}`, LONG)).split("\n");
    assert.deepEqual(
      again.map((line) => line.split(" ")[0]),
      ["cc", "ar"],
    );
  });

  it("commits, repacks and throws away", async () => {
    await guest.sh(
      `
      cd /work/packed; git clean -qfdx
      i=0; while [ $i -lt 10 ]; do
        echo "$i" > "new$i"; git add .; git ${AUTHOR} commit -q -m "Change $i"; i=$((i+1))
      done
      git branch side HEAD~5; git checkout -q side; git ${AUTHOR} merge -q main; git gc -q --prune=now
    `,
      LONG,
    );
    await soundOnBothSides("packed");
    await guest.host(`cd packed; echo host > by-host; git add .; git ${AUTHOR} commit -q -m 'Of the host'`);
    await guest.give();
    await soundOnBothSides("packed");
    await guest.sh("rm -r /work/packed /work/linked");
    assert.equal(await guest.host("ls -A"), "source");
  });
});
