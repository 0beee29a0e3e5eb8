"""The model as Hugging Face's transformers take it: AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)."""

import torch
from torch.nn.functional import cross_entropy
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .attention import Cache
from .model import build, run


class BiformConfig(PretrainedConfig):
    model_type = "biform"


class Caches(list):
    """One cache for each layer, as generate() asks for its length."""

    is_compileable = False

    def get_seq_length(self, layer=0):
        return self[layer].length if self else 0

    def get_max_cache_shape(self):
        return None


class BiformForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = BiformConfig
    supports_gradient_checkpointing = True
    _no_split_modules = ["Block"]
    _is_stateful = True

    def __init__(self, config):
        super().__init__(config)
        build(self, config.to_dict())
        self.post_init()

    def _init_weights(self, module):
        """Weights come from Biform; none are made here."""

    def get_input_embeddings(self):
        return None

    def get_output_embeddings(self):
        return None

    def _set_gradient_checkpointing(self, enable=True, gradient_checkpointing_func=None):
        self.checkpointing = enable

    def forward(self, input_ids, attention_mask=None, labels=None, past_key_values=None, use_cache=False, form=None, **_):
        """Logits, the loss of labels (each of the token at its place, -100 where none counts), and caches where asked.

        form: the form of attention that runs; the first of each layer unless given. Padding is not supported.
        """
        if attention_mask is not None and not bool(attention_mask.all()):
            raise ValueError("attention_mask: got padding, expected sequences of one length; run them one at a time")
        if past_key_values is None and use_cache:
            past_key_values = Caches(Cache() for _ in self.layers)
        logits = run(self, input_ids, form, past_key_values)
        loss = None
        if labels is not None:
            loss = cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)

    def _prepare_cache_for_generation(self, generation_config, model_kwargs, *_, **__):
        model_kwargs["past_key_values"] = Caches(Cache() for _ in self.layers)

    def prepare_inputs_for_generation(self, input_ids, past_key_values=None, attention_mask=None, **_):
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        return {"input_ids": input_ids[:, past:], "past_key_values": past_key_values, "attention_mask": attention_mask, "use_cache": True}


BiformConfig.register_for_auto_class()
BiformForCausalLM.register_for_auto_class("AutoModelForCausalLM")
