// What every file sink must do, whatever file system it writes: the tree that comes out is the tree that went in. The
// suites are split by what they are about; this file runs them all for one sink.

import { after, before, describe } from "node:test";
import { attributeContract, xattrContract } from "./file-sink-attributes.js";
import { SinkBench, type SinkUnderTest } from "./file-sink-bench.js";
import { dataContract, spaceContract } from "./file-sink-data.js";
import { lifecycleContract } from "./file-sink-lifecycle.js";
import { treeContract } from "./file-sink-trees.js";

export function fileSinkContract(tested: SinkUnderTest): void {
  describe(`file sink contract: ${tested.name}`, { skip: tested.skip }, () => {
    const bench = new SinkBench(tested);
    before(() => bench.open());
    after(() => bench.close());
    treeContract(bench);
    dataContract(bench);
    spaceContract(bench);
    attributeContract(bench);
    xattrContract(bench);
    lifecycleContract(bench);
  });
}
