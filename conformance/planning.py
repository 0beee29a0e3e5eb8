"""What vLLM 0.33's own planner makes of the layers of some models: records of engines.json, one a line.

    pip download --no-deps vllm==0.33.0 && unzip -q vllm-0.33.0-*.whl -d vllm-0.33 && python planning.py vllm-0.33

Needs torch. Of vLLM only the files in `own` run; whatever else they import is a stand-in, since their arithmetic asks nothing of it.
The layers' specs are written down here as the model's own files make them, each beside the file's name.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import json
import logging
import sys
import types
from unittest.mock import MagicMock

import torch

root = sys.argv[1]
own = {
    "vllm.v1.kv_cache_interface",
    "vllm.v1.kv_cache_layout",
    "vllm.v1.kv_cache_spec_registry",
    "vllm.v1.core.kv_cache_planning",
    "vllm.v1.core.kv_cache_config_builder",
    "vllm.v1.core.single_type_kv_cache_manager",
    "vllm.utils.math_utils",
}


class Stand(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        known = {
            "get_dtype_size": lambda kind: torch.empty(0, dtype=kind).element_size(),
            "init_logger": logging.getLogger,
            "MultipleOf": type("MultipleOf", (), {}),
        }
        return self.__dict__.setdefault(name, known.get(name, MagicMock(name=name)))


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] != "vllm":
            return None
        if name in own:
            return importlib.util.spec_from_file_location(name, f"{root}/{name.replace('.', '/')}.py")
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = Stand(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, Finder())
import vllm.v1.core.kv_cache_planning as planning  # noqa: E402
import vllm.v1.kv_cache_interface as kinds  # noqa: E402

planning.get_hisparse_kv_cache_groups = lambda *_: None


def settings(context):
    """Of a server whose requests are this long and write a token at a time."""
    config = MagicMock()
    config.model_config.max_model_len = context
    config.max_in_flight_tokens = 1
    config.num_speculative_tokens = 0
    config.speculative_config = None
    config.cache_config.mamba_cache_mode = "align"
    config.cache_config.get_resolved_kv_cache_layout.return_value.is_block_outermost = True
    config.scheduler_config.disable_hybrid_kv_cache_manager = False
    config.parallel_config.decode_context_parallel_size = 1
    config.parallel_config.prefill_context_parallel_size = 1
    return config


def reusing(block, row, align, stride):
    """vllm/models/deepseek_v41/attention.py, compressor.py: DeepSeek-V4.1-Flash; index keys of 128 float8 and a scale."""
    packed = {"num_kv_heads": 1, "dtype": torch.uint8, "alignment": align}
    latent = {**packed, "head_size": 512, "cache_dtype_str": "fp8_ds_mla", "model_version": "deepseek_v4", "state_content_bytes": row}
    specs = {}
    for i in range(40):
        every = {2: 2, 8: 2, 14: 2, 20: 1}.get(i)
        if every:
            specs[f"{i}"] = kinds.MLAAttentionSpec(block_size=block, tokens_per_state=every, **latent)
            specs[f"{i}.index"] = kinds.MLAAttentionSpec(block_size=block, tokens_per_state=every, head_size=132, **packed)
        if every == 2:
            ring = {"num_kv_heads": 1, "head_size": 1024, "head_size_v": 0, "dtype": torch.float32}
            specs[f"{i}.ring"] = kinds.CircularBufferSpec(block_size=8, **ring)
        window = {"sliding_window": 128, "max_tp_shards": 1, "block_stride_alignment": stride}
        specs[f"{i}.window"] = kinds.SlidingWindowMLASpec(block_size=32, **latent, **window)
    return specs


def indexed(layers, choosing, block, main, index):
    """Full attention in all layers and the key of an index in those that choose tokens."""
    specs = {}
    for i in range(layers):
        specs[f"{i}"] = main(block_size=block)
        if i in choosing:
            specs[f"{i}.index"] = kinds.MLAAttentionSpec(block_size=block, num_kv_heads=1, **index)
    return specs


def minimax(**block):
    """vllm/models/minimax_m3/nvidia/model.py, common/indexer.py."""
    return kinds.FullAttentionSpec(num_kv_heads=4, head_size=128, head_size_v=128, dtype=torch.bfloat16, **block)


def latent(**block):
    return kinds.MLAAttentionSpec(num_kv_heads=1, head_size=576, dtype=torch.bfloat16, **block)


def delta(layers, group, heads, dim, taps):
    """KDA beside MLA: vllm/model_executor/models/bailing_moe_v3.py; the block as vllm/platforms/interface.py raises it."""
    shapes = ((3 * heads * dim, taps), (heads, dim, dim))
    types_ = (torch.bfloat16, torch.float32)
    state = 2 * 3 * heads * dim * taps + 4 * heads * dim * dim
    block = 128 * -(-state // (128 * 2 * 576))
    page = block * 2 * 576
    specs = {}
    for i in range(layers):
        if (i + 1) % group == 0:
            specs[f"{i}"] = latent(block_size=block)
        else:
            mode = {"mamba_cache_mode": "align", "page_size_padded": page}
            specs[f"{i}"] = kinds.MambaSpec(block_size=block, shapes=shapes, dtypes=types_, **mode)
    return specs


def pooled(row, measure, ranks=1, **kind):
    """vllm/models/glm5next/common (attention.py, kda.py): GLM-5.3-Flash, whose prompts FlashKDA reads."""
    heads, dim, taps = 64 // ranks, 128, 3
    state = 2 * 3 * heads * dim * taps + 4 * heads * dim * dim
    block = 128 * -(-state // (128 * measure))
    specs = {}
    for i in range(45):
        if i % 4 < 3:
            shapes = ((3 * heads * dim, taps), (heads, dim, dim))
            mode = {"mamba_cache_mode": "align", "num_prefill_checkpoint_blocks": 1, "prefill_checkpoint_alignment": 16}
            types_ = (torch.bfloat16, torch.float32)
            specs[f"{i}"] = kinds.MambaSpec(block_size=block, shapes=shapes, dtypes=types_, page_size_padded=block * measure, **mode)
            continue
        one = {"num_kv_heads": 1, "max_tp_shards": 1, "block_size": block}
        specs[f"{i}"] = kinds.MLAAttentionSpec(head_size=512, **one, **kind)
        specs[f"{i}.index"] = kinds.MLAAttentionSpec(head_size=132, dtype=torch.uint8, tokens_per_state=4, **one)
        ring = {"num_kv_heads": 2, "head_size": 128, "head_size_v": 0, "dtype": torch.bfloat16, "dcp_sharded": False}
        specs[f"{i}.ring"] = kinds.CircularBufferSpec(block_size=4, **ring)
    return specs


def choosing(ranks=1, kind=torch.bfloat16, **checkpoints):
    """vllm/models/qwen4_exp (nvidia/qsa.py, indexer_qsa.py, ple_layer.py, common/qsa_cache.py): Qwen3.8-Flash-Next."""
    heads, dim, taps, kept = 48 // ranks, 128, 3, max(1, 2 // ranks)
    channels = (2 * 16 + 48) * dim // ranks
    state = 2 * channels * taps + 4 * heads * dim * dim
    row = kind.itemsize * 2 * 256 * kept
    block = 16 * -(-state // (16 * row))
    mode = {"block_size": block, "mamba_cache_mode": "align", "page_size_padded": block * row, **checkpoints}
    table = {"shapes": ((4 * 2560, 9),), "dtypes": (torch.bfloat16,), "tp_replicated": True}
    specs = {"1.table": kinds.MambaSpec(**table, **mode)}
    for i in range(48):
        if i % 4 < 3:
            types_ = (torch.bfloat16, torch.float32)
            specs[f"{i}"] = kinds.MambaSpec(shapes=((channels, taps), (heads, dim, dim)), dtypes=types_, **mode)
            continue
        one = {"num_kv_heads": 1, "dtype": torch.bfloat16}
        sizes = {"num_kv_heads": kept, "head_size": 256, "head_size_v": 256, "dtype": kind}
        specs[f"{i}"] = kinds.FullAttentionSpec(block_size=block, **sizes)
        specs[f"{i}.index"] = kinds.MLAAttentionSpec(block_size=block, head_size=128, tokens_per_state=4, **one)
        specs[f"{i}.ring"] = kinds.CircularBufferSpec(block_size=4, head_size=140, head_size_v=0, **one)
    return specs


def windowed(layers, whole, window, heads, dim):
    """Layers that see a window and, where `whole` says so, layers that see everything."""
    sizes = {"block_size": 16, "num_kv_heads": heads, "head_size": dim, "head_size_v": dim, "dtype": torch.bfloat16}
    return {
        f"{i}": kinds.FullAttentionSpec(**sizes) if whole(i) else kinds.SlidingWindowSpec(sliding_window=window, **sizes)
        for i in range(layers)
    }


def tell(name, version, context, specs, kind="float16", engine="vLLM", ranks=1):
    """A record: tokens and bytes of a block, and the blocks that a request of `context` tokens holds between two steps."""
    config = settings(context)
    layout = config.cache_config.get_resolved_kv_cache_layout()
    groups = planning.get_kv_cache_groups(config, specs)
    held = [group.kv_cache_spec for group in groups]
    full = [spec.block_size for spec in specs.values() if isinstance(spec, kinds.FullAttentionSpec)]
    record = {
        "engine": engine,
        "version": f"0.33.0{version}",
        "source": "vllm/v1/core/kv_cache_planning.py of vLLM 0.33.0, run by planning.py",
        "model": {"name": name},
        "settings": {"context": context, "keyType": kind, "valueType": kind, **({"tensor": ranks} if ranks > 1 else {})},
        "pool": {
            "block": full[0],
            "blockBytes": planning._get_kv_cache_bytes_per_block(groups, layout),
            "requestBlocks": sum(-(-spec.max_memory_usage_bytes(config) // spec.page_size_bytes) for spec in held),
        },
    }
    print(json.dumps(record))


keys = {"head_size": 128, "dtype": torch.bfloat16}
scaled = {"head_size": 132, "dtype": torch.uint8}
tell("deepseek-v4.1-flash", " on Hopper", 131072, reusing(64, 584, 576, None), "float8", "vLLM, FlashMLA")
tell("deepseek-v4.1-flash", " on Blackwell", 1048576, reusing(128, 528, 512, 528), "float8", "vLLM, FlashMLA")
tell("minimax-m3", "", 131072, indexed(60, range(3, 60), 128, minimax, keys))
tell("hy4-preview", "", 131072, indexed(78, [0, *range(1, 78, 4)], 64, latent, scaled))
tell("ling-3.0-tiny", "", 131072, delta(24, 4, 16, 128, 3))
tell("ling-3.0-flash", "", 100000, delta(42, 6, 32, 128, 3))
plain, packed = {"dtype": torch.bfloat16}, {"dtype": torch.uint8, "cache_dtype_str": "fp8_ds_mla", "state_content_bytes": 656}
tell("glm-5.3-flash", " on FlashKDA", 131072, pooled(1024, 1024, **plain))
tell("glm-5.3-flash", " on FlashKDA", 131072, pooled(656, 512, **packed), "float8", "vLLM, FlashMLA")
tell("glm-5.3-flash", " on FlashKDA", 131072, pooled(656, 512, 8, **packed), "float8", "vLLM, FlashMLA", 8)
exported = {"num_prefill_checkpoint_blocks": 1, "prefill_checkpoint_alignment": 64}
tell("qwen3.8-flash-next", " on Triton", 131072, choosing())
tell("qwen3.8-flash-next", " on FlashInfer", 131072, choosing(**exported))
tell("qwen3.8-flash-next", " on Triton", 262144, choosing(kind=torch.uint8), "float8")
tell("qwen3.8-flash-next", " on FlashInfer", 131072, choosing(8, **exported), ranks=8)
tell("deepseek-v3.2", "", 163840, indexed(61, range(61), 64, latent, scaled))
tell("gpt-oss-120b", "", 131072, windowed(36, lambda i: i % 2, 128, 8, 64))
tell("gemma-3-27b", "", 131072, windowed(62, lambda i: (i + 1) % 6 == 0, 1024, 16, 128))
