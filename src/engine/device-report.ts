/**
 * How one target's part of a device does, as it travels from the target's thread to the control side.
 */
import type { DeviceLatency } from "../contracts/block-device.ts";

export type DeviceState = "normal" | "faulty" | "unplugged";

export interface DeviceReport {
  readonly state: DeviceState;
  /** Why it is not normal; empty when it is. */
  readonly reason: string;
  /** Operations that the device has not ended. */
  readonly inFlight: number;
  readonly readErrors: number;
  readonly writeErrors: number;
  readonly flushErrors: number;
  readonly discardErrors: number;
  readonly checksumErrors: number;
  readonly slowOperations: number;
  readonly readLatency?: DeviceLatency;
  readonly writeLatency?: DeviceLatency;
}
