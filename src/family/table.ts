import { linear, type Rows, type Source, type Sources, vector } from "./source.ts";

/**
 * Where one parameter lies: in a folder under the hub's name, and in a GGUF file. GGUF has some in several ways, each under a name
 * of ours; the first is the one that is written unless another is asked for. None: GGUF files have no such parameter.
 */
export interface Place {
  readonly hub: Source;
  readonly gguf: Readonly<Record<string, Source>>;
}

/** The places of a layer's parameters. One that is undefined does not exist at these sizes. */
export type Table = Readonly<Record<string, Place | undefined>>;

/** The places of all of a model's parameters under their full names. */
export type Places = ReadonlyMap<string, Place>;

/** How MLA's up-projections lie in a GGUF file: key and value apart, as newer files have them, or joined as in a folder. */
export type MlaLayout = "absorbed" | "joint";

/** A matrix `[out, in]`, a gain or bias `[n]`, or some of its rows, that folder and GGUF file have alike under two names. */
export function place(
  hub: string,
  gguf: string,
  shape: readonly [out: number, inputs: number] | readonly [n: number],
  rows?: Rows,
): Place {
  const source = (tensor: string) =>
    shape.length === 1 ? vector(tensor, shape[0], rows) : linear(tensor, shape[0], shape[1], rows);
  return { hub: source(hub), gguf: { usual: source(gguf) } };
}

/** The place whose tensors' names follow these prefixes. */
export function within(prefixes: { readonly hub: string; readonly gguf: string }, { hub, gguf }: Place): Place {
  const under = (prefix: string, source: Source): Source => ({
    ...source,
    tensors: source.tensors.map((name) => prefix + name),
  });
  return {
    hub: under(prefixes.hub, hub),
    gguf: Object.fromEntries(Object.entries(gguf).map(([way, source]) => [way, under(prefixes.gguf, source)])),
  };
}

/** Where a folder has the parameters. */
export function hubSources(places: Places): Sources {
  return new Map([...places].map(([name, { hub }]) => [name, hub]));
}

/** Where a GGUF file that has certain tensors has the parameters: of several ways, the first whose tensors are there. */
export function ggufSources(places: Places, has: (tensor: string) => boolean): Sources {
  return choose(places, (ways) => Object.values(ways).find(({ tensors }) => tensors.every(has)));
}

/** Where a GGUF file of that layout is to have the parameters. */
export function ggufTargets(places: Places, layout: MlaLayout): Sources {
  return choose(places, (ways) => ways[layout]);
}

/** The chosen way of each parameter that GGUF files have, or else its usual one. */
function choose(places: Places, pick: (ways: Place["gguf"]) => Source | undefined): Sources {
  return new Map(
    [...places].flatMap(([name, { gguf }]) => {
      const source = pick(gguf) ?? Object.values(gguf)[0];
      return source ? [[name, source] as const] : [];
    }),
  );
}
