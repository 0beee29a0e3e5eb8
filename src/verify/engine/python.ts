import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Answer, askProgram, type Silence } from "./program.ts";

/** The Python that is asked: the one that BIFORM_PYTHON names, that of the interop suite, or the system's. */
function pythonOf(): string {
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const own = [join(root, "interop", ".venv", "bin", "python"), join(root, "..", "interop", ".venv", "bin", "python")];
  return process.env.BIFORM_PYTHON ?? own.find((path) => existsSync(path)) ?? "python3";
}

/** transformers' logits of a folder in float64 and float32, unpatched, and the numbers that lie in its cache afterwards. */
export function askTransformers(folder: string, ids: readonly number[]): Promise<Answer | Silence> {
  return askProgram(pythonOf(), ["-c", transformers, JSON.stringify({ folder, ids })], undefined);
}

const transformers = `
import base64, json, sys
said = json.loads(sys.argv[1])
import torch, transformers
from transformers import AutoModelForCausalLM
ids = torch.tensor([said["ids"]])
runs, cache, taken = [], None, None
for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
    model = AutoModelForCausalLM.from_pretrained(said["folder"], dtype=dtype, attn_implementation="eager").eval()
    taken = type(model).__name__
    with torch.no_grad():
        out = model(ids, use_cache=True)
    logits = out.logits[0].float().contiguous()
    runs.append({"numbers": name, "logits": base64.b64encode(logits.numpy().tobytes()).decode()})
    kept = out.get("cache", None) or out.get("past_key_values", None)
    layers = getattr(kept, "layers", [])
    cache = sum(t.numel() for layer in layers for t in (layer.keys, layer.values)) // ids.shape[1] or None
    del model
print(json.dumps({"version": f"transformers {transformers.__version__}, torch {torch.__version__}", "taken": taken, "cache": cache, "runs": runs}))
`;

/** How vLLM reads a folder's config, without running it: the class of its registry, what it keeps of a token, and how much of that. */
export function askVllm(folder: string): Promise<Answer | Silence> {
  return askProgram(pythonOf(), ["-c", vllm, folder], undefined);
}

const vllm = `
import json, sys
import vllm
from vllm.config import ModelConfig
config = ModelConfig(model=sys.argv[1], skip_tokenizer_init=True)
text = config.hf_text_config
head = config.get_head_size()
layers = text.num_hidden_layers
latent = config.use_mla
groups = config.get_total_num_kv_heads()
# Whole keys of latents have both parts, which its classes take from here; the config's head_dim is the turned one alone.
if not latent and getattr(text, "qk_nope_head_dim", None) is not None:
    head = text.qk_nope_head_dim + text.qk_rope_head_dim
cache = layers * (head if latent else 2 * groups * head)
# The class that its registry has for the architecture: "generic" ones are read by transformers' own code.
info, taken = config.registry.inspect_model_cls(config.architectures, config)
if config.using_transformers_backend():
    # What that keeps is known once its modules are there.
    cache = None
else:
    taken += f", keeps a latent of {head}" if latent else f", keeps {groups} keys and values of {head}"
print(json.dumps({"version": f"vllm {vllm.__version__}", "taken": taken, "cache": cache}))
`;
