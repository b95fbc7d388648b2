// The part of kiln.v1.VmService about paths: text where they are text, bytes where they are not.

import { isUtf8 } from "node:buffer";
import type { ServiceImpl } from "@connectrpc/connect";
import type { DirectoryEntry, Engine, FileEvent } from "../engine/index.js";
import type { VmService } from "../gen/kiln/v1/vm_pb.js";
import { timestampFromNs } from "./convert-vm.js";

type Paths = Pick<
  ServiceImpl<typeof VmService>,
  "statPath" | "listDirectory" | "makeDirectory" | "removePath" | "renamePath" | "watchPath"
>;

const DEFAULT_MODE = 0o755;

export function createVmPaths(engine: Engine): Paths {
  const { files } = engine.vms;
  return {
    async statPath({ vm, path }, { signal }) {
      const { mtimeUnixNs, name, size, mode, ...link } = await files.stat(vm, path, signal);
      const { linkTarget, linkTargetBytes } = link;
      return { name, size, mode, mtime: timestampFromNs(mtimeUnixNs), linkTarget, linkTargetBytes };
    },
    async *listDirectory({ vm, path, pathBytes }, { signal }) {
      for await (const entries of files.list(vm, toBytes(path, pathBytes), signal)) {
        yield { entries: entries.map(toEntry) };
      }
    },
    async makeDirectory({ vm, path, pathBytes, recursive, mode, uid, gid }, { signal }) {
      const owned = { recursive, mode: mode ?? DEFAULT_MODE, uid, gid };
      const directory = { path: toBytes(path, pathBytes), ...owned };
      return { made: await files.make(vm, directory, signal) };
    },
    async removePath({ vm, path, pathBytes, recursive, force }, { signal }) {
      const what = { path: toBytes(path, pathBytes), recursive, force };
      await files.remove(vm, what, signal);
      return {};
    },
    async renamePath({ vm, from, fromBytes, to, toBytes: target, noReplace }, { signal }) {
      const what = { from: toBytes(from, fromBytes), to: toBytes(to, target), noReplace };
      await files.rename(vm, what, signal);
      return {};
    },
    async *watchPath({ vm, path, pathBytes, recursive }, { signal }) {
      let ready = true;
      const what = { path: toBytes(path, pathBytes), recursive };
      for await (const events of files.watch(vm, what, signal)) {
        yield { ready, events: events.map(toEvent) };
        ready = false;
      }
    },
  };
}

function toBytes(text: string, bytes: Uint8Array): Uint8Array {
  return bytes.length > 0 ? bytes : Buffer.from(text);
}

const toText = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");
const ifNotText = (bytes: Uint8Array) => (isUtf8(bytes) ? new Uint8Array() : bytes);

function toEntry({ name, mode, size, mtimeUnixNs, uid, gid, linkTarget }: DirectoryEntry) {
  const shown = { name: toText(name), nameBytes: ifNotText(name), linkTargetBytes: linkTarget };
  return { ...shown, mode, size, mtime: timestampFromNs(mtimeUnixNs), uid, gid };
}

function toEvent({ kind, path, to, directory }: FileEvent) {
  const from = { path: toText(path), pathBytes: ifNotText(path) };
  return { kind, ...from, to: toText(to), toBytes: ifNotText(to), directory };
}
