// After tsc: the SDK's types for CommonJS programs.

import { writeCommonJsTypes } from "./lib/cts-types.mjs";
import { ROOT } from "./lib/paths.mjs";

writeCommonJsTypes(`${ROOT}/dist/src/sdk/index.d.ts`);
