"""What a serving engine's own parser makes of command lines: engines.py vllm|sglang, a JSON list of words on each line of its input.

Prints its version, then for each line what each option came to, or the parser's refusal; of a folder that is here also what the engine
makes of its config.json: the class, the type of numbers, and whether one latent is cached for all heads. Nothing is loaded or run.
"""

import argparse
import json
import os
import sys


class Refused(Exception):
    pass


def refuse(self, message):
    raise Refused(message)


def vllm():
    import vllm
    import vllm.platforms
    from vllm.platforms.cpu import CpuPlatform

    # Without a GPU it names no platform, and its parser wants one for its defaults.
    vllm.platforms._current_platform = CpuPlatform()
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.common.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))

    def read(words):
        args = parser.parse_args(words[2:])
        args.model = args.model_tag
        validate_parsed_serve_args(args)
        # Of a name on the hub it would ask there.
        load = lambda: AsyncEngineArgs.from_cli_args(args).create_model_config()
        return args, load if os.path.isdir(args.model) else None

    def model(config):
        return dict(classes=config.architectures, dtype=str(config.dtype).removeprefix("torch."), latent=config.use_mla)

    return vllm.__version__, read, model


def sglang():
    import sglang
    from sglang.srt.configs.model_config import AttentionArch, ModelConfig
    from sglang.srt.server_args import ServerArgs

    parser = argparse.ArgumentParser()
    ServerArgs.add_cli_args(parser)

    def read(words):
        args = parser.parse_args(words[3:])
        path = args.model_path
        load = lambda: ModelConfig(path, dtype=args.dtype, context_length=args.context_length)
        return args, load if os.path.isdir(path) else None

    def model(config):
        return dict(
            classes=config.hf_config.architectures,
            dtype=str(config.dtype).removeprefix("torch."),
            latent=config.attention_arch == AttentionArch.MLA,
        )

    return sglang.__version__, read, model


def main(engine):
    argparse.ArgumentParser.error = refuse
    version, read, model = {"vllm": vllm, "sglang": sglang}[engine]()
    print(json.dumps(dict(version=version)), flush=True)
    for line in sys.stdin:
        try:
            args, load = read(json.loads(line))
        except Refused as error:
            print(json.dumps(dict(refused=str(error))), flush=True)
            continue
        told = dict(options=vars(args), model=model(load()) if load else None)
        print(json.dumps(told, default=str), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
