// Verbs that Docker, Podman or Ignite have and kiln has under another name, or not at all: the nearest word of kiln's
// ("login": logs?) would send people the wrong way.

/** What to do instead, as the message's second half. */
const INSTEAD: Readonly<Record<string, string>> = {
  build:
    "kiln builds no images: build with any tool, then `kiln pull oci:DIR` or `kiln pull docker-archive:FILE`",
  commit:
    "kiln makes no images of VMs; `kiln exec VM tar -C / -cf - .` into `kiln image import - NAME` comes near",
  compose: "kiln runs no compose files; start each VM with `kiln run`",
  config: "kiln has no swarm; give a VM its files with `kiln cp`",
  container: "containers are VMs here: `kiln vm VERB`, or just `kiln VERB`",
  context: "name another daemon with `kiln --host unix://PATH` or KILN_HOST",
  diff: "kiln keeps no list of changes; look inside with `kiln exec`",
  export: "use `kiln exec VM tar -C / -cf - .`",
  history: "`kiln image inspect IMAGE` shows the image's whole config, its history included",
  import: "it is `kiln image import FILE NAME`",
  load: "it is `kiln pull docker-archive:FILE`, or oci-archive:FILE",
  login: "kiln uses the logins of docker, podman and skopeo; or give --creds to `kiln pull`",
  logout: "kiln keeps no logins: it reads those of docker, podman and skopeo",
  manifest: "`kiln image inspect IMAGE` shows an image's manifest; kiln makes none",
  plugin: "kiln has no plugins",
  push: "kiln pushes nothing: `kiln image save -o FILE IMAGE`, then `skopeo copy oci-archive:FILE docker://...`",
  rename: "a VM keeps its name; give one with --name when it is made",
  search: "kiln asks registries for images only, not for lists",
  secret: "kiln has no swarm; give a VM its files with `kiln cp`",
  service: "kiln has no swarm; `kiln run --restart always` keeps one VM up",
  ssh: "it is `kiln exec -it VM sh`",
  stack: "kiln has no swarm; start each VM with `kiln run`",
  swarm: "kiln runs VMs on one host",
  top: "use `kiln exec VM ps aux` where the image has ps, or `kiln stats` for what VMs use",
};

const SAME: Readonly<Record<string, string>> = {
  builder: "build",
  buildx: "build",
  bake: "build",
  node: "swarm",
  shell: "ssh",
};

/** Families whose second word may be one of the verbs above: `image push`, `vm top`, `container ls`. */
const FAMILIES: readonly string[] = ["container", "image", "system", "vm"];

/** What kiln has for a verb of another tool; undefined for one that nobody has. @param words "login", "image push" */
export function insteadOf(words: string): string | undefined {
  const [first = "", second = ""] = words.split(" ");
  const word = second !== "" && FAMILIES.includes(first) ? second : first;
  const known = Object.hasOwn(SAME, word) ? (SAME[word] ?? word) : word;
  return Object.hasOwn(INSTEAD, known) ? INSTEAD[known] : undefined;
}
