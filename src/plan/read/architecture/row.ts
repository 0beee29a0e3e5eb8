import type { Draft, Feed, LayerKind, Table } from "../../../cost/blueprint.ts";
import type { Config } from "../../../family/config.ts";
import { feedAt } from "../feed.ts";
import { type Attending, groupedAt, type Traits } from "../grouped.ts";
import { latentAt } from "../latent.ts";
import type { Settings } from "../settings.ts";

/** How an architecture differs from Llama: what its configs leave out, and what its layers have. */
export interface Architecture extends Traits {
  /** Values of keys that configs leave out. */
  readonly defaults?: Config;
  /** Puts keys that lie elsewhere under the names that are read. */
  readonly rename?: (config: Config) => Config;
  /** Parameters of a norm per dim: 2 with a bias, 0 without any; 1 unless given. */
  readonly norm?: 0 | 1 | 2;
  /** Norms in a block; 2 unless given. */
  readonly norms?: number | ((config: Config) => number);
  /** Parameters in no layer beside the last norm: positions, biases of the head. */
  readonly extra?: (s: Settings, config: Config) => number;
  /** Tables beside those of the vocabulary. */
  readonly tables?: (s: Settings, config: Config) => readonly Table[];
  /** Layers that propose further tokens; where a config has some and this is not given, a note says that they are not counted. */
  readonly draft?: (s: Settings, layers: readonly LayerKind[], config: Config) => Draft | undefined;
  readonly attention: (s: Settings, i: number, traits: Traits, config: Config) => Attending;
  readonly feed: (s: Settings, i: number, traits: Traits, config: Config) => Feed;
}

type Given = Omit<Architecture, "attention" | "feed"> & Partial<Pick<Architecture, "attention" | "feed">>;
/** One whose layers have grouped heads and a gated MLP unless given. */
export const grouped = (traits: Given = {}): Architecture => ({ attention: groupedAt, feed: feedAt, ...traits });
/** One whose layers are MLA and have a gated MLP unless given. */
export const latent = (traits: Given = {}): Architecture => ({ attention: latentAt, feed: feedAt, ...traits });

export const tied = { tie_word_embeddings: true };
/** A size is in configs of models that use no window. */
export const unwindowed = { use_sliding_window: false };
