/**
 * Extension point `redundancy`: how the data of one redundancy group is laid over its shards. The leader of a group
 * knows only this contract. Pure and synchronous: no I/O, no clock.
 */
export interface RedundancyScheme {
  /** Shards of one group: data plus redundancy. */
  readonly shardCount: number;
  /** Shards that may be lost without losing data. */
  readonly toleratedFailures: number;
  /** The shard of a group that orders updates of this dkey, among those alive (ascending). */
  leader(dkeyHash: number, aliveShards: readonly number[]): number;
  /** Shards to read a dkey's value from, best first; undefined when too few are alive. */
  planRead(dkeyHash: number, aliveShards: readonly number[]): readonly number[] | undefined;
}

export interface RedundancyProvider {
  /** The classes' redundancy words this plugin serves, such as `none` or `RP`. */
  readonly serves: readonly string[];
  scheme(redundancy: string): RedundancyScheme;
}
