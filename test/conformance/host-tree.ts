// Lists a directory of the host as a TreeListing. Python does the walking: node:fs has no extended attributes, no
// nanoseconds before 1970 and no names that are not UTF-8.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { ListedNode, TreeListing } from "../fixtures/images/tree-listing.js";

const WALKER = `
import hashlib, json, os, stat, sys
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char",
         stat.S_IFBLK: "block", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}
root = os.fsencode(sys.argv[1])
latin = lambda b: b.decode("latin-1")
found = []
def walk(path, rel):
    found.append((rel, path))
    if stat.S_ISDIR(os.lstat(path).st_mode):
        for name in os.listdir(path):
            walk(os.path.join(path, name), rel + b"/" + name if rel else name)
sys.setrecursionlimit(100000)
walk(root, b"")
found.sort()
firsts = {}
for rel, path in found:
    st = os.lstat(path)
    kind = KINDS[stat.S_IFMT(st.st_mode)]
    first = firsts.setdefault((st.st_dev, st.st_ino), latin(rel))
    xattrs = {}
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        xattrs[name] = os.getxattr(path, name, follow_symlinks=False).hex()
    node = {"type": kind, "mode": "%o" % (st.st_mode & 0o7777), "uid": st.st_uid, "gid": st.st_gid,
            "mtimeNs": str(st.st_mtime_ns), "xattrs": xattrs, "linkedTo": first}
    if kind == "file":
        with open(path, "rb") as f:
            h = hashlib.sha256()
            for piece in iter(lambda: f.read(1 << 20), b""):
                h.update(piece)
        node["size"] = st.st_size
        node["sha256"] = h.hexdigest()
    elif kind == "symlink":
        node["target"] = latin(os.readlink(path))
    elif kind in ("char", "block"):
        node["device"] = "%d:%d" % (os.major(st.st_rdev), os.minor(st.st_rdev))
    print(json.dumps([latin(rel), node]))
`;

const OUTPUT_LIMIT = 1024 * 1024 * 1024;

/** Every path below `directory`, itself as "". Needs python3, and root to see all attributes. */
export async function listHostTree(directory: string): Promise<TreeListing> {
  const { stdout } = await promisify(execFile)("python3", ["-c", WALKER, directory], {
    maxBuffer: OUTPUT_LIMIT,
  });
  const lines = stdout.split("\n").filter((line) => line !== "");
  return new Map(lines.map((line) => JSON.parse(line) as [string, ListedNode]));
}
