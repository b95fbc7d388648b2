// Makes a VM: everything checked before anything is made, then image, base, kernel, and last one directory that
// appears by a rename. Whatever fails or is cancelled leaves nothing but what is worth keeping (image, base, kernel).

import { join } from "node:path";
import { anySignal } from "../../base/abort.js";
import { Code, KilnError } from "../../base/errors.js";
import { newId } from "../../base/ids.js";
import { UndoStack } from "../../base/undo.js";
import { formatPlatform, parsePlatform } from "../../image/index.js";
import type { Platform, RegistryCredentials, StoredImage } from "../../image/types.js";
import type { StoredKernel } from "../../kernel/types.js";
import { requireMountable, requireSources } from "../attach/mounts.js";
import { requirePublishMode, requireWayIn } from "../attach/port-rules.js";
import { notReady, type WorkOptions } from "../common/shared-work.js";
import { type Base, baseKeyOf, cowBase } from "../disks/bases.js";
import { explainUnusable, isImagesFault } from "../disks/unusable-image.js";
import { guestPlatform, requireAsked, requireRunnable } from "../host/guest-platform.js";
import { requireDisk } from "../host/host.js";
import { dropImage } from "../images/drop-image.js";
import { type Keeping, leaseFound } from "../objects/lease-found.js";
import { VmLog } from "../output/vm-log.js";
import { effectiveConfig } from "../vm/effective-config.js";
import { VmEntry, vmKind } from "../vm/entry.js";
import type { Mount } from "../vm/mount-config.js";
import type { NetworkAttachment } from "../vm/network-config.js";
import { planProgram } from "../vm/plan.js";
import type { VmRecord } from "../vm/record.js";
import type { VmStatus } from "../vm/status.js";
import { usesOf, vmRef } from "../vm/uses.js";
import { validateConfig } from "../vm/validate.js";
import type { VmConfig } from "../vm/vm-config.js";
import { emitVmEvent } from "../vm/vm-events.js";
import { type EngineContext, isoNow } from "./context.js";
import { takeMounts } from "./create-mounts.js";
import { takeNetworks } from "./create-networks.js";

/** When an image is fetched for a new VM: where it is not here, in any case, never. */
export type PullPolicy = "missing" | "always" | "never";

export interface CreateRequest {
  readonly config: VmConfig;
  readonly pull: PullPolicy;
  readonly credentials?: ReadonlyMap<string, RegistryCredentials>;
  /** What it is made of in place of what its configuration names, which is not looked for: for VMs of kiln's own. */
  readonly image?: StoredImage;
}

/**
 * @throws KilnError invalid_argument for what can't be, already_exists `name-in-use`, not_found `image-not-found`,
 *   resource_exhausted for what the host lacks, failed_precondition `not-ready` under `readyOnly`, and what pull and
 *   build say
 */
export async function createVm(
  ctx: EngineContext,
  request: CreateRequest,
  options: WorkOptions,
): Promise<VmEntry> {
  const egress = request.config.egress === "" ? ctx.settings.egress : request.config.egress;
  const config = validateConfig({ ...request.config, egress }, ctx.host.facts);
  requireMountable(config.mounts);
  requirePublishMode(config, ctx.rooms.bridges?.publishes ?? false);
  const guest = await checkVmm(ctx, config);
  const platform = config.platform === "" ? guest : parsePlatform(config.platform);
  requireRunnable(guest, platform, `image ${config.image}`, "microVMs run their host's architecture");
  // A kernel that is not there is refused before an image is fetched.
  if (config.kernel !== "") await ctx.kernels.choose(config.kernel, options);
  await requireSources(ctx.rooms.shares, config.mounts);
  const id = newId();
  await using undo = new UndoStack();
  const { name, release } = ctx.vms.takeName(config.name, id);
  undo.push("give the name back", release);
  await requireDisk(ctx.host, `create VM ${name}`, ctx.dataRoot, 0, ctx.settings.diskReserveBytes);
  // Let go of before anything is undone: an image that is of no use goes too.
  await using leases = new UndoStack();
  const needs = await gather(ctx, { id, name, config, platform, request }, { ...options, undo, leases });
  options.signal?.throwIfAborted();
  const record = planRecord(ctx, { id, name, config }, needs);
  undo.push("remove the VM's files", () => ctx.store.remove(id));
  const status = await makeDirectory(ctx, record, needs.base);
  // The last look: who left while the files were made would never learn of this VM.
  options.signal?.throwIfAborted();
  // From here on it uses what was leased for it.
  const entry = makeEntry(ctx, record, status);
  ctx.vms.add(entry);
  undo.commit();
  emitVmEvent(ctx, entry, "create");
  return entry;
}

interface Wanted {
  readonly id: string;
  readonly name: string;
  readonly config: VmConfig;
  readonly platform: Platform;
  readonly request: CreateRequest;
}

/** What a VM stands on. */
interface Needs {
  readonly image: StoredImage;
  readonly mounts: Mount[];
  readonly networks: NetworkAttachment[];
  readonly base: Base;
  readonly kernel: StoredKernel;
  readonly uid: number | undefined;
}

interface Gathering extends WorkOptions {
  readonly undo: UndoStack;
  /** What has been gathered stays until these are let go of. */
  readonly leases: UndoStack;
}

async function gather(ctx: EngineContext, wanted: Wanted, how: Gathering): Promise<Needs> {
  const { id, config } = wanted;
  const { undo, leases } = how;
  // What is still sought when something else has failed is given up.
  const failed = new AbortController();
  leases.push("give up what is sought", () => failed.abort());
  const options = { ...how, signal: anySignal(failed.signal, how.signal) };
  const { references } = ctx;
  const keeping = { references, leases, why: `VM ${wanted.name} is being made`, signal: options.signal };
  // Before an image is fetched: what is refused of them need not wait for that.
  const networks = await takeNetworks(ctx, { ...wanted, egress: config.egress }, config.networks, keeping);
  if (config.publishMode === "nft")
    for (const port of config.publish)
      requireWayIn({ id, config: { ...config, networks } }, port, ctx.networks);
  const own = wanted.request.image;
  const { image, isNew } =
    own === undefined
      ? await takeImage(ctx, wanted, config.image, options, keeping)
      : { image: own, isNew: false };
  requireAsked(wanted.platform, image.platform, config.image);
  const key = { noun: "base", id: baseKeyOf(image, config.diskBytes) } as const;
  const lease = await references.leaseAfterRemoval(key, keeping.why, options.signal);
  leases.push("let go of the base", lease.release);
  // Beside the base's and the kernel's own looks.
  const taking = ctx.ownership.allocate(id);
  undo.push("give the user back", async () => ctx.ownership.release(id, await taking.catch(() => undefined)));
  const [uid, base, kernel] = await Promise.all([
    taking,
    ctx.bases.ensure(image, config.diskBytes, options).catch((error: unknown) => {
      // A user who only wanted to run it has no use for an image that can't be.
      if (isNew && isImagesFault(error)) undo.push("remove the image", () => dropImage(ctx, image));
      throw error;
    }),
    leaseFound(keeping, {
      find: () => ctx.kernels.choose(config.kernel, options),
      refOf: (found) => ({ noun: "kernel", id: found.id }),
      isHere: (found) => ctx.kernels.has(found.id),
    }),
  ]);
  const mounts = await takeMounts(ctx, config.mounts, {
    ...{ ...options, keeping, undo },
    takeImage: async (name) => (await takeImage(ctx, wanted, name, options, keeping)).image,
  });
  return { image, base, kernel, uid, mounts, networks };
}

async function takeImage(
  ctx: EngineContext,
  { platform, request }: Wanted,
  name: string,
  options: WorkOptions,
  keeping: Keeping,
): Promise<{ image: StoredImage; isNew: boolean }> {
  return leaseFound(keeping, {
    find: () => findImage(ctx, name, platform, request, options),
    refOf: ({ image }) => ({ noun: "image", id: image.id }),
    isHere: ({ image }) => ctx.rooms.images.find(image.id) !== undefined,
  });
}

function planRecord(
  ctx: EngineContext,
  { id, name, config }: Pick<Wanted, "id" | "name" | "config">,
  { image, base, kernel, uid, mounts, networks }: Needs,
): VmRecord {
  const plan = planProgram(config, image.run, base.hasInit);
  const { args, env, ports, directories, ...program } = plan;
  return {
    version: 1,
    id,
    createdAt: isoNow(ctx),
    config: {
      ...effectiveConfig(config, image.run, plan),
      name,
      imageId: image.id,
      mounts,
      networks,
      platform: formatPlatform(image.platform),
    },
    program: {
      ...program,
      args: [...args],
      env: [...env],
      ports: [...ports],
      directories: [...directories],
    },
    base: base.key,
    kernelId: kernel.id,
    ...(uid === undefined ? {} : { uid }),
  };
}

/** Whatever is made of the VM on disk: its directory with the cow and both records. */
function makeDirectory(ctx: EngineContext, record: VmRecord, base: Base): Promise<VmStatus> {
  return ctx.store.create(record, async (directory) => {
    const cow = join(directory, "cow");
    await ctx.rooms.disks.createCow(cow, cowBase(base));
    await ctx.ownership.give(cow, record.uid);
  });
}

/** The in-memory side of a VM on disk. */
export function makeEntry(
  ctx: EngineContext,
  record: VmRecord,
  status: VmStatus,
  recordFlaw?: string,
): VmEntry {
  const { store, lock, settings, now } = ctx;
  const log = new VmLog(store.logDirectory(record.id), settings.logLimits, now);
  const kind = vmKind({ files: store.files, lock });
  ctx.references.set(vmRef(record.id), usesOf(record));
  return new VmEntry(kind, { id: record.id, record, status, recordFlaw }, log);
}

/** A VMM that can't run this VM is a refusal now, not a failure at its start. @returns what its guests run */
async function checkVmm(ctx: EngineContext, config: VmConfig): Promise<Platform> {
  const { driver, probe } = await ctx.rooms.vmms.choose(config.vmm || ctx.settings.vmm);
  const most = probe.capabilities?.maxVcpus ?? config.cpus;
  if (config.cpus > most) {
    throw new KilnError(
      Code.InvalidArgument,
      `${config.cpus} CPUs were asked for, ${driver.kind} gives at most ${most}`,
      {
        reason: "too-many-cpus",
      },
    );
  }
  return guestPlatform(ctx.host.facts, probe);
}

async function findImage(
  ctx: EngineContext,
  name: string,
  platform: Platform,
  request: CreateRequest,
  options: WorkOptions,
): Promise<{ image: StoredImage; isNew: boolean }> {
  const { images } = ctx.rooms;
  if (request.pull !== "always") {
    const found = images.find(name);
    if (found !== undefined) return { image: found, isNew: false };
    if (request.pull === "never") {
      throw new KilnError(Code.NotFound, `no image ${name} here, and --pull=never was given`, {
        reason: "image-not-found",
        hint: `pull it with \`kiln pull ${name}\``,
      });
    }
  }
  if (options.readyOnly) throw notReady(`pull ${name}`);
  await requireDisk(ctx.host, `pull ${name}`, ctx.dataRoot, 0, ctx.settings.diskReserveBytes);
  const known = new Set(images.list().map(({ id }) => id));
  const { signal, onProgress } = options;
  const asked = { platform, signal, onProgress, credentials: request.credentials };
  const image = await images.pull(name, asked).catch((error: unknown) => {
    throw explainUnusable(error);
  });
  ctx.events.emit({ type: "image", action: "pull", id: image.id, attributes: { name } });
  return { image, isNew: !known.has(image.id) };
}
