// Many disks, each found by its serial: on whatever bus, by whatever name, and again by a later kilnd.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { DiskSpec, VmmHandle, VmmSpec } from "../../src/vmm/index.js";
import { type GuestShell, makeTestGuest, SCSI_MODULES } from "../fixtures/vmm-guest.js";
import { type DriverFactory, MIB, shellOf, VmmBench } from "./vmm-bench.js";

/** More than one bus of QEMU's machine takes. */
const MANY = 30;

/** One line for each disk that the guest has: name, serial, 1 where it is read-only, and what its file begins with. */
const LIST = [
  "for d in /sys/block/vd* /sys/block/sd*; do",
  '[ -e "$d" ] || continue;',
  // SCSI's page of the serial has four bytes in front.
  '[ -e "$d/serial" ] && serial=$(cat "$d/serial") || serial=$(tail -c +5 "$d/device/vpd_pg80");',
  `echo "\${d##*/} $serial $(cat "$d/ro") $(head -n 1 "/dev/\${d##*/}")";`,
  "done",
].join(" ");

interface FoundDisk {
  readonly device: string;
  readonly serial: string;
  readonly readOnly: boolean;
  readonly content: string;
}

export function disksContract(makeDriver: DriverFactory): void {
  describe("many disks", () => {
    let bench: VmmBench;
    let disks: readonly DiskSpec[];
    let spec: VmmSpec;
    let handle: VmmHandle;
    let shell: GuestShell;
    let found: readonly FoundDisk[];
    before(async () => {
      bench = await VmmBench.open(makeDriver, (root) => makeTestGuest(root, SCSI_MODULES));
      const { capabilities } = await bench.newDriver().probe();
      const count = Math.min(MANY, capabilities?.maxDisks ?? 0);
      disks = await Promise.all(
        Array.from({ length: count }, (_, index) => bench.disk(`d${index}`, MIB, index % 3 !== 1)),
      );
      spec = await bench.spec({ disks });
      handle = bench.adopt(await bench.newDriver().launch(spec));
      shell = await shellOf(handle);
      // A guest finds the disks of a controller one by one, beside its boot.
      await shell.output(
        `until [ $(ls -d /dev/vd? /dev/sd? 2> /dev/null | wc -l) -ge ${count} ]; do sleep 0.05; done`,
      );
      found = (await shell.output(LIST)).split("\n").map(parseFound);
    });
    after(() => bench[Symbol.asyncDispose]());

    it("are all there, each with its content under the serial that the driver tells", () => {
      const contents = new Map(found.map(({ serial, content }) => [serial, content]));
      assert.equal(found.length, disks.length);
      assert.equal(contents.size, disks.length, "no two have one serial");
      for (const { id } of disks) assert.equal(contents.get(handle.disks.get(id) ?? ""), `disk ${id}`, id);
    });

    it("are read-only as the spec says, on every bus", () => {
      const wanted = new Map(disks.map(({ id, readOnly }) => [handle.disks.get(id), readOnly]));
      for (const { device, serial, readOnly } of found)
        assert.equal(readOnly, wanted.get(serial), `${device} (${serial})`);
    });

    it("keep what the guest writes, the last of them too", async () => {
      const last = disks.findLast(({ readOnly }) => !readOnly);
      const device = found.find(({ serial }) => serial === handle.disks.get(last?.id ?? ""))?.device;
      const write = `echo "written to ${last?.id}" > /dev/${device} && sync && echo 3 > /proc/sys/vm/drop_caches`;
      assert.equal(await shell.output(`${write} && head -n 1 /dev/${device}`), `written to ${last?.id}`);
    });

    it("have the same serials for a later kilnd, by the record and by the files alone", async () => {
      const told = handle.disks;
      await shell.close();
      await handle.detach();
      const record = JSON.parse(JSON.stringify(handle.record)) as typeof handle.record;
      const again = bench.adopt(await bench.newDriver().reattach(record, { ...spec, disks: [] }));
      assert.deepEqual(again.disks, told);
      await again.detach();
      // As a release recorded it that told no serials.
      const { diskSerials: _, ...facts } = record.facts;
      const old = bench.adopt(await bench.newDriver().reattach({ ...record, facts }, spec));
      assert.deepEqual(old.disks, told);
    });
  });
}

function parseFound(line: string): FoundDisk {
  const [device = "", serial = "", readOnly = "", ...content] = line.split(" ");
  return { device, serial, readOnly: readOnly === "1", content: content.join(" ") };
}
