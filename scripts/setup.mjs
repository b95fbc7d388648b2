// npm run setup [-- --tests]: everything that has to be there before kiln runs in this checkout.

import { parseArgs } from "node:util";
import { main } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  const { values } = parseArgs({ options: { tests: { type: "boolean", default: false } } });
  await setup(values);
});
