// Named networks with real guests, of an ordinary user: see network-guests.

import { describe } from "node:test";
import { guestsOnNetworks } from "./network-guests.js";

const isRoot = process.getuid?.() === 0;

describe("VMs on networks of an ordinary user", {
  skip: !isRoot && "it takes root to make hosts for tests",
}, () => {
  guestsOnNetworks({ isUser: true, daemonArgs: async () => [] });
});
