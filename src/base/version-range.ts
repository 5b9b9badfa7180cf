/** Versions of a protocol that a program speaks, and the one that two programs agree on. */
export interface VersionRange {
  readonly oldest: number;
  readonly newest: number;
}

/** The newest that both speak; undefined when there is none. */
export function agreedVersion(ours: VersionRange, theirs: VersionRange): number | undefined {
  const version = Math.min(ours.newest, theirs.newest);
  return version >= Math.max(ours.oldest, theirs.oldest) ? version : undefined;
}

/** `2`, or `2 to 3`. */
export function formatVersions({ oldest, newest }: VersionRange): string {
  return oldest === newest ? String(newest) : `${oldest} to ${newest}`;
}
