// The SDK in ten lines: a VM, a command in it, its output live, a file, a port.
//
//   node dist/docs/examples/quick-start.js [IMAGE]

import { Kiln } from "kilnvm";

const image = process.argv[2] ?? "alpine:3.20";

await using kiln = await Kiln.connect(); // KILN_HOST, or this user's kilnd, started if need be
await using vm = await kiln.run(image, { memory: "256MiB", publish: ["8080"] });

const { stdout, exitCode } = await vm.exec(["uname", "-r"]); // await it: the collected result
console.log(`kernel ${stdout.text.trim()}, exit code ${exitCode}`);

for await (const { data } of vm.exec(["seq", "1", "3"])) process.stdout.write(data); // iterate it: live

await vm.fs.write("/tmp/hello.txt", "hi\n");
console.log(await vm.fs.readText("/tmp/hello.txt"));
console.log(vm.url(8080));
