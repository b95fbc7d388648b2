import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as v from "valibot";
import { recordOf } from "../../../test/fixtures/fake-vmm.js";
import { hasReason, KilnError } from "../../base/errors.js";
import { UndoStack } from "../../base/undo.js";
import type { VmmCapabilities } from "../../vmm/types.js";
import type { GuestPart } from "../vm/boot-plan.js";
import { VM_RECORD } from "../vm/record.js";
import { attachmentsOf } from "./kinds.js";
import { AttachmentSet } from "./set.js";
import type {
  Attachment,
  AttachmentAt,
  AttachmentKind,
  AttachNeeds,
  Moment,
  Moments,
  VmmPart,
} from "./types.js";

const RECORD = v.parse(VM_RECORD.schema, { version: 1, id: "a".repeat(64) });
const VM = {
  record: RECORD,
  ports: [],
  onNetwork: () => undefined,
  onShare: () => undefined,
  guestPlaces: () => [],
};
const MOMENTS: readonly Moment[] = ["prepare", "launch", "hello"];
const CONTEXTS = {
  prepare: {},
  launch: {
    spec: { cards: [], runDirectory: "/run/vm" },
    vmm: {
      record: await recordOf(0),
      ports: new Map(),
      cardSocket: undefined,
      cardTap: undefined,
      onCardLost: () => () => undefined,
      join: async () => undefined,
    },
  },
  hello: { guest: { session: () => Promise.reject(new Error("no guest")) } },
};
const PLAN = { capabilities: undefined, modules: undefined };

/** Things of the host, each of which one attachment holds; they outlive a kilnd. */
class FakeHost {
  readonly held = new Map<string, number>();
  readonly log: string[] = [];

  change(id: string, by: number): void {
    this.held.set(id, (this.held.get(id) ?? 0) + by);
    assert.ok([0, 1].includes(this.held.get(id) ?? 0), `${id} is held ${this.held.get(id)} times`);
    this.log.push(`${by > 0 ? "+" : "-"}${id}`);
  }

  get rest(): string[] {
    return [...this.held].filter(([, count]) => count !== 0).map(([id]) => id);
  }
}

interface Trait {
  readonly at: Moment;
  readonly acquires: boolean;
  readonly adopts: boolean;
  readonly releases: boolean;
}

/** One that holds something of the host, which goes on when kilnd ends. */
function fake(host: FakeHost, id: string, trait: Trait): Attachment {
  const { at, acquires, adopts, releases } = trait;
  const fails = (what: string) => Promise.reject(new Error(`no ${what} of ${id}`));
  return {
    ...{ kind: "fake", id, at },
    plan: () => ({}),
    guest: () => ({}),
    acquire: async () => (acquires ? host.change(id, 1) : fails("acquire")),
    adopt: async () => (adopts ? undefined : fails("adopt")),
    release: async () => {
      host.change(id, -1);
      if (!releases) await fails("release");
    },
    detach: async () => (releases ? undefined : fails("detach")),
  } as Attachment;
}

const traitOf = (fails: fc.Arbitrary<boolean>) =>
  fc.record({
    at: fc.constantFrom(...MOMENTS),
    acquires: fails,
    adopts: fc.boolean(),
    releases: fc.boolean(),
  });
const mostly = fc.integer({ min: 0, max: 9 }).map((one) => one > 0);

function setOf(host: FakeHost, traits: readonly Trait[], tell: () => void = () => undefined): AttachmentSet {
  return new AttachmentSet(
    traits.map((trait, index) => fake(host, `${trait.at}${index}`, trait)),
    tell,
  );
}

/** As a boot does: each moment on the stack of its step. @returns whether it came to its end */
async function boot(set: AttachmentSet): Promise<boolean> {
  const owned = new UndoStack(() => undefined);
  const attempt = new UndoStack(() => undefined);
  try {
    await set.acquire("prepare", CONTEXTS.prepare, owned);
    await set.acquire("launch", CONTEXTS.launch, attempt);
    await set.acquire("hello", CONTEXTS.hello, attempt);
    return true;
  } catch {
    await attempt.rollback();
    await owned.rollback();
    return false;
  }
}

describe("AttachmentSet", () => {
  it("releases what it has acquired exactly once and in reverse, at whichever it fails", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(traitOf(mostly), { maxLength: 8 }), async (traits) => {
        const host = new FakeHost();
        const set = setOf(host, traits);
        const up = await boot(set);
        assert.equal(
          up,
          traits.every(({ acquires }) => acquires),
        );
        if (up) assert.equal(host.rest.length, traits.length);
        const acquired = [...host.log.filter((word) => word.startsWith("+"))];
        await Promise.all([set.release(), set.release()]);
        assert.deepEqual(host.rest, []);
        assert.deepEqual(
          host.log.slice(acquired.length),
          acquired.map((word) => word.replace("+", "-")).reverse(),
        );
      }),
    );
  });

  it("leaves the same after a kilnd that adopts as after the one that has acquired", async () => {
    const sure = traitOf(fc.constant(true));
    await fc.assert(
      fc.asyncProperty(fc.array(sure, { maxLength: 8 }), async (traits) => {
        const host = new FakeHost();
        const first = setOf(host, traits);
        assert.equal(await boot(first), true);
        await first.detach();
        assert.equal(host.rest.length, traits.length, "kilnd's going costs the VM nothing");
        const refused: string[] = [];
        const second = setOf(host, traits);
        for (const moment of MOMENTS)
          await second.adopt(moment, CONTEXTS[moment] as never, (what) => void refused.push(what));
        assert.equal(refused.length, traits.filter(({ adopts }) => !adopts).length);
        await second.release();
        const lost = traits.flatMap(({ at, adopts }, index) => (adopts ? [] : [`${at}${index}`]));
        assert.deepEqual(host.rest.sort(), lost.sort());
      }),
    );
  });

  it("acquires anew in a second attempt what the first had released, and not what is shared", async () => {
    const host = new FakeHost();
    const traits = MOMENTS.map((at) => ({ at, acquires: true, adopts: true, releases: true }));
    const set = setOf(host, traits);
    const owned = new UndoStack();
    await set.acquire("prepare", CONTEXTS.prepare, owned);
    for (let attempt = 0; attempt < 2; attempt++) {
      const undo = new UndoStack();
      await set.acquire("launch", CONTEXTS.launch, undo);
      await set.acquire("hello", CONTEXTS.hello, undo);
      if (attempt === 0) await undo.rollback();
    }
    await set.release();
    await owned.rollback();
    assert.deepEqual(
      host.log.join(" "),
      ["+prepare0 +launch1 +hello2 -hello2 -launch1", "+launch1 +hello2 -hello2 -launch1 -prepare0"].join(
        " ",
      ),
    );
  });

  it("tells of a release that fails, and goes on with the others", async () => {
    const host = new FakeHost();
    const told: string[] = [];
    const traits = [true, false, true].map((releases) => ({
      ...{ at: "launch" as const, acquires: true, adopts: true, releases },
    }));
    const set = setOf(host, traits, (...args: unknown[]) => void told.push(String(args[0])));
    assert.equal(await boot(set), true);
    await set.release();
    assert.deepEqual([host.rest, told], [[], ["let go of fake launch1"]]);
  });

  it("adds nothing to a VM that has ended meanwhile", async () => {
    const host = new FakeHost();
    const set = setOf(host, []);
    const late = fake(host, "late", { at: "hello", acquires: true, adopts: true, releases: true });
    assert.ok(late.at === "hello");
    const { acquire } = late;
    const adding = set.add(
      {
        ...late,
        acquire: async (context: Moments["hello"]) => {
          await set.release();
          await acquire(context);
        },
      },
      CONTEXTS.hello,
    );
    await assert.rejects(adding, (error) => hasReason(error, "vm-gone"));
    assert.deepEqual([host.log, set.held], [["+late", "-late"], []]);
  });

  it("takes nothing over for a VM that ends meanwhile, and leaves nothing of it", async () => {
    const host = new FakeHost();
    const sure = { at: "launch" as const, acquires: true, adopts: true, releases: true };
    const first = setOf(host, [sure, sure]);
    assert.equal(await boot(first), true);
    await first.detach();
    const next: AttachmentSet = new AttachmentSet(
      [0, 1].map((index) => {
        const one = fake(host, `launch${index}`, sure);
        // The VM ends at the first.
        return { ...one, adopt: async () => (index === 0 ? next.release() : undefined) } as Attachment;
      }),
      assert.fail,
    );
    await next.adopt("launch", CONTEXTS.launch, assert.fail);
    assert.deepEqual([host.rest, next.held], [[], []]);
  });

  it("tells a guest all or nothing: not where one could not be taken over", async () => {
    const host = new FakeHost();
    const set = setOf(host, [{ at: "launch", acquires: true, adopts: false, releases: true }]);
    await set.adopt("launch", CONTEXTS.launch, () => undefined);
    const facts = { capabilities: {} as VmmCapabilities, disks: {} as never, serials: new Map() };
    assert.throws(
      () => set.guest(facts),
      (error) => error instanceof KilnError && /no adopt of/.test(error.message),
    );
  });
});

/** What a kind costs that is to come: a class, and one line in the list of kinds. */
class Volume implements AttachmentAt<"prepare"> {
  readonly kind = "volume";
  readonly at = "prepare";
  readonly id: string;
  isLeased = false;

  constructor(id: string) {
    this.id = id;
  }

  plan(): VmmPart {
    return { disks: [{ id: this.id, path: `/volumes/${this.id}`, readOnly: false }] };
  }

  async acquire(): Promise<void> {
    this.isLeased = true;
  }

  adopt(): Promise<void> {
    return this.acquire();
  }

  guest(): GuestPart {
    return {};
  }

  async release(): Promise<void> {
    this.isLeased = false;
  }

  detach(): Promise<void> {
    return this.release();
  }
}

/** What a VM boots from, for kinds beside it. */
const root: AttachmentKind = () => [
  {
    ...{ kind: "disk", id: "root", at: "prepare" as const },
    plan: () => ({ boot: { base: "/base", cow: "/cow" } }),
    guest: () => ({}),
    acquire: async () => undefined,
    adopt: async () => undefined,
    release: async () => undefined,
    detach: async () => undefined,
  },
];

describe("a kind of attachment that is added", () => {
  it("brings its disks to the VMM behind those that boot, and is acquired and released with all others", async () => {
    const made: Volume[] = [];
    const volumes: AttachmentKind = () =>
      ["data", "logs"].map((id) => made[made.push(new Volume(id)) - 1] as Volume);
    const set = attachmentsOf(VM, {} as AttachNeeds, assert.fail, [root, volumes]);
    assert.equal(await boot(set), true);
    assert.deepEqual(
      set.plan(PLAN).disks.specs.map(({ id }) => id),
      ["base", "cow", "data", "logs"],
    );
    assert.deepEqual(
      made.map(({ isLeased }) => isLeased),
      [true, true],
    );
    await set.release();
    assert.deepEqual(
      made.map(({ isLeased }) => isLeased),
      [false, false],
    );
  });

  it("can't take the place of what a VM boots from", () => {
    const set = attachmentsOf(VM, {} as AttachNeeds, assert.fail, [root, root]);
    assert.throws(
      () => set.plan(PLAN),
      (error) => hasReason(error, "no-root"),
    );
  });
});
