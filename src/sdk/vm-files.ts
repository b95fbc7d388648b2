// `vm.fs`: files of a VM, in and out. Everything travels as tar streams; nothing here holds a whole tree. Of a VM that
// does not run nothing can be read; what goes in waits, at kilnd's, for its next start.

import {
  baseName,
  type CopySource,
  type CopyTarget,
  cleanPath,
  fileName,
  parentName,
  planCopy,
  wantsContents,
  withEntries,
} from "../base/copy-plan.js";
import { findTarget, isDirectory, isLink } from "../base/copy-target.js";
import { hasReason } from "../base/errors.js";
import type { CopySourceJson } from "../gen/kiln/v1/files_pb.js";
import { numberOf } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { isMissing, notAFile, tooLarge } from "./file-failures.js";
import { boundsOf, CALL, checkOptions } from "./known-options.js";
import { Listing } from "./listing.js";
import type { Calls } from "./scoped-calls.js";
import { sendSource } from "./send-source.js";
import type { PathInfo } from "./types.js";
import type { ArchiveResult, CopyOptions, ReadOptions, WriteOptions } from "./vm-file-options.js";
import { COPY_OPTIONS, READ_OPTIONS, WRITE_OPTIONS } from "./vm-file-options.js";
import {
  type DirectoryEntry,
  FileWatcher,
  listDirectory,
  MKDIR_OPTIONS,
  type MkdirOptions,
  pathOf,
  REMOVE_PATH_OPTIONS,
  type RemovePathOptions,
  type RenameOptions,
  renamePath,
  type VmPath,
  type WatchOptions,
} from "./vm-paths.js";

/** The first part of every name in an archive whose place is found when it is unpacked. */
const UNPLACED = "copy";
const DEFAULT_MAX_READ_BYTES = 256 * 1024 * 1024;

/** The files of one VM. Reading needs it to run; writing does not. */
export class VmFiles {
  readonly #transport: Calls;
  readonly #vm: string;

  constructor(transport: Calls, vm: string) {
    this.#transport = transport;
    this.#vm = vm;
  }

  /** What lstat(2) says. @throws KilnError not_found where there is no such path */
  async stat(path: string, options: CallOptions = {}): Promise<PathInfo> {
    checkOptions("vm.fs.stat()", options, CALL);
    const json = await this.#transport.unary("VmService/StatPath", { vm: this.#vm, path }, options);
    return {
      name: json.name ?? "",
      size: numberOf(json.size),
      mode: json.mode ?? 0,
      modifiedAt: json.mtime === undefined ? undefined : new Date(json.mtime),
      linkTarget: json.linkTarget ?? "",
      // A guest booted by an older kiln says it in words only.
      linkTargetBytes: json.linkTargetBytes
        ? Buffer.from(json.linkTargetBytes, "base64")
        : Buffer.from(json.linkTarget ?? ""),
    };
  }

  /** Whether there is something at the path, a dangling link too. */
  async exists(path: string, options: CallOptions = {}): Promise<boolean> {
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  /**
   * What a directory holds, by name. Await it for an array, or iterate it.
   *
   * ```ts
   * for await (const { name, type, size } of vm.fs.list("/etc")) console.log(type, size, name);
   * ```
   */
  list(path: VmPath, options: CallOptions = {}): Listing<DirectoryEntry> {
    return new Listing(() => listDirectory(this.#transport, this.#vm, path, options));
  }

  /** Makes a directory. @returns false where it was there already, which only `recursive` allows */
  async mkdir(path: VmPath, options: MkdirOptions = {}): Promise<boolean> {
    checkOptions("vm.fs.mkdir()", options, MKDIR_OPTIONS);
    const { recursive = false, mode = 0o755, uid = 0, gid = 0 } = options;
    const request = { vm: this.#vm, ...pathOf(path), recursive, mode, uid, gid };
    return (await this.#transport.unary("VmService/MakeDirectory", request, options)).made ?? false;
  }

  /** Removes a file, a link or an empty directory; with `recursive` a directory with all that is in it. */
  async remove(path: VmPath, options: RemovePathOptions = {}): Promise<void> {
    checkOptions("vm.fs.remove()", options, REMOVE_PATH_OPTIONS);
    const { recursive = false, force = false } = options;
    const request = { vm: this.#vm, ...pathOf(path), recursive, force };
    await this.#transport.unary("VmService/RemovePath", request, options);
  }

  /** Renames or moves within one file system of the VM. */
  async rename(from: VmPath, to: VmPath, options: RenameOptions = {}): Promise<void> {
    await renamePath(this.#transport, this.#vm, [from, to], options);
  }

  /**
   * What happens to a file, to what is in a directory, or with `recursive` to all below it. Once this has resolved
   * nothing is missed; a restart of kilnd ends it with `connection-lost`.
   *
   * ```ts
   * await using changes = await vm.fs.watch("/srv", { recursive: true });
   * for await (const { kind, path } of changes) console.log(kind, path);
   * ```
   */
  watch(path: VmPath, options: WatchOptions = {}): Promise<FileWatcher> {
    return FileWatcher.open(this.#transport, this.#vm, path, options);
  }

  /** The file's bytes. Links are followed. */
  async read(path: string, options: ReadOptions = {}): Promise<Uint8Array> {
    checkOptions("vm.fs.read()", options, READ_OPTIONS);
    const { readTar } = await import("../base/tar-stream.js");
    const archive = this.readArchive(path, { ...boundsOf(options), followLink: true });
    const maxBytes = options.maxBytes ?? DEFAULT_MAX_READ_BYTES;
    for await (const { entry, data } of readTar(archive)) {
      if (entry.type !== "file") throw notAFile(path, entry.type);
      if (entry.size > maxBytes) throw tooLarge(path, entry.size, maxBytes);
      const chunks: Uint8Array[] = [];
      for await (const chunk of data) chunks.push(chunk);
      return Buffer.concat(chunks);
    }
    throw notAFile(path, "nothing");
  }

  /** The file as UTF-8 text. */
  async readText(path: string, options: ReadOptions = {}): Promise<string> {
    return Buffer.from(await this.read(path, options)).toString("utf8");
  }

  /**
   * Makes or replaces one file. Its directory must exist: in a VM that does not run, at its next start.
   *
   * ```ts
   * await vm.fs.write("/srv/hello.txt", "hi");
   * ```
   */
  async write(path: string, data: string | Uint8Array, options: WriteOptions = {}): Promise<void> {
    checkOptions("vm.fs.write()", options, WRITE_OPTIONS);
    const { encodeTarHeader, paddingOf } = await import("../base/tar-format.js");
    const { TAR_END } = await import("../base/tar-stream.js");
    const name = fileName(path);
    const content = typeof data === "string" ? Buffer.from(data) : data;
    const header = encodeTarHeader({
      name: latin1(name),
      type: "file",
      mode: options.mode ?? 0o644,
      uid: options.uid ?? 0,
      gid: options.gid ?? 0,
      size: content.byteLength,
      mtimeMs: Date.now(),
      linkName: "",
    });
    const parts = [header, content, Buffer.alloc(paddingOf(content.byteLength)), TAR_END];
    await this.writeArchive(parentName(path), parts, { ...boundsOf(options), keepOwner: true });
  }

  /**
   * Copies a local file or directory into the VM, with the rules of `docker cp`: `dir` goes into an existing
   * directory, `dir/.` means its contents. Into a VM that does not run it is copied at the next start, and the rules
   * are applied then.
   *
   * ```ts
   * await vm.fs.copyIn("./site/.", "/usr/share/nginx/html");
   * ```
   */
  async copyIn(localPath: string, vmPath: string, options: CopyOptions = {}): Promise<ArchiveResult> {
    checkOptions("vm.fs.copyIn()", options, COPY_OPTIONS);
    const { localSource } = await import("./copy-local.js");
    const { packTree } = await import("./tree-pack.js");
    const source = await localSource(localPath, options.followLink);
    const target = await this.targetNow(vmPath, options);
    const pack = (name: string | undefined) =>
      packTree(source.path, { name: latin1(name), followLink: source.followLink, onSkip: options.onSkip });
    if (target === undefined) return this.#leave(vmPath, source, pack(UNPLACED), options);
    const plan = planCopy(source, target);
    return this.writeArchive(plan.directory, pack(plan.name), options);
  }

  /**
   * Copies a file or directory of the VM to the local file system, with the rules of `docker cp`. Nothing is written
   * outside of `localPath`, whatever the guest sends.
   *
   * ```ts
   * await vm.fs.copyOut("/var/log/nginx", "./logs");
   * ```
   */
  async copyOut(vmPath: string, localPath: string, options: CopyOptions = {}): Promise<ArchiveResult> {
    checkOptions("vm.fs.copyOut()", options, COPY_OPTIONS);
    const { planCopyOut } = await import("./copy-local.js");
    const { renameRoot, RootWitness } = await import("../base/copy-plan.js");
    const { extractTree } = await import("./tree-extract.js");
    const { notCopied } = await import("./tree-pack.js");
    const source = await this.source(vmPath, options);
    const plan = await planCopyOut(source, localPath);
    const archive = this.readArchive(source.path, { ...options, followLink: source.followLink });
    const witness = new RootWitness(source.path);
    const extracted = await extractTree(archive, plan.directory, {
      rename: witness.watch(renameRoot(source.path, latin1(plan.name))),
      keepOwner: options.keepOwner,
      onSkip: (path, why) => {
        // The only entry: it is what was asked for.
        if (!source.isDirectory) throw notCopied(source.path, why.replace(/ are not copied$/, ""));
        options.onSkip?.(path, why);
      },
    });
    witness.require();
    return { ...extracted, pending: false };
  }

  /** Copies a file or directory of this VM into another one, with the rules of `docker cp`. */
  async copyTo(
    path: string,
    target: VmFiles,
    targetPath: string,
    options: CopyOptions = {},
  ): Promise<ArchiveResult> {
    checkOptions("vm.fs.copyTo()", options, COPY_OPTIONS);
    const { renameRoot, RootWitness } = await import("../base/copy-plan.js");
    const { renameTar } = await import("../base/tar-stream.js");
    const source = await this.source(path, options);
    const place = await target.targetNow(targetPath, options);
    const plan = place === undefined ? undefined : planCopy(source, place);
    const archive = this.readArchive(source.path, { ...options, followLink: source.followLink });
    const name = plan === undefined ? UNPLACED : latin1(plan.name);
    const witness = new RootWitness(source.path);
    const renamed = witness.guard(renameTar(archive, witness.watch(renameRoot(source.path, name))));
    if (plan === undefined) return target.#leave(targetPath, source, renamed, options);
    return target.writeArchive(plan.directory, renamed, options);
  }

  /** A path as a tar stream, whose names begin with the path's base name. Not reading on stops the guest. */
  async *readArchive(path: string, options: CopyOptions = {}): AsyncGenerator<Uint8Array, void> {
    checkOptions("vm.fs.readArchive()", options, COPY_OPTIONS);
    yield* withEntries(cleanPath(path), this.#receive(path, options));
  }

  async *#receive(path: string, options: CopyOptions): AsyncGenerator<Uint8Array, void> {
    const request = { vm: this.#vm, path, followLink: options.followLink ?? false };
    for await (const message of this.#transport.serverStream("VmService/ReadArchive", request, options)) {
      if (message.data !== undefined) yield Buffer.from(message.data, "base64");
    }
  }

  /** Unpacks a tar stream below a directory of the VM, which must exist. */
  writeArchive(
    directory: string,
    source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    options: CopyOptions = {},
  ): Promise<ArchiveResult> {
    return this.#send({ directory }, source, options);
  }

  /** For a VM that does not run: docker's rules are applied where the guest can be looked at. */
  #leave(
    target: string,
    source: CopySource,
    archive: AsyncIterable<Uint8Array>,
    options: CopyOptions,
  ): Promise<ArchiveResult> {
    const { path, isDirectory } = source;
    const copy = { name: baseName(path), isDirectory, contents: isDirectory && wantsContents(path) };
    return this.#send({ directory: cleanPath(target), copy }, archive, options);
  }

  async #send(
    place: { readonly directory: string; readonly copy?: CopySourceJson },
    source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    options: CopyOptions,
  ): Promise<ArchiveResult> {
    checkOptions("vm.fs.writeArchive()", options, COPY_OPTIONS);
    const stream = this.#transport.stream("VmService/WriteArchive", options);
    const start = { start: { vm: this.#vm, ...place, keepOwner: options.keepOwner ?? false } };
    const json = await sendSource(stream, start, source);
    return {
      entries: numberOf(json?.entries),
      bytes: numberOf(json?.bytes),
      pending: json?.pending ?? false,
    };
  }

  /** What is at a path, as the source of a copy; the path comes back clean. */
  async source(
    path: string,
    options: CopyOptions = {},
  ): Promise<{ path: string; isDirectory: boolean; followLink: boolean }> {
    const clean = cleanPath(path);
    const info = await this.stat(clean, boundsOf(options));
    // "link/" and "link/." are the directory behind the link for the guest's kernel too.
    const followLink = options.followLink === true && isLink(info);
    const kind = followLink ? (await this.target(clean, options)).kind : undefined;
    return { path: clean, followLink, isDirectory: kind === "directory" || isDirectory(info) };
  }

  /** What is at a path, links followed, as the target of a copy. */
  target(path: string, options: CallOptions = {}): Promise<CopyTarget> {
    return findTarget(path, async (at) => {
      try {
        return await this.stat(at, boundsOf(options));
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  /** The same; undefined where the VM does not run, so that nobody can say. */
  async targetNow(path: string, options: CallOptions = {}): Promise<CopyTarget | undefined> {
    try {
      return await this.target(path, options);
    } catch (error) {
      if (STANDING_STILL.some((reason) => hasReason(error, reason))) return undefined;
      throw error;
    }
  }
}

/** Of VMs that were not started yet, or have ended. */
const STANDING_STILL = ["vm-created", "vm-exited", "vm-failed"];

/** A name as archives carry it. */
function latin1<Name extends string | undefined>(name: Name): Name;
function latin1(name: string | undefined): string | undefined {
  return name === undefined ? undefined : Buffer.from(name).toString("latin1");
}
