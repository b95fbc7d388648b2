// Named networks without a VM: bridge, rules and resolver as kilnd makes them, on a host of the test's own (bridge-world), for
// root and for an ordinary user. Guests are network namespaces, and a program that writes frames.

import { describe } from "node:test";
import { bridgeCablesContract } from "./bridge-cables.js";
import { bridgeEgressContract } from "./bridge-egress.js";
import { bridgeFloodsContract } from "./bridge-floods.js";
import { bridgeFlushContract } from "./bridge-flush.js";
import { bridgeHostileContract } from "./bridge-hostile.js";
import { bridgeLeasesContract } from "./bridge-leases.js";
import { bridgeLeftoversContract } from "./bridge-leftovers.js";
import { bridgeNeighboursContract } from "./bridge-neighbours.js";
import { bridgePublishContract } from "./bridge-publish.js";
import { bridgeReachContract } from "./bridge-reach.js";
import { bridgeShapesContract } from "./bridge-shapes.js";

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : "it takes root to make hosts for tests";

for (const isUser of [false, true])
  describe(`networks of ${isUser ? "an ordinary user" : "root"}`, { skip }, () => {
    bridgeReachContract(isUser);
    bridgeHostileContract(isUser);
    bridgeFloodsContract(isUser);
    bridgeEgressContract(isUser);
    bridgeShapesContract(isUser);
    bridgeCablesContract(isUser);
    bridgeFlushContract(isUser);
    bridgeLeftoversContract(isUser);
    if (!isUser) bridgeNeighboursContract();
    if (!isUser) bridgePublishContract();
    if (!isUser) bridgeLeasesContract();
  });
