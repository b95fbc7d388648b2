#!/usr/bin/env node
// kilnd. A file of its own, because what is imported here is read and compiled before small-heap.ts is heard: by then the heap's
// young generation has grown over kilnd's own code.

import "./small-heap.js";

await import("./program.js");
