// Imported by kilnd before all else, for its effect: the young generation of its heap stays as small as it begins. V8 doubles it, up
// to 48 MiB, whenever much of it survives, as it does while several VMs start at once, and hardly gives it back: 25 MiB of
// kilnd's 114 with eight VMs. What is large here (output, layers) lies outside of the heap.

import { setFlagsFromString } from "node:v8";

setFlagsFromString("--semi-space-growth-factor=1");
