/** Which shards of a group are asked, where any so many of them have to do. */

/** All choices of `count` of these. */
export function* choices(of: readonly number[], count: number): Generator<number[], void, void> {
  if (count === 0) yield [];
  for (const [place, first] of of.entries()) {
    if (count > 0) for (const rest of choices(of.slice(place + 1), count - 1)) yield [first, ...rest];
  }
}
