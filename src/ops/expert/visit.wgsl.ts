/**
 * WGSL that finds, in the buffer \`ends\` where each of \`p.batches\` experts' entries end, tile \`number\` of all tiles of \`rows\` entries
 * of one expert each: the expert (\`p.batches\` where there are no more), its first entry, and where the expert's end.
 */
export const expertCode = /* wgsl */ `
fn tile_of(number: u32, rows: u32) -> vec3u {
  var left = number;
  var begin = 0u;
  for (var expert = 0u; expert < p.batches; expert++) {
    let end = u32(ends[p.ends_at + expert]);
    let tiles = (end - begin + rows - 1) / rows;
    if (left < tiles) { return vec3u(expert, begin + left * rows, end); }
    left -= tiles;
    begin = end;
  }
  return vec3u(p.batches, 0, 0);
}`;
