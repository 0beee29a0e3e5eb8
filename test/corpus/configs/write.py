"""Writes transformers.jsonl anew and counts the parameters of both files' models (README.md beside this).

python write.py  with transformers 5.24.0 and torch 2.13.0; nothing is downloaded, and no weights are made.
"""

import json
import pathlib
import tempfile

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as SEEING,
)

HERE = pathlib.Path(__file__).parent
# Encoders, and decoders of before rotary embeddings that nobody plans for.
SKIP = set(
    "bart bert bert-generation big_bird bigbird_pegasus biogpt blenderbot blenderbot-small camembert codegen cpmant ctrl "
    "data2vec-text electra ernie fuyu git got_ocr2 gpt-sw3 gpt_neox_japanese marian mbart megatron-bert moshi "
    "moss_transcribe_diarize musicgen musicgen_melody mvp openai-gpt pegasus plbart prophetnet reformer rembert roberta "
    "roberta-prelayernorm roc_bert roformer trocr whisper xglm xlm xlm-roberta xlm-roberta-xl xlnet xmod".split()
)
SEE = (
    "mistral3 mistral4 glm5_next minimax_m3_vl kimi_k25 exaone4_5 lfm2_vl step3p7 inkling_mm_model muse_glimmer muse_spark "
    "nemotron_h_omni glm4v glm4v_moe ernie4_5_vl_moe hunyuan_vl qwen3_omni_moe_thinker qwen2_5_omni_thinker qwen2_vl "
    "qwen2_5_vl qwen3_vl qwen3_vl_moe deepseek_ocr2 molmo2 dots3_note hy_v4_vl"
).split()
# What some classes leave out and their models cannot do without.
MORE = {
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "ministral": {"head_dim": 128},
    "dots1": {"n_routed_experts": 128, "num_experts_per_tok": 6, "n_shared_experts": 2},
}
LEFT_OUT = set(
    "transformers_version architectures _name_or_path id2label label2id output_hidden_states return_dict output_attentions "
    "problem_type dtype chunk_size_feed_forward is_encoder_decoder initializer_range pad_token_id bos_token_id eos_token_id "
    "vision_config audio_config".split()
)
ENCODERS = ("visual", "vision", "audio", "projector", "multi_modal")


def strip(value):
    if isinstance(value, dict):
        return {key: strip(inner) for key, inner in value.items() if key not in LEFT_OUT}
    return [strip(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def count(config, seeing):
    """Parameters and persistent buffers of the text model, each once; and the name of its class."""
    with torch.device("meta"):
        model = (AutoModelForImageTextToText if seeing else AutoModelForCausalLM).from_config(config)
    model.tie_weights()
    found = dict(model.named_parameters())
    for path, module in model.named_modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                found[f"{path}.{name}"] = buffer
    own = {id(tensor): tensor for name, tensor in found.items() if not any(word in name for word in ENCODERS)}
    return sum(tensor.numel() for tensor in own.values()), type(model).__name__


def write():
    with open(HERE / "transformers.jsonl", "w") as file:
        for kind in [kind for kind in CAUSAL if kind not in SKIP] + SEE:
            try:
                config = AutoConfig.for_model(kind, **MORE.get(kind, {}))
                parameters, model = count(config, kind not in CAUSAL)
            except Exception as error:  # the class's own defaults do not make a model
                print(kind, type(error).__name__, error)
                continue
            keys = strip(json.loads(config.to_json_string(use_diff=False)))
            entry = {
                "name": kind,
                "parameters": parameters,
                "config": {"architectures": [model], **keys, "model_type": kind},
            }
            file.write(json.dumps(entry, separators=(",", ":")) + "\n")


def counts():
    entries = [json.loads(line) for line in open(HERE / "hub.jsonl")]
    for entry in entries:
        with tempfile.TemporaryDirectory() as folder:
            keys = {key: value for key, value in entry["config"].items() if key not in ("vision_config", "audio_config")}
            keys.pop("quantization_config", None)
            pathlib.Path(folder, "config.json").write_text(json.dumps(keys))
            try:
                config = AutoConfig.from_pretrained(folder)
                entry["parameters"] = count(config, config.model_type in SEEING and config.model_type not in CAUSAL)[0]
            except Exception as error:  # a type of code beside its weights
                print(entry["name"], type(error).__name__, str(error)[:80])
    with open(HERE / "hub.jsonl", "w") as file:
        for entry in entries:
            keys = ["name", "source", "parameters", "config"]
            file.write(json.dumps({key: entry[key] for key in keys if key in entry}, separators=(",", ":")) + "\n")


write()
counts()
