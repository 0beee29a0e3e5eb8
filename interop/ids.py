"""Biform's tokenizers beside the Rust ones, on small files of every kind and on those in folders that are named.

    python interop/ids.py [FOLDER ...]      (with tokenizers==0.23.2; node on the path; --only: the folders alone)

Every text's ids, alone and as a prompt, what they decode to, at once and as a stream, and what random ids decode to, must be the
same, or Biform must refuse the file. Ends with the number of what differs.
"""
import glob
import json
import os
import random
import subprocess
import sys

import tokenizers

from cases import cases
from texts import TEXTS


def theirs(made, texts):
    def attempt(run):
        try:
            return run()
        except BaseException as error:  # a panic of Rust is no Exception
            return f"error: {error}"

    ids = [attempt(lambda: made.encode(text, add_special_tokens=False).ids) for text in texts]
    prompts = [attempt(lambda: made.encode(text).ids) for text in texts]
    return ids, prompts, attempt


def compare(name, text, texts, node, counts):
    try:
        made = tokenizers.Tokenizer.from_str(text)
    except BaseException as error:
        made = error
    rng = random.Random(name)
    lists, expected = [], {}
    if not isinstance(made, BaseException):
        ids, prompts, attempt = theirs(made, texts)
        known = sorted(made.get_vocab(True).values())
        lists = [each for each in ids if isinstance(each, list)] + [rng.choices(known, k=rng.randrange(12)) for _ in range(60)]
        decoded = [attempt(lambda: made.decode(each, skip_special_tokens=False)) for each in lists]
        expected = {"ids": ids, "prompts": prompts, "decoded": decoded, "streamed": decoded}
    node.stdin.write(json.dumps({"name": name, "json": text, "texts": texts, "lists": lists}) + "\n")
    node.stdin.flush()
    got = json.loads(node.stdout.readline())
    if "refused" in got:
        counts["refused"] += 1
        print(f"refused: {name[:100]}: {got['refused'][:220]}{' (as there)' if isinstance(made, BaseException) else ''}")
        return
    if isinstance(made, BaseException):
        counts["taken"] += 1
        print(f"TAKEN: {name}: the original says {made}")
        return
    for key, wanted in expected.items():
        asked = lists if key in ("decoded", "streamed") else texts
        wrong = []
        for one, a, b in zip(asked, wanted, got[key]):
            failed = isinstance(a, str) and a.startswith("error: ")
            # Bytes that are no text: what a stream has said of the first of them cannot be taken back.
            loose = key == "streamed" and ("\ufffd" in str(a) or '"suffix": "e"' in name)
            if not failed and a != b and not loose:
                wrong.append((one, a, b))
            counts["compared"] += 1
        counts["wrong"] += len(wrong)
        if wrong:
            one, a, b = wrong[0]
            print(f"DIFFERS: {name[:160]}: {key}: {len(wrong)} of {len(wanted)}; {str(one)[:90]!r}\n   there {str(a)[:200]!r}\n   here  {str(b)[:200]!r}")


def main():
    node = subprocess.Popen(["node", os.path.join(os.path.dirname(os.path.abspath(__file__)), "ids.ts")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    counts = {"compared": 0, "wrong": 0, "refused": 0, "taken": 0}
    files = {name: json.dumps(made) for name, made in cases().items()} if "--only" not in sys.argv else {}
    for folder in (each for each in sys.argv[1:] if not each.startswith("--")):
        for path in glob.glob(os.path.join(folder, "**", "*.json"), recursive=True):
            files[path] = open(path, encoding="utf-8").read()
    for name, text in files.items():
        compare(name, text, TEXTS, node, counts)
    node.stdin.close()
    print(f"tokenizers {tokenizers.__version__}: {len(files)} files, {counts}")
    sys.exit(1 if counts["wrong"] or counts["taken"] else 0)


if __name__ == "__main__":
    main()
