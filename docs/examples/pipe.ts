// A program in a VM as one stage of a pipeline: stdin in, stdout out, nothing held in memory on the way. A slow reader
// stops the program in the guest.
//
//   node dist/docs/examples/pipe.js [IMAGE]

import { Kiln } from "kilnvm";

async function* numbers(): AsyncGenerator<Uint8Array> {
  for (let index = 1; index <= 1000; index++) yield Buffer.from(`${index}\n`);
}

await using kiln = await Kiln.connect();
await using vm = await kiln.run(process.argv[2] ?? "alpine:3.20", { network: "none" });

const grep = vm.exec(["grep", "99"], { stdin: numbers() });
let bytes = 0;
for await (const { fd, data } of grep) if (fd === 1) bytes += data.byteLength;
console.log(`${bytes} bytes, exit code ${await grep.wait()}`);

const cat = vm.exec(["cat"], { stdin: "pipe" });
const writer = cat.stdin.getWriter();
await writer.write("typed later\n");
await writer.close();
console.log((await cat).stdout.text.trim());
