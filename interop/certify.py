"""Logits of checkpoints in transformers, unpatched, beside those of the first: certify.py ORIGINAL CONVERTED...

Prints for each checkpoint and type the class that loaded it, the largest difference of logits relative to the original's largest
logit in float64, and whether all greedy tokens agree. Needs torch and transformers.
"""

import sys

import torch
import transformers
from transformers import AutoModelForCausalLM


def logits(path: str, ids: torch.Tensor, dtype: torch.dtype) -> tuple[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="eager").eval()
    with torch.no_grad():
        return type(model).__name__, model(ids).logits.double()


def main(paths: list[str]) -> None:
    if len(paths) < 2:
        sys.exit("certify.py: got fewer than two folders, expected ORIGINAL and CONVERTED")
    vocabulary = transformers.AutoConfig.from_pretrained(paths[0]).vocab_size
    ids = torch.tensor([[(i * 37 + 11) % min(500, vocabulary) for i in range(40)]])
    _, expected = logits(paths[0], ids, torch.float64)
    size = expected.abs().max()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {ids.shape[1]} tokens")
    for path in paths:
        for dtype in (torch.float64, torch.float32):
            name, found = logits(path, ids, dtype)
            far = ((found - expected).abs().max() / size).item()
            same = bool((found.argmax(-1) == expected.argmax(-1)).all())
            print(f"{path}\t{name}\t{str(dtype)[6:]}\t{far:.1e}\tgreedy {'the same' if same else 'differs'}")


if __name__ == "__main__":
    main(sys.argv[1:])
