/** A model as a folder of Python: a module for each kind of attention that it has, and what all of them build on. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Attention } from "../attention/layer.ts";
import { ownConfig } from "../family/biform.ts";
import type { Config } from "../family/config.ts";
import type { Model } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { writeVariant } from "./variant.ts";

/** A file of a package, by its name. */
export interface PythonFile {
  readonly name: string;
  readonly text: string;
}

/** What every package has, whatever its attentions are. */
const shared = [
  "__init__.py",
  "attend.py",
  "attention.py",
  "delta.py",
  "flex.py",
  "model.py",
  "modeling_biform.py",
  "ops.py",
] as const;

/** The kinds of attention of some models, and which of them each attention is. */
export class Kinds {
  readonly #files = new Map<string, { readonly className: string; readonly text: string }>();
  readonly #known = new Map<string, string>();

  /** The name of an attention's kind. Throws DeviceError for an attention that has no words in Python. */
  of(attention: Attention): string {
    const { className, text } = writeVariant(attention);
    const known = this.#known.get(text);
    if (known) return known;
    const slug = className.toLowerCase();
    let name = slug;
    for (let i = 2; this.#files.has(name); i++) name = `${slug}${i}`;
    this.#files.set(name, { className, text });
    this.#known.set(text, name);
    return name;
  }

  /** Each kind's name. */
  names(): string[] {
    return [...this.#files.keys()];
  }

  /** A module for each kind, those that all packages have, and the list of kinds. */
  files(): PythonFile[] {
    const kinds = [...this.#files];
    const list = [
      '"""The attentions of this package by the names that its configs have for them."""',
      "",
      ...kinds.map(([name, { className }]) => `from .${name} import ${className} as ${name}`),
      "",
      `kinds = {${kinds.map(([name]) => `"${name}": ${name}`).join(", ")}}`,
      "",
    ];
    return [
      ...kinds.map(([name, { text }]) => ({ name: `${name}.py`, text })),
      { name: "kinds.py", text: list.join("\n") },
      ...shared.map((name) => ({ name, text: readPython(name) })),
    ];
  }
}

/** A piece of Python as it is shipped. */
export function readPython(name: string): string {
  return readFileSync(fileURLToPath(new URL(`../../src/torch/python/${name}`, import.meta.url)), "utf8");
}

/**
 * A model's config.json for a package: Biform's own format, of which kind each layer's attention is with its scale on scores, and the
 * classes that transformers load. Throws FormatError for a model of experts, which have no Python here.
 */
export function pythonConfig(model: Model, kinds: Kinds, others: Config = {}): Config {
  const routed = model.layers.findIndex(({ feed }) => feed.kind === "experts");
  if (routed >= 0)
    throw new FormatError(
      `layer ${routed}: got a choice of experts, expected a dense MLP; experts have no Python here yet`,
    );
  return {
    ...ownConfig(model, others),
    auto_map: {
      AutoConfig: "modeling_biform.BiformConfig",
      AutoModelForCausalLM: "modeling_biform.BiformForCausalLM",
    },
    python: model.layers.map(({ attention }) => ({
      kind: kinds.of(attention),
      scale: attention.scale ?? attention.variant.scale(attention.sizes),
    })),
  };
}
