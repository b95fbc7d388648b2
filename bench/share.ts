// A shared directory against QEMU's own virtio-9p: the same directory, guest, kernel and client, turn by turn.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { UndoStack } from "../src/base/undo.js";
import { median, type Row, ratioRow } from "./measure.js";
import { type ShareGuest, startShareGuest } from "./share-guest.js";
import { BIG_MIB, GIT_FILES, SMALL_FILES, writeShareTree } from "./share-tree.js";

const ROUNDS = 9;
const METADATA = 2;
const BULK = 6;
/** Nothing of the last time is left in the guest's caches. */
const COLD = "sync; echo 3 > /proc/sys/vm/drop_caches; cd /";

interface Work {
  readonly name: string;
  readonly budget: number;
  /** Run below a mount. */
  readonly script: string;
  readonly isWarm?: boolean;
}

const SMALL = SMALL_FILES.toLocaleString("en");
const works = (hasGit: boolean): readonly Work[] => [
  { name: `\`ls -l\` of ${SMALL} files`, budget: METADATA, script: "ls -l small > /dev/null" },
  { name: `\`cat\` of ${SMALL} small files`, budget: METADATA, script: "cat small/* > /dev/null" },
  ...(hasGit ? gitWorks : [WALK]),
  {
    ...{ name: `${BIG_MIB} MB read in a row`, budget: BULK },
    script: "dd if=big of=/dev/null bs=1M 2>/dev/null",
  },
  {
    ...{ name: `${BIG_MIB} MB written in a row`, budget: BULK },
    script: `dd if=/dev/zero of=written.$WAY bs=1M count=${BIG_MIB} 2>/dev/null`,
  },
];

const STATUS = "git -c safe.directory='*' --no-optional-locks status --porcelain > /dev/null";
const gitWorks: readonly Work[] = [
  { name: `\`git status\` of ${GIT_FILES} files`, budget: METADATA, script: `cd tree; ${STATUS}` },
  { name: "the same again, at once", budget: METADATA, script: `cd tree; ${STATUS}`, isWarm: true },
];
const WALK: Work = {
  ...{ name: `stat of ${GIT_FILES} files (there is no git here)`, budget: METADATA },
  script: "find tree -type f -exec stat -c %s {} + > /dev/null",
};

export async function benchShare(scratch: string): Promise<Row[]> {
  await using undo = new UndoStack();
  const root = join(scratch, "shared");
  await mkdir(root);
  await writeShareTree(root);
  const guest = await startShareGuest(undo, scratch, root);
  const rows: Row[] = [];
  for (const work of works(guest.hasGit)) rows.push(...(await measure(guest, work)));
  if (guest.without !== "")
    rows.push(information("virtiofsd, for information", "not measured", guest.without));
  return rows;
}

async function measure(guest: ShareGuest, { name, budget, script, isWarm }: Work): Promise<Row[]> {
  const times = new Map<string, number[]>(guest.ways.map((way) => [way, []]));
  for (let round = 0; round < ROUNDS; round++) {
    // There and back, so that none always comes behind the same other.
    const order = round % 2 === 0 ? guest.ways : guest.ways.toReversed();
    for (const way of order) {
      const before = isWarm === true ? `cd /${way}; (${script})` : COLD;
      times.get(way)?.push(await guest.time(script, `${before}; WAY=${way}; cd /$WAY`));
    }
  }
  const of = (way: string) => median(times.get(way) ?? []);
  const [kiln, qemu, other] = [of("kiln"), of("qemu"), of("virtiofsd")];
  const rows = [
    ratioRow(`share: ${name}, against QEMU's virtio-9p`, budget, kiln, qemu, `medians of ${ROUNDS}`),
  ];
  if (guest.ways.includes("virtiofsd")) {
    const detail = `${Math.round(kiln)} ms against ${Math.round(other)} ms, which caches what it knows for 1 s`;
    rows.push(information(`the same against virtiofsd`, `${(kiln / other).toFixed(2)} ×`, detail));
  }
  return rows;
}

function information(name: string, result: string, detail: string): Row {
  return { name, budget: "for information", result, detail, met: undefined };
}
