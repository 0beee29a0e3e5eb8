/** Places within a character of UTF-8: none, then how many bytes are to come and from which to which the next may be. */
export const WHOLE = 0;
const WRONG = -1;

const place = (left: number, low = 0x80, high = 0xbf): number => (left << 16) | (low << 8) | high;

/** The place after a byte; negative where no character has it there (Unicode 16, table 3-7). */
function step(at: number, byte: number): number {
  if (at === WHOLE) {
    if (byte < 0x80) return WHOLE;
    if (byte < 0xc2 || byte > 0xf4) return WRONG;
    if (byte < 0xe0) return place(1);
    if (byte < 0xf0) return place(2, byte === 0xe0 ? 0xa0 : 0x80, byte === 0xed ? 0x9f : 0xbf);
    return place(3, byte === 0xf0 ? 0x90 : 0x80, byte === 0xf4 ? 0x8f : 0xbf);
  }
  if (byte < ((at >> 8) & 0xff) || byte > (at & 0xff)) return WRONG;
  const left = (at >> 16) - 1;
  return left ? place(left) : WHOLE;
}

/** The place after some bytes; negative where they are no UTF-8 from there on. */
export function walk(at: number, bytes: Uint8Array): number {
  let now = at;
  for (let i = 0; i < bytes.length && now >= 0; i++) now = step(now, bytes[i]!);
  return now;
}
