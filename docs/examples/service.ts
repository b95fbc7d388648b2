// A server in a VM: published on any free port, asked, looked at, stopped, and its output read after the end.
//
//   node dist/docs/examples/service.js [IMAGE]

import { Kiln } from "kilnvm";

const reply = "HTTP/1.0 200 OK\\r\\n\\r\\nhello from a microVM";

await using kiln = await Kiln.connect();
await using vm = await kiln.run(process.argv[2] ?? "alpine:3.20", {
  command: ["sh", "-c", `echo serving; while true; do printf '${reply}' | nc -l -p 80 >/dev/null; done`],
  publish: ["127.0.0.1::80"],
  labels: { role: "example" },
});

console.log(await ask(vm.url(80)));

for await (const { name, status } of kiln.vms.list({ filter: ["label=role=example"] })) {
  console.log(name === vm.name, status.state);
}

await vm.stop({ graceMs: 1000 });
for await (const { data } of vm.logs()) process.stdout.write(data);

/** The VM runs once its program does; when a server listens is the server's affair. Until then it refuses. */
async function ask(url: string): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await (await fetch(url)).text();
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
