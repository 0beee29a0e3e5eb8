"""What vLLM 0.33.0 and SGLang 0.5.23 say of their own command lines and models: writes launch.json beside this file.

    pip download --no-deps vllm==0.33.0 sglang==0.5.23 && python launch.py vllm-*.whl sglang-*.whl

Nothing of either is run: flags and classes are read from the text of their sources.
"""

import json
import pathlib
import re
import sys
import zipfile

vllm, sglang = (zipfile.ZipFile(path) for path in sys.argv[1:3])


def text(wheel, name):
    return wheel.read(name).decode()


def table(source, name):
    """The keys of a dict that stands at the margin."""
    body = re.search(name + r"\s*(?::[^=]*)?=\s*\{(.*?)^\}", source, re.S | re.M).group(1)
    return re.findall(r'^\s*"(\w+)":', body, re.M)


arguments = "vllm/engine/arg_utils.py"
registry = text(vllm, "vllm/model_executor/models/registry.py")
cache = re.search(r"CacheDType = Literal\[(.*?)\]", text(vllm, "vllm/config/cache.py"), re.S).group(1)
classes = {name for part in ("_TEXT_GENERATION_MODELS", "_MULTIMODAL_MODELS", "_TRANSFORMERS_SUPPORTED_MODELS") for name in table(registry, part)}
speculative = text(vllm, "vllm/config/speculative.py")
literals = re.findall(r"\w+ = Literal\[(.*?)\]\n", speculative, re.S)
override = speculative[speculative.index("def hf_config_override") :]
override = override[: override.index("\n    def ", 1)]
online = text(vllm, "vllm/model_executor/layers/quantization/__init__.py")

fields = [name for name in sglang.namelist() if re.fullmatch(r"sglang/srt/arg_groups/fields/\w+\.py", name)]
flags, values = set(), []
for name in fields:
    source = text(sglang, name)
    for field, body in re.findall(r"^    (\w+): A\[\n(.*?)^    \]", source, re.S | re.M):
        if "no_cli=True" in body:
            continue
        own = re.search(r'cli_name="([^"]+)"', body)
        flags.add(own.group(1) if own else "--" + field.replace("_", "-"))
        aliases = re.search(r"aliases=\[(.*?)\]", body, re.S)
        flags.update(re.findall(r'"(--[^"]+)"', aliases.group(1) if aliases else ""))
        if field == "kv_cache_dtype":
            values = re.findall(r'"([^"]+)"', re.search(r"choices=\[(.*?)\]", body, re.S).group(1))
    flags.update("--" + field.replace("_", "-") for field in re.findall(r"^    (\w+): A\[[^\n]*\] = ", source, re.M))

own = set()
for name in sglang.namelist():
    if re.fullmatch(r"sglang/srt/models/.*\.py", name):
        entry = re.search(r"^EntryClass\s*(?::[^=]+)?=\s*(\[[^\]]*\]|\w+)", text(sglang, name), re.M)
        own.update(re.findall(r"\b[A-Z]\w+", entry.group(1)) if entry else [])

pathlib.Path(__file__).with_name("launch.json").write_text(
    json.dumps(
        {
            "vLLM": {
                "version": "0.33.0",
                "source": f"{arguments}, vllm/config/cache.py, vllm/model_executor/models/registry.py",
                "flags": sorted(set(re.findall(r'"(--[a-z][\w-]*)"', text(vllm, arguments)))),
                "cacheTypes": re.findall(r'"(\w+)"', cache),
                "quantizations": re.findall(r'^    "([\w-]+)",', online, re.M),
                "classes": sorted(classes),
                "methods": sorted({name for literal in literals for name in re.findall(r'"(\w+)"', literal)}),
                "proposing": sorted(set(re.findall(r'"(\w+)"', override)) - {"architectures", "n_predict"}),
            },
            "SGLang": {
                "version": "0.5.23",
                "source": "sglang/srt/arg_groups/fields, EntryClass of sglang/srt/models",
                "flags": sorted(flags),
                "cacheTypes": values,
                "classes": sorted(own),
            },
        },
        indent=None,
        separators=(",", ":"),
    ).replace('"SGLang"', '\n"SGLang"')
    + "\n"
)
