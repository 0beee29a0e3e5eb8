/** How many threads an elementwise kernel over `elements` numbers is worth: one below about 10 us of work. */
export function threadsFor(elements: number): number | undefined {
  return elements < 16384 ? 1 : undefined;
}
