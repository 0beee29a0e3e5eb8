/** Most places that a range may have: whoever writes one is not trusted with memory. */
const MOST = 1_000_000;

/** The places that a text such as `1,3-5,7` names, as Slurm and Kubernetes write them. What is no place is left out. */
export function placesOf(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const [, from, to = from] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part.trim()) ?? [];
    const [first, count] = [Number(from), Number(to) - Number(from) + 1];
    return count >= 1 && count <= MOST ? Array.from({ length: count }, (_, i) => first + i) : [];
  });
}
