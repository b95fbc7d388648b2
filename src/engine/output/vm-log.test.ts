import assert from "node:assert/strict";
import { mkdir, open, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { patchFiles } from "../../../test/fixtures/patched-files.js";
import { logCase, record, textOf } from "../../../test/fixtures/vm-logs.js";
import { dropOldest } from "./log-segments.js";

const logs = logCase();

/** No file can be opened for writing. */
const closedDisk = () =>
  patchFiles(({ open }) => ({
    open: async (path, flags, mode) => {
      if (flags !== "a") return open(path, flags, mode);
      throw Object.assign(new Error("ENOSPC: no space left on device, open"), { code: "ENOSPC" });
    },
  }));

describe("VmLog", () => {
  it("says at once that it can't be kept where no directory can be made", async () => {
    await assert.rejects(logs.make("/proc/kiln-not-here/log").begin(1), { code: "ENOENT" });
  });

  it("gives back what was appended, also after the end and in another daemon", async () => {
    const log = await logs.written("one\n", "two\n");
    assert.equal(await textOf(log), "one\ntwo\n");
    await log.end();
    assert.equal(await textOf(logs.make(logs.directory)), "one\ntwo\n");
  });

  it("goes on after the last whole record when a kill tore the next one", async () => {
    const log = await logs.written("first\n", "second\n");
    await log.end();
    const [name] = await readdir(logs.directory);
    const path = join(logs.directory, name ?? "");
    const file = await open(path);
    const { size } = await file.stat();
    await file.close();
    await truncate(path, size - 3);

    const again = logs.make(logs.directory);
    assert.equal(await again.begin(1), 6n);
    await again.append([record(6, "second\n")]);
    assert.equal(await textOf(again), "first\nsecond\n");
  });

  it("skips what it already has when records come twice or overlap", async () => {
    const log = await logs.written("abcdef");
    await log.append([record(0, "abcdef"), record(3, "defghi")]);
    assert.equal(await textOf(log), "abcdefghi");
    assert.equal(log.nextSequence, 9n);
  });

  it("keeps the output of earlier boots and begins each boot at sequence 0", async () => {
    const log = await logs.written("boot one\n");
    assert.equal(await log.begin(2), 0n);
    await log.append([record(0, "boot two\n")]);
    assert.equal(await textOf(log), "boot one\nboot two\n");
  });

  it("starts a new segment at the size limit and drops the oldest beyond the total", async () => {
    const log = logs.make(logs.directory, { segmentBytes: 200, keepBytes: 700 });
    await log.begin(1);
    for (let n = 0; n < 40; n++) await log.append([record(n * 10, `line ${String(n).padStart(4, "0")}\n`)]);
    const text = await textOf(log);
    assert.ok((await readdir(logs.directory)).length <= 4);
    assert.match(text, /line 0039\n$/);
    assert.doesNotMatch(text, /line 0000/);
    await log.end();
  });

  it("drops the oldest beyond the total over boots that each end before a segment is full", async () => {
    const log = logs.make(logs.directory, { segmentBytes: 200, keepBytes: 700 });
    for (let boot = 1; boot <= 40; boot++) {
      await log.begin(boot);
      await log.append([record(0, `of boot ${boot}\n`.padStart(100))]);
      await log.end();
    }
    const names = await readdir(logs.directory);
    assert.ok(names.length <= 6, names.join());
    const text = await textOf(log);
    assert.match(text, /of boot 39\n *of boot 40\n$/);
    assert.doesNotMatch(text, /of boot 30\n/);
  });

  it("keeps no more files than it is told to, of however many silent boots", async () => {
    const log = logs.make(logs.directory);
    for (let boot = 1; boot <= 6; boot++) await log.begin(boot);
    await dropOldest(logs.directory, 1000, 3);
    const names = (await readdir(logs.directory)).sort();
    assert.deepEqual(
      names.map((name) => Number(name.split("-")[0])),
      [4, 5, 6],
    );
  });

  it("loses nothing where the next segment can't be opened for a while", async () => {
    const place = join(logs.directory, "log");
    const log = logs.make(place, { segmentBytes: 10, keepBytes: 1000 });
    await log.begin(1);
    await log.append([record(0, "0123456789")]);
    using full = closedDisk();
    await assert.rejects(log.append([record(10, "abc")]), { code: "ENOSPC" });
    full[Symbol.dispose]();
    await log.append([record(10, "abc")]);
    assert.equal(await textOf(log), "0123456789abc");
    assert.equal((await readdir(place)).length, 2);
  });

  it("takes what comes once it can be stored, though it could not at the beginning", async () => {
    await (await logs.written("before ")).detach();
    const log = logs.make(logs.directory);
    using full = closedDisk();
    await assert.rejects(log.begin(1), { code: "ENOSPC" });
    await assert.rejects(log.append([record(7, "after")]), { code: "ENOSPC" });
    await assert.rejects(log.ready(), { code: "ENOSPC" });
    full[Symbol.dispose]();
    await log.ready();
    assert.deepEqual([log.nextSequence, log.live], [7n, true]);
    await log.append([record(7, "after")]);
    assert.equal(await textOf(log), "before after");
    await log.end();
    await log.append([record(12, " the end")]);
    assert.equal(await textOf(log), "before after");
  });

  const inTheWay: [string, (place: string, segment: string) => Promise<void>][] = [
    ["its directory is gone", async () => undefined],
    ["a file is in its directory's place", (place) => writeFile(place, "")],
    [
      "a directory is in its file's place",
      async (_, segment) => void (await mkdir(segment, { recursive: true })),
    ],
  ];
  for (const [what, damage] of inTheWay) {
    it(`goes on where ${what}, in a boot that goes on and in one that begins a file`, async () => {
      const place = join(logs.directory, "log");
      const log = logs.make(place, { segmentBytes: 5, keepBytes: 1000 });
      await log.begin(1);
      await log.append([record(0, "lost!")]);
      const next = join(place, "00000001-00000000000000000005.log");
      await rm(place, { recursive: true });
      await damage(place, next);
      await log.append([record(5, "later")]);
      assert.equal(await textOf(log), "later");
      await log.detach();
      await rm(place, { recursive: true });
      await damage(place, join(place, "00000001-00000000000000000000.log"));
      const again = logs.make(place);
      assert.equal(await again.begin(1), 0n);
      await again.append([record(10, "last")]);
      assert.equal(await textOf(again), "last");
    });
  }

  it("resumes in the newest of several segments", async () => {
    const log = logs.make(logs.directory, { segmentBytes: 50, keepBytes: 10_000 });
    await log.begin(1);
    for (let n = 0; n < 5; n++) await log.append([record(n * 10, `line ${String(n).padStart(4, "0")}\n`)]);
    await log.end();
    assert.equal(await logs.make(logs.directory).begin(1), 50n);
  });

  it("selects by time, both ends included", async () => {
    const log = logs.make(logs.directory);
    await log.begin(1);
    await log.append([1, 2, 3, 4].map((n) => record(n - 1, String(n), { timeNs: BigInt(n) })));
    assert.equal(await textOf(log, { since: 2n }), "234");
    assert.equal(await textOf(log, { until: 3n }), "123");
    assert.equal(await textOf(log, { since: 2n, until: 3n }), "23");
  });

  it("makes a guest's wild clock monotonic and never later than the host's", async () => {
    const log = logs.make(logs.directory, undefined, () => 5);
    await log.begin(1);
    const times = [1_000_000n, 900n, 2n ** 62n];
    await log.append(times.map((timeNs, n) => record(n, "x", { timeNs })));
    const seen: bigint[] = [];
    for await (const chunk of log.read()) seen.push(chunk.timeNs);
    assert.deepEqual(seen, [1_000_000n, 1_000_000n, 5_000_000n]);
  });

  it("follows until the end, across a rotation, without losing a byte", async () => {
    const log = logs.make(logs.directory, { segmentBytes: 100, keepBytes: 1_000_000 });
    await log.begin(1);
    const reader = textOf(log, { follow: true });
    let expected = "";
    for (let n = 0; n < 100; n++) {
      const text = `${n}\n`;
      await log.append([record(expected.length, text)]);
      expected += text;
    }
    await log.end();
    assert.equal(await reader, expected);
  });

  it("follows to a time, also where nothing is said any more", async () => {
    let now = 1_000;
    const log = logs.make(logs.directory, undefined, () => now);
    await log.begin(1);
    await log.append([record(0, "before ", { timeNs: 2_000_000n })]);
    assert.equal(await textOf(log, { follow: true, until: 3_000_000n }), "before ");
    const reader = textOf(log, { follow: true, until: 1_010_000_000n });
    await log.append([record(7, "in time", { timeNs: 1_000_000_000n })]);
    now = 1_011;
    assert.equal(await reader, "before in time");
    await log.end();
  });

  it("follows from the end only what comes later", async () => {
    const log = await logs.written("before\n");
    const reader = textOf(log, { from: await log.endPosition(), follow: true });
    await log.append([record(7, "after\n")]);
    await log.end();
    assert.equal(await reader, "after\n");
  });

  it("stops following when its caller goes away", async () => {
    const log = await logs.written("x");
    const abort = new AbortController();
    const reader = textOf(log, { follow: true, signal: abort.signal });
    abort.abort(new Error("gone"));
    await assert.rejects(reader, { message: "gone" });
  });

  it("tells when the last reader has finished", async () => {
    const log = await logs.written("x");
    const reader = log.read({ follow: true });
    await reader.next();
    let drained = false;
    const waiting = log.drained(new AbortController().signal).then(() => {
      drained = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(drained, false);
    await reader.return(undefined);
    await waiting;
  });

  it("reads nothing of a VM that never wrote", async () => {
    assert.equal(await textOf(logs.make(join(logs.directory, "none"))), "");
    assert.equal(await textOf(logs.make(join(logs.directory, "none")), { tail: 5 }), "");
  });

  it("ignores files that are not its own", async () => {
    const log = await logs.written("ok");
    await writeFile(join(logs.directory, "notes.txt"), "mine");
    assert.equal(await textOf(log), "ok");
  });
});
