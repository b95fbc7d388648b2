// A guest that asks for many things at once and loses its server in the middle of most rounds.

import assert from "node:assert/strict";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { O } from "../fixtures/nine-calls.js";
import { type NineClient, T, text, u16, u32 } from "../fixtures/nine-client.js";
import type { SeededRandom } from "../fixtures/seeded-random.js";
import type { ShareBench } from "./share-bench.js";

export class BusyGuest {
  asked = 0;
  deaths = 0;
  again = 0;
  readonly #bench: ShareBench;
  readonly #random: SeededRandom;
  #client: NineClient | undefined;
  /** What has to be there, by name. */
  readonly #names = new Map<string, "file" | "directory" | "link">();

  constructor(bench: ShareBench, random: SeededRandom) {
    this.#bench = bench;
    this.#random = random;
  }

  async run(rounds: number): Promise<void> {
    const first = await this.#bench.calls();
    this.#client = first.client;
    for (let round = 0; round < rounds; round++) await this.#round(round);
  }

  /** Each name is one request's alone: their order does not matter, but that each is done once does. */
  async #round(round: number): Promise<void> {
    let client = this.#client as NineClient;
    const wanted = Array.from({ length: 1 + this.#random.below(12) }, (_, index) => this.#plan(round, index));
    const fids = Object.fromEntries(
      wanted.flatMap(({ fid }) => (fid === undefined ? [] : [[fid, [] as string[]]])),
    );
    for (const fid of Object.keys(fids)) await client.ask(T.walk, [u32(0), u32(Number(fid)), u16(0)]);
    const dies = this.#random.below(4) > 0;
    const stops = this.#random.below(wanted.length + 1);
    const answers = wanted.map(({ type, parts }, index) => {
      if (dies && index === stops) this.#bench.process.kill("SIGSTOP");
      const answer = client.ask(type, parts, 100 + index);
      answer.catch(() => undefined);
      return answer;
    });
    this.asked += wanted.length;
    if (dies) {
      if (this.#random.below(2) === 0)
        await Promise.race(answers.slice(0, stops).concat(Promise.resolve(Buffer.alloc(0))));
      await this.#bench.kill();
      this.deaths++;
      await Promise.allSettled(answers);
      this.#bench.start();
      const held = client.unanswered();
      const open = Object.entries(fids).filter(([fid]) =>
        held.some(({ tag }) => wanted[tag - 100]?.fid === Number(fid)),
      );
      const next = await this.#bench.resume(Object.fromEntries(open));
      this.again += held.length;
      await Promise.all(await next.replay(client));
      client = next;
      // What was answered before the death is the dead server's fid.
      for (const [fid] of open) await client.ask(T.clunk, [u32(Number(fid))]);
    } else {
      await Promise.all(answers);
      for (const fid of Object.keys(fids)) await client.ask(T.clunk, [u32(Number(fid))]);
    }
    this.#client = client;
  }

  #plan(round: number, index: number): { type: number; parts: Buffer[]; fid?: number } {
    const name = `${round}-${index}`;
    const [old] = [...this.#names].filter(
      ([known, kind]) => kind !== "directory" && !known.startsWith(`${round}-`),
    );
    const kind = this.#random.below(old === undefined ? 3 : 5);
    if (kind === 0) {
      this.#names.set(name, "file");
      const fid = 1000 + index;
      return {
        type: T.lcreate,
        parts: [u32(fid), text(name), u32(O.rdwr | O.excl), u32(0o600), u32(0)],
        fid,
      };
    }
    if (kind === 1) {
      this.#names.set(name, "directory");
      return { type: T.mkdir, parts: [u32(0), text(name), u32(0o755), u32(0)] };
    }
    if (kind === 2 || old === undefined) {
      this.#names.set(name, "link");
      return { type: T.symlink, parts: [u32(0), text(name), text("x"), u32(0)] };
    }
    this.#names.delete(old[0]);
    if (kind === 3) return { type: T.unlinkat, parts: [u32(0), text(old[0]), u32(0)] };
    this.#names.set(name, old[1]);
    return { type: T.renameat, parts: [u32(0), text(old[0]), u32(0), text(name)] };
  }

  async check(): Promise<void> {
    assert.deepEqual((await readdir(this.#bench.root)).sort(), [...this.#names.keys()].sort());
    for (const [name, kind] of this.#names) {
      const is = await lstat(join(this.#bench.root, name));
      assert.equal(is.isFile() ? "file" : is.isDirectory() ? "directory" : "link", kind, name);
    }
  }
}
