// What happened, without a gap: events are numbered, and a reader that was away goes on where it stopped.
//
//   node dist/docs/examples/follow-events.js [IMAGE]

import { Kiln } from "kilnvm";

await using kiln = await Kiln.connect();
const since = new Date();
await using vm = await kiln.run(process.argv[2] ?? "alpine:3.20", { command: ["true"], network: "none" });
await vm.wait();

let cursor = 0;
for await (const event of kiln.events({ since, filter: ["type=vm"] })) {
  console.log(event.action);
  cursor = event.cursor;
  if (event.action === "start") break; // the reader goes away
}
for await (const event of kiln.events({ after: cursor, filter: ["type=vm"] })) {
  console.log(event.action);
  if (event.action === "die") break;
}
