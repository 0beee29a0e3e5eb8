import type { Costed, Sizes } from "../../attention/define.ts";

type Axes = Readonly<Record<string, string | undefined>>;

/** What a model adds to a variant: parameters, parts of a state, and FLOPs of each new token. */
export interface More {
  readonly params?: (z: Sizes) => Axes;
  readonly state?: (z: Sizes) => Readonly<Record<string, string>>;
  readonly token?: (z: Sizes) => number;
}

/** A variant with more parameters, state and work per token, under a name of its own, by which layers are told apart. */
export function extend(variant: Costed, name: string, more: More): Costed {
  const forms = Object.entries(variant.forms).map(([form, own]) => {
    const cost: typeof own.cost = (z) => {
      const plain = own.cost(z);
      return { ...plain, token: plain.token + (more.token?.(z) ?? 0) };
    };
    return [form, { ...own, cost }];
  });
  const { state } = more;
  return {
    ...variant,
    name,
    params: (z) => ({ ...variant.params(z), ...more.params?.(z) }),
    ...(state && { state: (z: Sizes) => ({ ...variant.state?.(z), ...state(z) }) }),
    forms: Object.fromEntries(forms),
  };
}
