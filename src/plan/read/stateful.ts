import type { Config } from "../../family/config.ts";
import type { Get, Given } from "./special.ts";

// Headers of hybrids, which llama.cpp keeps in few words: sizes of any state under Mamba's names, layers without a cache as those
// with no heads of keys and values.

/** Sizes of Mamba-2 under the hub's names (llama.cpp, conversion of Falcon-H1, Granite 4, Nemotron-H and Mamba-2). */
function mamba(get: Get): Config {
  const [inner, heads] = [get("ssm.inner_size"), get("ssm.time_step_rank")];
  const each = typeof inner === "number" && typeof heads === "number" ? inner / heads : undefined;
  return {
    mamba_d_ssm: inner,
    mamba_n_heads: heads,
    mamba_d_head: each,
    mamba_n_groups: get("ssm.group_count"),
    mamba_d_state: get("ssm.state_size"),
    mamba_d_conv: get("ssm.conv_kernel"),
  };
}

/** Heads of keys and values by layer, whether the header has a list of them or one number. */
function groupsOf({ get, config }: Given): readonly unknown[] {
  const said = get("attention.head_count_kv");
  return Array.isArray(said)
    ? said
    : Array.from({ length: Math.min(4096, Number(config.num_hidden_layers) || 0) }, () => said);
}

const namesBy = (given: Given, state: string, cache: string) =>
  groupsOf(given).map((groups) => (groups === 0 ? state : cache));

/** Layers of Nemotron-H are one half of a block: attention where there are groups, an MLP or experts where those have a width, else Mamba-2. */
function halves(given: Given): Config {
  const { get, config, header } = given;
  const widths = get("feed_forward_length");
  const width = (i: number) => (Array.isArray(widths) ? Number(widths[i]) : 0);
  const sparse = (i: number) =>
    header.outline.tensors.has(`blk.${i}.ffn_gate_inp.weight`) || (width(i) === 0 && hasNoState(given, i));
  const kinds = groupsOf(given).map((groups, i) =>
    Number(groups) > 0 ? "attention" : sparse(i) ? "moe" : width(i) > 0 ? "mlp" : "mamba",
  );
  return { ...mamba(get), layers_block_type: kinds, layer_types: null, num_hidden_layers: config.num_hidden_layers };
}

/** Whether a layer has no state by the tensors that are listed; without a list it is taken to have one. */
const hasNoState = ({ header: { outline } }: Given, i: number) =>
  outline.tensors.size > 0 && !outline.tensors.has(`blk.${i}.ssm_out.weight`);

/** Ways of hybrids by `general.architecture`. */
export const stateful: Readonly<Record<string, (given: Given) => Config>> = {
  lfm2: (given) => ({
    conv_L_cache: given.get("shortconv.l_cache"),
    layer_types: namesBy(given, "conv", "full_attention"),
  }),
  lfm2moe: (given) => ({
    conv_L_cache: given.get("shortconv.l_cache"),
    layer_types: namesBy(given, "conv", "full_attention"),
  }),
  "falcon-h1": ({ get, header }) => ({
    ...mamba(get),
    mamba_rms_norm: [...header.outline.tensors.keys()].some((tensor) => tensor.endsWith(".ssm_norm.weight")),
  }),
  granitehybrid: (given) => ({ ...mamba(given.get), layer_types: namesBy(given, "mamba", "attention") }),
  nemotron_h: halves,
  nemotron_h_moe: (given) => ({
    ...halves(given),
    moe_latent_size: given.get("expert_latent_length"),
  }),
  mamba2: ({ get }) => mamba(get),
  /** Mamba's first kind: its rank of time steps, and attention where there are groups. */
  jamba(given) {
    const { get, config } = given;
    const full = groupsOf(given).flatMap((groups, i) => (Number(groups) > 0 ? [i] : []));
    const [first = 0, second] = full;
    const d = Number(config.hidden_size);
    return {
      mamba_d_state: get("ssm.state_size"),
      mamba_d_conv: get("ssm.conv_kernel"),
      mamba_dt_rank: get("ssm.time_step_rank"),
      mamba_expand: Number(get("ssm.inner_size")) / d,
      attn_layer_offset: first,
      attn_layer_period: second === undefined ? groupsOf(given).length : second - first,
      num_key_value_heads: groupsOf(given).find((groups) => Number(groups) > 0),
    };
  },
  /** Nemotron-NAS: heads, groups and widths by layer, of which any may be none; heads without groups are one matrix (src/models/deci.cpp). */
  deci(given) {
    const { get, config } = given;
    const [heads, widths, d] = [get("attention.head_count"), get("feed_forward_length"), Number(config.hidden_size)];
    const of = (list: unknown, i: number) => Number(Array.isArray(list) ? list[i] : list);
    return {
      num_key_value_heads: null,
      block_configs: groupsOf(given).map((groups, i) => ({
        attention: {
          no_op: of(heads, i) === 0,
          replace_with_linear: of(heads, i) > 0 && groups === 0,
          n_heads_in_group: Number(groups) > 0 ? of(heads, i) / Number(groups) : null,
        },
        ffn: { no_op: of(widths, i) === 0, ffn_mult: of(widths, i) > 0 ? (1.5 * of(widths, i)) / d : null },
      })),
    };
  },
  /** Ranks of what makes decays, steps, gates and the mix of values (src/models/rwkv7.cpp). */
  rwkv7: ({ get }) => ({
    head_dim: get("wkv.head_size"),
    decay_low_rank_dim: get("attention.decay_lora_rank"),
    a_low_rank_dim: get("attention.iclr_lora_rank"),
    v_low_rank_dim: get("attention.value_residual_mix_lora_rank"),
    gate_low_rank_dim: get("attention.gate_lora_rank"),
    num_attention_heads: null,
  }),
  /** KDA has as many heads as attention, and index keys stand for several tokens (src/models/glm5next.cpp). */
  glm5next: (given) => ({
    num_key_value_heads: null,
    layer_types: namesBy(given, "linear_attention", "deepseek_sparse_attention"),
    linear_attn_config: {
      num_heads: given.get("attention.head_count"),
      head_dim: given.get("kda.head_dim"),
      short_conv_kernel_size: given.get("ssm.conv_kernel"),
      lower_bound: given.get("kda.gate_lower_bound"),
    },
    index_kpool: given.get("attention.indexer.kpool") ?? given.get("attention.indexer.block_size"),
  }),
};
