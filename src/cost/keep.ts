import {
  type Cost,
  type Costed,
  type Costing,
  cacheOf,
  formNames,
  numbersIn,
  present,
  type Sizes,
  stateValues,
} from "../attention/define.ts";
import { onceUnfolded } from "../attention/unfold.ts";
import type { LayerKind } from "./blueprint.ts";

/** What is cached, and what is computed: `expanded` keys and values per head, or `absorbed` latents that all heads share. */
export type CachedForm = "expanded" | "absorbed";

/** What one layer keeps in one form: its numbers, and the attention as it is with that cache. */
export interface Kept {
  readonly attention: Costing;
  /** Numbers of an entry; of those, the ones that stay float32, and those that an indexer reads for all entries. */
  readonly values: number;
  readonly exact: number;
  readonly index: number;
  /** Entries that a query attends to, where an indexer chooses them. */
  readonly chosen?: number | undefined;
  /** Numbers of a state of fixed size, always float32. */
  readonly state: number;
  /** The form's name in the variant by the form it computes in. */
  readonly forms: { readonly expanded: string; readonly absorbed?: string | undefined };
}

/** What a layer can keep, by form. */
export interface KeptForms {
  readonly expanded: Kept;
  /** Of a variant that unfolds what it declares. */
  readonly absorbed?: Kept;
}

const known = new WeakMap<Costing, KeptForms>();

/**
 * What a layer can keep. A variant that unfolds what it declares can keep either; every other has one form, called expanded,
 * whatever forms it runs in.
 */
export function keptOf({ attention }: Pick<LayerKind, "attention">): KeptForms {
  const found = known.get(attention);
  if (found) return found;
  const [first, second] = formNames(attention.variant, attention.sizes);
  const kept: KeptForms = attention.variant.unfolded
    ? {
        expanded: keep(expandCache(attention, first!), { expanded: first! }),
        absorbed: keep(attention, { expanded: first!, absorbed: second }),
      }
    : { expanded: keep(attention, { expanded: first! }) };
  known.set(attention, kept);
  return kept;
}

/** What a layer keeps where the model keeps this form: its own form where it has one alone. */
export function keptAs(kind: Pick<LayerKind, "attention">, form: CachedForm): Kept {
  const { expanded, [form]: own = expanded } = keptOf(kind);
  return own;
}

function keep(attention: Costing, forms: Kept["forms"]): Kept {
  const { variant, sizes } = attention;
  return {
    attention,
    ...numbersOf(variant, sizes),
    chosen: variant.reads && sizes.m ? sizes.m : undefined,
    state: stateValues(variant, sizes),
    forms,
  };
}

function numbersOf(variant: Costed, sizes: Sizes): Pick<Kept, "values" | "exact" | "index"> {
  let [values, exact, index] = [0, 0, 0];
  for (const [name, axes] of cacheOf(variant, sizes)) {
    const numbers = numbersIn(axes, sizes);
    values += numbers;
    if (variant.exact?.includes(name)) exact += numbers;
    if (axes === "i") index += numbers;
  }
  return { values, exact, index };
}

/**
 * The attention with keys and values per head (or per group) as its cache. A rotary key that heads share is in each of their keys,
 * as engines lay it: h (n + r + v) numbers for MLA.
 */
function expandCache({ variant, ...rest }: Costing, form: string): Costing {
  const { unfolded, reads, ...others } = variant;
  const { over, cost, ...run } = variant.forms[form]!;
  /** Asked for at every step of a search, of one layer's sizes. */
  let [asked, numbers]: [Sizes?, ReturnType<typeof numbersOf>?] = [];
  const kept: Costed = {
    ...others,
    cache(z) {
      const parts = present(unfolded!(z));
      const owner = parts.some(([, axes]) => axes.startsWith("g ")) ? "g" : "h";
      return Object.fromEntries(parts.map(([name, axes]) => [name, axes === "r" ? `${owner} r` : axes]));
    },
    // An indexer reads its own keys of all entries, and the layer the rest of those that it chooses.
    ...(reads && {
      reads(z, context) {
        if (asked !== z) [asked, numbers] = [z, numbersOf(kept, z)];
        const { values, index } = numbers!;
        return index * context + (values - index) * Math.min(z.m ?? context, context);
      },
    }),
    forms: { [form]: { ...run, cost: (z): Cost => onceUnfolded(cost(z)) } },
  };
  return { ...rest, variant: kept };
}
