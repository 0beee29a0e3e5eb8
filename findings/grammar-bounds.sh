#!/bin/sh
# @mlc-ai/web-xgrammar 0.1.27 (the newest on npm) allows texts that a grammar does not, and says nothing.
#
# Seen on 2026-11-29, in Node 24. Whether the library's own check (Testings.isGrammarAcceptString) takes a text:
#
#   EBNF                                   text        by the grammar    0.1.27
#   [0-9]{4} | [0-9]{3}                    60 digits   no                yes
#   "aaaaaaaa" | "aaaaaaa"                 9 a         no                yes
#   [a-z]* [a-z] "c" "d"                   cd          no                yes
#   [U+0430-U+044F]                        U+0430      yes               no
#   [U+4E00-U+9FFF]                        a           no                yes
#   [^U+0430-U+044F]                       U+0430      no                yes
#
#   JSON Schema                            text        valid             0.1.27
#   integer from 7 to 112                  119         no                yes
#   integer from -120 to 99                -129        no                yes
#   integer from 3 on                      1           no                yes
#   integer from -5 on                     -3          yes               no
#   number from -2.5 to 3.25               -2.6        no                yes
#   string with the pattern ^a"b$          "a"b"       no, no JSON       yes
#   multipleOf, not, uniqueItems, allOf of two, dependentRequired, what stands beside $ref or anyOf: no notice is taken
#
# The first three are states of an automaton that are merged and are not alike (xgrammar pull requests 632, 752, 911: later than
# this build). Masks come from the same automata. And `import` fails in Node: the file is a script in a package of type
# "module", so that it finds no `require`; with `require` and `__filename` as globals it gives itself to the global object.
#
# Why it matters: answers that are "guaranteed" to fit a schema do not, a value out of bounds at a time.
#
# Needs node 22 or newer with npm, and a network. Takes about ten seconds. Exits with 1 where the table no longer holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
cd "$dir"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund "@mlc-ai/web-xgrammar@0.1.27" >/dev/null

cat >look.mjs <<'JS'
import { createRequire } from "node:module";

const failed = await import("@mlc-ai/web-xgrammar").then(
  () => "import works",
  (error) => (/require is not defined/.test(String(error)) ? "import fails for want of require" : String(error)),
);
console.log(failed);
const require = createRequire(import.meta.url);
Object.assign(globalThis, { require, __filename: require.resolve("@mlc-ai/web-xgrammar") });
await import(`${require.resolve("@mlc-ai/web-xgrammar")}?again`);
const { Grammar, Testings } = globalThis.xgrammar;
const takes = async (grammar, text) => ((await Testings.isGrammarAcceptString(await grammar, text)) ? "yes" : "no");
const ebnf = async (rule, text) => console.log(rule, "|", text, "|", await takes(Grammar.fromEBNF(`root ::= ${rule}`), text));
const schema = async (value, text) =>
  console.log(JSON.stringify(value), "|", text, "|", await takes(Grammar.fromJSONSchema(JSON.stringify(value)), text));
await ebnf("[0-9]{4} | [0-9]{3}", "1".repeat(60));
await ebnf('"aaaaaaaa" | "aaaaaaa"', "a".repeat(9));
await ebnf('[a-z]* [a-z] "c" "d"', "cd");
await ebnf("[\\u0430-\\u044f]", "\u0430");
await ebnf("[\\u4e00-\\u9fff]", "a");
await ebnf("[^\\u0430-\\u044f]", "\u0430");
await schema({ type: "integer", minimum: 7, maximum: 112 }, "119");
await schema({ type: "integer", minimum: -120, maximum: 99 }, "-129");
await schema({ type: "integer", minimum: 3 }, "1");
await schema({ type: "integer", minimum: -5 }, "-3");
await schema({ type: "number", minimum: -2.5, maximum: 3.25 }, "-2.6");
await schema({ type: "string", pattern: '^a"b$' }, '"a"b"');
await schema({ type: "integer", multipleOf: 3 }, "4");
await schema({ type: "string", not: { const: "x" } }, '"x"');
await schema({ type: "array", items: { type: "integer" }, uniqueItems: true }, "[1, 1]");
await schema({ allOf: [{ type: "integer" }, { minimum: 3 }] }, "2");
await schema({ $ref: "#/$defs/a", minimum: 3, $defs: { a: { type: "integer" } } }, "2");
JS

cat >seen.txt <<'TXT'
import fails for want of require
[0-9]{4} | [0-9]{3} | 111111111111111111111111111111111111111111111111111111111111 | yes
"aaaaaaaa" | "aaaaaaa" | aaaaaaaaa | yes
[a-z]* [a-z] "c" "d" | cd | yes
[\u0430-\u044f] | а | no
[\u4e00-\u9fff] | a | yes
[^\u0430-\u044f] | а | yes
{"type":"integer","minimum":7,"maximum":112} | 119 | yes
{"type":"integer","minimum":-120,"maximum":99} | -129 | yes
{"type":"integer","minimum":3} | 1 | yes
{"type":"integer","minimum":-5} | -3 | no
{"type":"number","minimum":-2.5,"maximum":3.25} | -2.6 | yes
{"type":"string","pattern":"^a\"b$"} | "a"b" | yes
{"type":"integer","multipleOf":3} | 4 | yes
{"type":"string","not":{"const":"x"}} | "x" | yes
{"type":"array","items":{"type":"integer"},"uniqueItems":true} | [1, 1] | yes
{"allOf":[{"type":"integer"},{"minimum":3}]} | 2 | yes
{"$ref":"#/$defs/a","minimum":3,"$defs":{"a":{"type":"integer"}}} | 2 | yes
TXT

node look.mjs | grep -v '^\[WARNING\]' >now.txt
cat now.txt
if ! diff seen.txt now.txt; then
  echo "@mlc-ai/web-xgrammar: got other answers (>) than on 2026-11-29 (<)" >&2
  exit 1
fi
