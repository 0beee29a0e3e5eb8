/**
 * WGSL that finds tile `number` of all tiles of `rows` entries of one expert each: the expert (`p.batches` where there are no more
 * tiles), its first entry, and where the expert's entries end. `p.batches` experts are looked at, after `p.before` others; the
 * buffer `ends` says where the entries of each end.
 */
export const expertCode = /* wgsl */ `
fn tile_of(number: u32, rows: u32) -> vec3u {
  var left = number;
  var begin = 0u;
  if (p.before > 0) { begin = u32(ends[p.ends_at + p.before - 1]); }
  for (var expert = 0u; expert < p.batches; expert++) {
    let end = u32(ends[p.ends_at + p.before + expert]);
    let tiles = (end - begin + rows - 1) / rows;
    if (left < tiles) { return vec3u(expert, begin + left * rows, end); }
    left -= tiles;
    begin = end;
  }
  return vec3u(p.batches, 0, 0);
}`;
