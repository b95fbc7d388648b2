// Runs code that nobody has read: no network, little memory, ten seconds, and a VM that is thrown away.
//
//   node dist/docs/examples/untrusted-code.js [IMAGE]

import { Kiln, KilnError } from "kilnvm";

const image = process.argv[2] ?? "alpine:3.20";
const scripts = ["echo $((6 * 7))", "echo oops >&2; exit 3", "while true; do :; done"];

await using kiln = await Kiln.connect();

for (const script of scripts) {
  await using vm = await kiln.run(image, { network: "none", memory: "128MiB" });
  await vm.fs.write("/tmp/script.sh", script);
  try {
    const result = await vm.exec(["sh", "/tmp/script.sh"], { timeoutMs: 10_000, maxOutputBytes: 64 * 1024 });
    // A non-zero exit code is data, not an exception.
    console.log(`exit ${result.exitCode}: ${result.stdout.text.trim()}${result.stderr.text.trim()}`);
  } catch (error) {
    if (error instanceof KilnError && error.reason === "timeout") console.log("took too long");
    else throw error;
  }
}
