// A job that needs nobody to attend to it: started, forgotten, found again by its id, read to its end.
//
//   node dist/docs/examples/job.js [IMAGE]

import { Kiln } from "kilnvm";

await using kiln = await Kiln.connect();
await using vm = await kiln.run(process.argv[2] ?? "alpine:3.20");

// Fails at its first run, and is brought back by kilnd.
const { id } = await vm.processes.start(
  "echo working; test -e /tried || { touch /tried; exit 1; }; echo done",
  {
    restart: "on-failure",
  },
);

// Any program could do this now, with the id alone, also after a restart of kilnd.
const job = await vm.processes.get(id);
for await (const { data } of job.logs({ follow: true })) process.stdout.write(data);
const { exitCode } = await job.wait();
const { status } = await job.inspect();
console.log(`exit code ${exitCode}, restarts: ${status.restartCount}`);
await job.remove();
console.log(`left: ${(await vm.processes.list({ all: true })).length}`);
