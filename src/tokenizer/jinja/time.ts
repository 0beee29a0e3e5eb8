// Python's strftime in the C locale, whatever the user's language.

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = "January February March April May June July August September October November December".split(" ");

const DAY = 86_400_000;

/** Midnight of a date, as if days were all equally long. */
const midnight = (date: Date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());

/** The day of its year, from 0. */
const dayOfYear = (date: Date) => (midnight(date) - Date.UTC(date.getFullYear(), 0, 1)) / DAY;

/** The year and the number of the week that a date is in by ISO 8601. */
function isoWeek(date: Date): [year: number, week: number] {
  const thursday = new Date(midnight(date) + (4 - (date.getDay() || 7)) * DAY);
  const year = thursday.getUTCFullYear();
  return [year, Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / DAY / 7) + 1];
}

/** A number, how many digits it has, and what fills them. */
type Part = string | readonly [value: number, width: number, fill?: "0" | "_"];

const parts: Readonly<Record<string, (date: Date) => Part>> = {
  a: (date) => days[date.getDay()]!.slice(0, 3),
  A: (date) => days[date.getDay()]!,
  b: (date) => months[date.getMonth()]!.slice(0, 3),
  B: (date) => months[date.getMonth()]!,
  c: (date) => formatDate(date, "%a %b %e %H:%M:%S %Y"),
  C: (date) => [Math.floor(date.getFullYear() / 100), 2],
  d: (date) => [date.getDate(), 2],
  D: (date) => formatDate(date, "%m/%d/%y"),
  e: (date) => [date.getDate(), 2, "_"],
  f: (date) => [date.getMilliseconds() * 1000, 6],
  F: (date) => formatDate(date, "%Y-%m-%d"),
  g: (date) => [isoWeek(date)[0] % 100, 2],
  G: (date) => [isoWeek(date)[0], 4],
  h: (date) => months[date.getMonth()]!.slice(0, 3),
  H: (date) => [date.getHours(), 2],
  I: (date) => [date.getHours() % 12 || 12, 2],
  j: (date) => [dayOfYear(date) + 1, 3],
  k: (date) => [date.getHours(), 2, "_"],
  l: (date) => [date.getHours() % 12 || 12, 2, "_"],
  m: (date) => [date.getMonth() + 1, 2],
  M: (date) => [date.getMinutes(), 2],
  n: () => "\n",
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  P: (date) => (date.getHours() < 12 ? "am" : "pm"),
  r: (date) => formatDate(date, "%I:%M:%S %p"),
  R: (date) => formatDate(date, "%H:%M"),
  s: (date) => [Math.floor(date.getTime() / 1000), 1],
  S: (date) => [date.getSeconds(), 2],
  t: () => "\t",
  T: (date) => formatDate(date, "%H:%M:%S"),
  u: (date) => [date.getDay() || 7, 1],
  U: (date) => [Math.floor((dayOfYear(date) + 7 - date.getDay()) / 7), 2],
  V: (date) => [isoWeek(date)[1], 2],
  w: (date) => [date.getDay(), 1],
  W: (date) => [Math.floor((dayOfYear(date) + 7 - ((date.getDay() + 6) % 7)) / 7), 2],
  x: (date) => formatDate(date, "%m/%d/%y"),
  X: (date) => formatDate(date, "%H:%M:%S"),
  y: (date) => [date.getFullYear() % 100, 2],
  Y: (date) => [date.getFullYear(), 1],
  // A time without a zone, as Python's datetime.now() gives it.
  z: () => "",
  Z: () => "",
  "%": () => "%",
};

/**
 * A local time by strftime's letters, with the names of Python's C locale and with glibc's flags (`-` for no filling, `_` for blanks,
 * `0`, `^` for capitals). A letter that is none stays as it is.
 */
export function formatDate(date: Date, format: string): string {
  return format.replace(
    /%([-_0^#]*)(\d{0,3})[EO]?([a-zA-Z%])/g,
    (all, flags: string, width: string, letter: string) => {
      if (!Object.hasOwn(parts, letter)) return all;
      const part = parts[letter]!(date);
      const flag = [...flags].findLast((one) => "-_0".includes(one));
      let text: string;
      if (typeof part === "string") text = part.padStart(Number(width), flag === "0" ? "0" : " ");
      else {
        const [value, digits, fill = "0"] = part;
        const own = flag === "_" ? " " : flag === "0" ? "0" : fill === "_" ? " " : "0";
        text = String(value).padStart(flag === "-" ? 0 : Number(width) || digits, own);
      }
      if (flags.includes("^")) return text.toUpperCase();
      return flags.includes("#") && letter === "p"
        ? text.toLowerCase()
        : flags.includes("#")
          ? text.toUpperCase()
          : text;
    },
  );
}
