// What is done on a shared directory by the ordinary tier and, longer, by `npm test -- e2e-shares`: each is a case's body, with
// sizes.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ShareGuest } from "./share-guest.js";

const LONG = { timeoutMs: 50 * 60_000 };

/** Files in directories of a hundred: made, listed, looked at, found, read, removed. */
export async function manyFiles(guest: ShareGuest, directories: number): Promise<void> {
  const files = directories * 100;
  const made = await guest.sh(
    `
    mkdir /work/many; cd /work/many
    d=0; while [ $d -lt ${directories} ]; do
      mkdir $d; n=0
      while [ $n -lt 100 ]; do echo "$d $n" > $d/$n; n=$((n+1)); done
      d=$((d+1))
    done
    find . -type f | wc -l
    ls -lR . | grep -c '^-rw'
    find . -type f -exec stat -c '%s %a %n' {} + | LC_ALL=C sort | sha256sum
    find . -type f -exec cat {} + | LC_ALL=C sort | sha256sum
  `,
    LONG,
  );
  const [found, listed, ...sums] = made.split("\n");
  assert.deepEqual([found, listed], [String(files), String(files)]);
  const host = await guest.host(`
    cd many
    find . -type f -exec stat -c '%s %a %n' {} + | LC_ALL=C sort | sha256sum
    find . -type f -exec cat {} + | LC_ALL=C sort | sha256sum
  `);
  assert.deepEqual(sums, host.split("\n"));
  await guest.sh("rm -r /work/many", LONG);
  assert.equal(await guest.host("ls -d many 2> /dev/null || echo gone"), "gone");
}

/** Names in one directory, which the host has made: listed whole, each found, one more made and taken. */
export async function manyNames(guest: ShareGuest, names: number): Promise<void> {
  await guest.host(`mkdir names; cd names; seq -f 'name-%.0f' ${names} | xargs touch`);
  await guest.give();
  const sum = "LC_ALL=C sort | sha256sum";
  const seen = await guest.sh(`
    cd /work/names
    ls -f | grep -c name
    ls -f | grep name | ${sum}
    stat -c %s name-1 name-${names} name-$((${names} / 2))
    : > name-0; ls -f | grep -c name; rm name-0
    ls -f | grep name | ${sum}
  `);
  const want = await guest.host(`cd names; ls -f | grep name | ${sum}`);
  assert.deepEqual(seen.split("\n"), [String(names), want, "0", "0", "0", String(names + 1), want]);
}

/** A file with a hole of five GiB, whose ends both sides see. */
export async function sparseFile(guest: ShareGuest): Promise<void> {
  const size = (5 * 2 ** 30 + 4).toString();
  const seen = await guest.sh(`
    cd /work; printf head > sparse; truncate -s 5G sparse; printf tail >> sparse
    stat -c %s sparse
    head -c 4 sparse; tail -c 5 sparse | od -An -c
  `);
  assert.deepEqual(seen.split("\n"), [size, "head  \\0   t   a   i   l"]);
  assert.equal(await guest.host("stat -c %s sparse; tail -c 4 sparse"), `${size}\ntail`);
  const [blocks = ""] = (await guest.host("stat -c %b sparse")).split("\n");
  assert.ok(Number(blocks) * 512 < 1 << 20, `a hole takes no room: ${blocks} blocks`);
  await guest.host("printf HOST | dd of=sparse bs=1M seek=4500 conv=notrunc status=none");
  assert.equal(
    await guest.sh("dd if=/work/sparse bs=1M skip=4500 count=1 status=none | head -c 4; rm /work/sparse"),
    "HOST",
  );
}

/** Bytes that are no UTF-8, made on either side and found on the other. */
export async function oddNames(guest: ShareGuest): Promise<void> {
  await guest.host("mkdir odd; printf h > $'odd/\\xff\\xfehost'");
  await guest.give();
  await guest.sh("cd /work/odd; printf g > \"$(printf '\\200guest')\"; mkdir \"$(printf 'd\\351')\"");
  const list = "LC_ALL=C ls odd | od -An -tx1";
  assert.equal(await guest.sh(`cd /work; ${list}`), await guest.host(list));
  assert.equal(await guest.sh("cd /work/odd; cat \"$(printf '\\377\\376host')\""), "h");
  assert.equal(await guest.host("cat $'odd/\\x80guest'; test -d $'odd/d\\xe9'"), "g");
  await guest.sh("rm -r /work/odd");
}

/** Edits of the host, of every way that editors have: the guest's next read has each. */
export async function hostEdits(guest: ShareGuest, rounds: number): Promise<void> {
  const file = join(guest.shared, "edited");
  await writeFile(file, "begin\n");
  await guest.give();
  const edits = [
    "printf 'in place %d\\n' N > edited",
    "printf 'beside %d\\n' N > beside; chmod 644 beside; mv beside edited",
    "printf 'more %d\\n' N >> edited",
    "truncate -s 3 edited",
    "rm edited; printf 'anew %d\\n' N > edited",
    // Neither its size nor its time tells that it has changed.
    "touch -d @1000 edited; tr a-z b-za < edited > /dev/null; printf '%05d' N | dd of=edited conv=notrunc status=none; touch -d @1000 edited",
  ];
  for (let round = 0; round < rounds; round++) {
    await guest.host((edits[round % edits.length] ?? "").replaceAll("N", String(round)));
    assert.equal(await guest.sh("cat /work/edited"), (await readFile(file, "utf8")).trim(), `round ${round}`);
  }
}
