// The generated client of a service of the agent's, whose calls fail with KilnErrors alone. Every call passes here, so
// that none can be forgotten.

import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { fromAgent } from "./errors.js";

type AnyCall = (request: unknown, options: unknown) => Promise<unknown> | AsyncIterable<unknown>;

/** As createClient, but for what its calls fail with. */
export function clientOver<S extends DescService>(service: S, transport: Transport): Client<S> {
  const raw = createClient(service, transport) as Readonly<Record<string, AnyCall>>;
  const calls = service.methods.map(({ localName }) => [localName, translated(raw[localName])] as const);
  return Object.fromEntries(calls) as unknown as Client<S>;
}

function translated(call: AnyCall | undefined): AnyCall | undefined {
  if (call === undefined) return undefined;
  return (request, options) => {
    const answer = call(request, options);
    return Symbol.asyncIterator in answer ? answersOf(answer) : answer.catch(fail);
  };
}

/** As Connect's own: it can be read on, and neither thrown into nor returned from. */
function answersOf<T>(answers: AsyncIterable<T>): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = answers[Symbol.asyncIterator]();
      return { next: () => iterator.next().catch(fail) };
    },
  };
}

function fail(error: unknown): never {
  throw fromAgent(error);
}
