/** The devices of an engine, as `deviceQuery` and its kin tell of them. */

/** One device of an engine. Counters are since the engine started, sums over the device's targets. */
export interface DeviceDescription {
  readonly id: string;
  readonly rank: number;
  readonly plugin: string;
  /** As configured; empty for a file of the storage folder. */
  readonly path: string;
  readonly targets: readonly number[];
  readonly labelled: boolean;
  /** `unresponsive`: a target does not answer, as when its device blocks it. */
  readonly state: "normal" | "faulty" | "unplugged" | "unresponsive";
  /** Why it is not normal; empty when it is. */
  readonly reason: string;
  /** The device that takes its place at the next start. */
  readonly successor?: string;
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly inFlight: number;
  readonly readErrors: number;
  readonly writeErrors: number;
  readonly flushErrors: number;
  readonly discardErrors: number;
  readonly checksumErrors: number;
  readonly slowOperations: number;
  /** The slowest target's; 0 where the plugin does not measure. */
  readonly readP99Us: number;
  readonly writeP99Us: number;
}
export interface DeviceQueryReply {
  readonly devices: readonly DeviceDescription[];
}
/** `device`, `successor`: ids. */
export interface DeviceReference {
  readonly device: string;
}
export interface DeviceSetFaultyArguments extends DeviceReference {
  readonly force: boolean;
}
export interface DeviceReplaceArguments extends DeviceReference {
  readonly successor: string;
  readonly force: boolean;
}
