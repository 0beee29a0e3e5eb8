import { groupOf, repeatKeys } from "../../../convert/grouped.ts";
import type { LatentLayer } from "../../../convert/latent.ts";
import { unfoldLayer } from "../../../convert/latent.ts";
import { type Matrix, pickRows } from "../../../convert/matrix.ts";
import { convertMha2mla, PairLengths } from "../../../convert/mhatomla.ts";
import { readInputs } from "../../../convert/moment.ts";
import { type Factoring, factorings } from "../../../convert/reduce.ts";
import { type Selection, selections } from "../../../convert/select.ts";
import { showInputs, stackOf, walkLayers } from "../../../convert/stack.ts";
import { FormatError } from "../../../tensor/error.ts";
import { type Conversion, sequencesOf, whole } from "./conversion.ts";

/** A conversion by JT-Ushio/MHA2MLA: partial RoPE alone, and with the latent's decomposition. */
export async function convertByMha2mla(conversion: Conversion): Promise<void> {
  const { args, layers } = conversion;
  const selection = oneOf<Selection>(args, "partial_rope_version", selections);
  const factoring = oneOf<Factoring>(args, "svd_init_method", factorings);
  const perHead = args.is_gqa2mha2mla === true;
  const ranks = selection === "2-norm" ? await ranksOf(conversion, perHead) : undefined;
  const converted: LatentLayer[] = [];
  const partial: LatentLayer[] = [];
  for (const [i, layer] of layers.entries()) {
    const how = {
      selection,
      ropeDims: whole(args, "rope_dim_for_mla"),
      start: args.uniform_start_point === undefined ? undefined : whole(args, "uniform_start_point"),
      ranks: ranks?.[i],
      rank: whole(args, "low_rank"),
      perHead,
    };
    const { layer: made, queryRows, keyRows } = convertMha2mla(layer, { ...how, factoring });
    converted.push(made);
    partial.push(convertMha2mla(layer, { ...how, factoring: "none" }).layer);
    conversion.same(`layer${i}.q_rope_row_index`, queryRows);
    conversion.same(`layer${i}.k_rope_row_index`, keyRows);
    // Of heads that share a key or a value, the first: the original has each once.
    const { keys, values } = unfoldLayer(made);
    const groups = perHead ? layer.h : layer.keyGroups;
    conversion.compare(`layer${i}.k_nope_effective`, firstOfGroups(keys, made.n, layer.h, groups));
    conversion.compare(`layer${i}.v_effective`, firstOfGroups(values, made.v, layer.h, layer.valueGroups));
  }
  await conversion.run(partial, { prefill: "logits_partial_rope_only" });
  await conversion.run(converted, { prefill: "logits_converted", decode: "logits_converted_decode" });
}

/** Rows of the first head of each group. */
function firstOfGroups(rows: Matrix, width: number, h: number, groups: number) {
  const heads = Array.from(
    { length: groups },
    (_, g) => Array.from({ length: h }, (_, head) => head).find((head) => groupOf(head, h, groups) === g)!,
  );
  return pickRows(
    rows,
    heads.flatMap((head) => Array.from({ length: width }, (_, i) => head * width + i)),
  ).values;
}

/**
 * Ranks of the pairs of each layer's heads: as the case has them (`[layers, heads, e]` or half as wide, the same for both numbers of a
 * pair), or else found on its ids.
 */
async function ranksOf(
  { layers, tensors, model, weights }: Conversion,
  perHead: boolean,
): Promise<readonly ArrayLike<number>[]> {
  const { e, h, keyGroups } = layers[0]!;
  const heads = perHead ? h : keyGroups;
  for (const [name, { shape, values }] of tensors) {
    const width = shape.at(-1)!;
    if (!/rank|qk/.test(name) || (width !== e && width !== e / 2) || values.length !== layers.length * heads * width)
      continue;
    return layers.map((_, i) =>
      Array.from({ length: heads * (e / 2) }, (_, at) => {
        const [head, pair] = [Math.floor(at / (e / 2)), at % (e / 2)];
        return values[(i * heads + head) * width + pair]!;
      }),
    );
  }
  const lengths = layers.map((layer) => new PairLengths(perHead ? repeatKeys(layer) : layer));
  const ids = sequencesOf(tensors, tensors.has("calibration_ids") ? "calibration_ids" : "input_ids");
  for await (const step of walkLayers(stackOf(model, weights), ids))
    await showInputs(step, async (x) => lengths[step.layer]!.add(await readInputs(x)));
  return lengths.map((each) => each.rank());
}

function oneOf<T extends string>(args: Conversion["args"], key: string, known: readonly T[]): T {
  const found = known.find((one) => one === args[key]);
  if (found === undefined)
    throw new FormatError(
      `manifest.json: args.${key}: got ${JSON.stringify(args[key])}, expected one of ${known.join(", ")}`,
    );
  return found;
}
