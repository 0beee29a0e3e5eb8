import type { Random } from "../tensor/random.ts";
import { byteTokenizer } from "../tokenizer/tokenizer.ts";
import { fillBatch, type Part, type Source, stepRandom } from "./source.ts";

const names = "Ada Ben Cleo Dan Eva Finn Gus Hana Ivo Jun Kira Leo Mia Nora Omar Pia".split(" ");
const things = "ball book cup drum egg fork hat key lamp map pen ring rope shoe spoon toy".split(" ");
/** Where things are "in the barn", people go "to the barn". */
const places: readonly Place[] = [
  ["in", "kitchen"],
  ["in", "garden"],
  ["in", "cellar"],
  ["in", "library"],
  ["in", "barn"],
  ["at", "market"],
  ["at", "station"],
  ["at", "well"],
  ["by", "river"],
  ["by", "gate"],
  ["on", "hill"],
  ["on", "roof"],
];

type Place = readonly [preposition: string, noun: string];

interface Person {
  readonly name: string;
  place: Place;
}

/** Who is where and who holds what: what a reader of the story has to remember. */
interface World {
  readonly people: readonly Person[];
  /** A thing is held by a person or lies at a place. */
  readonly things: readonly { readonly name: string; holder: Person | undefined; place: Place }[];
}

/**
 * Short stories in plain English from a small grammar: people walk about, take, give and put down things, and now and then
 * the story asks who has a thing or where somebody or something is, and answers. The answers follow from sentences well
 * before, also through others (a thing travels with its holder), so a model must keep them to predict them.
 *
 * One token per byte. Every row begins with a new story. A story belongs to one part only, by a hash of its text, so
 * nothing held out is ever trained on. A sentence takes about 22 bytes, most stories 120 to 450.
 */
export function storySource(seed: number): Source {
  const make = (part: Part, step: number, count: number, length: number) => {
    const random = stepRandom(seed, part, step);
    return fillBatch(count, length, (ids, targets) => {
      let text = "";
      while (text.length <= length) text += storyOf(random, part);
      for (let i = 0; i < length; i++) {
        ids[i] = text.charCodeAt(i);
        targets[i] = text.charCodeAt(i + 1);
      }
    });
  };
  return {
    name: "stories",
    vocabulary: byteTokenizer.vocabulary,
    bytesPerToken: 1,
    lengths: { least: 1, most: Number.POSITIVE_INFINITY },
    batch: (step, count, length) => make("train", step, count, length),
    heldOut: (batches, count, length) => Array.from({ length: batches }, (_, i) => make("heldOut", i, count, length)),
    decode: byteTokenizer.decode,
  };
}

/** The next story of a part, in ASCII, ending with an empty line. */
export function storyOf(random: Random, part: Part): string {
  for (;;) {
    const text = tell(random);
    // One story in eight is held out, whoever comes upon it.
    if ((hash(text) % 8 === 0) === (part === "heldOut")) return text;
  }
}

function tell(random: Random): string {
  const here = sample(random, places, 2 + random.integer(3));
  const people = sample(random, names, 2 + random.integer(2)).map((name) => ({ name, place: random.pick(here) }));
  const kinds = sample(random, things, 1 + random.integer(3));
  const world: World = {
    people,
    things: kinds.map((name) => ({ name, holder: undefined, place: random.pick(here) })),
  };
  const lines = people.map((p) => `${p.name} is ${where(p.place)}.`);
  for (const thing of world.things) lines.push(`The ${thing.name} is ${where(thing.place)}.`);
  const turns = 1 + random.integer(5);
  for (let turn = 0; turn < turns; turn++) {
    for (let events = 1 + random.integer(2); events > 0; events--) lines.push(happen(random, world, here));
    lines.push(ask(random, world));
  }
  return `${lines.join(" ")}\n\n`;
}

/** One event, which changes the world. */
function happen(random: Random, world: World, here: readonly Place[]): string {
  const person = random.pick(world.people);
  const held = world.things.filter((thing) => thing.holder === person);
  const lying = world.things.filter((thing) => !thing.holder && thing.place === person.place);
  const others = world.people.filter((p) => p !== person && p.place === person.place);
  const chance = random.uniform();
  if (lying.length && chance < 0.5) {
    const thing = random.pick(lying);
    thing.holder = person;
    return `${person.name} ${random.pick(["takes", "picks up"])} the ${thing.name}.`;
  }
  if (held.length && others.length && chance < 0.8) {
    const thing = random.pick(held);
    const other = random.pick(others);
    thing.holder = other;
    return `${person.name} gives the ${thing.name} to ${other.name}.`;
  }
  if (held.length && chance < 0.25) {
    const thing = random.pick(held);
    thing.holder = undefined;
    thing.place = person.place;
    return `${person.name} puts down the ${thing.name}.`;
  }
  person.place = random.pick(here.filter((place) => place !== person.place));
  return `${person.name} ${random.pick(["goes", "walks", "runs"])} to the ${person.place[1]}.`;
}

/** A question about the world, and its answer. */
function ask(random: Random, world: World): string {
  const thing = random.pick(world.things);
  const kind = random.integer(3);
  if (kind === 0) {
    const person = random.pick(world.people);
    return `Where is ${person.name}? ${person.name} is ${where(person.place)}.`;
  }
  if (kind === 1)
    return `Who has the ${thing.name}? ${thing.holder ? `${thing.holder.name} has it.` : "Nobody has it."}`;
  return `Where is the ${thing.name}? It is ${where(thing.holder?.place ?? thing.place)}.`;
}

function where([preposition, noun]: Place): string {
  return `${preposition} the ${noun}`;
}

function sample<T>(random: Random, items: readonly T[], n: number): T[] {
  const left = [...items];
  return Array.from({ length: n }, () => left.splice(random.integer(left.length), 1)[0]!);
}

/** 32-bit FNV-1a, mixed once more since its low bits are weak. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return (h ^ (h >>> 15)) >>> 0;
}
