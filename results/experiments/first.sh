#!/bin/sh
# A first result of the essay's comparison on a GPU: three variants, within eight minutes. Needs PyTorch, and the texts that essay-first.json names.
set -eu
cd "$(dirname "$0")"
biform="node ../../bin/biform.js"
seconds=${SECONDS_AT_MOST:-460}
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
$biform export torch essay-first.json "$work/essay"
# A run that is ended keeps its checkpoint, and the same script goes on from it.
timeout -s TERM "$seconds" python3 "$work/essay/train.py" "$@" || echo "ended with $? before all runs were done; the same script goes on" >&2
$biform compare --collect essay-first.json --html essay-first.html --json essay-first-result.json
