// `kiln pull`: an image into the store.

import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { bool, text } from "../flags.js";
import { absoluteImage } from "../image-source.js";
import { interruptible } from "../interrupt.js";
import { openProgress, progressFlag } from "../render/progress.js";
import { usageError } from "../usage-error.js";

const KEPT = "what was fetched is kept, and the next pull goes on from there";

export const command = defineCommand({
  description: `
Brings an image into the store and prints its name. IMAGE is a registry reference (nginx, ghcr.io/a/b:1,
localhost:5000/x@sha256:...), oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE. A pull that is interrupted (Ctrl-C,
a cut line, the end of kilnd) keeps what was fetched, and the next one goes on from there. Only the named registry, or its configured mirrors, are asked.

Credentials come from the auth files and credential helpers of Docker and Podman, or from --creds.
`,
  operands: [{ name: "IMAGE", complete: "image" }],
  flags: {
    creds: text("USER[:PASSWORD]", "Credentials; without the password it is read from KILN_PASSWORD"),
    "plain-http": bool("Allow a registry without TLS that is not on this machine"),
    platform: text("OS/ARCH[/VARIANT]", "Platform", { fallback: "the host's" }),
    progress: progressFlag,
    quiet: bool("Show no progress", { short: "q" }),
  },
  examples: [
    { does: "from Docker Hub", line: "kiln pull nginx:1.27" },
    { does: "from a directory that skopeo or buildah wrote", line: "kiln pull oci:./image:latest" },
    { does: "from a file of docker save", line: "kiln pull docker-archive:nginx.tar" },
  ],
  async run(context, { flags, operands: [image = ""] }) {
    const auth = flags.creds === undefined ? undefined : parseCreds(flags.creds, context.env);
    const progress = openProgress(context, flags.progress, flags.quiet);
    const reference = absoluteImage(image, context.cwd);
    try {
      const pulled = await interruptible(`pull ${image}`, KEPT, async (signal) => {
        const kiln = await context.connect();
        return await kiln.images.pull(reference, {
          auth,
          platform: flags.platform,
          plainHttp: flags["plain-http"],
          onProgress: (step) => progress.update(step),
          signal,
        });
      });
      await progress.close();
      await printLine(context, pulled.name);
      return 0;
    } finally {
      await progress.close();
    }
  },
});

function parseCreds(creds: string, env: NodeJS.ProcessEnv): { username: string; password: string } {
  const colon = creds.indexOf(":");
  const username = colon < 0 ? creds : creds.slice(0, colon);
  const password = colon < 0 ? env.KILN_PASSWORD : creds.slice(colon + 1);
  if (username === "" || password === undefined) {
    throw usageError("pull", "--creds takes USER:PASSWORD, or USER with the password in KILN_PASSWORD");
  }
  return { username, password };
}
