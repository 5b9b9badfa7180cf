/**
 * One request on its way to a back-end, as the connection sees it: what to do, and where to tell how it ended.
 */
import type { DaosError } from "../../../src/base/errors.ts";

export interface BlockRequest {
  /** BlockRequestType of the addon. */
  readonly type: number;
  /** Byte on the device, whole sectors of 512. */
  readonly deviceByte: number;
  /** Where the data lies in the shared memory; 0 where there is none. */
  readonly place: number;
  readonly length: number;
  /** The back-end is done with it: 0 well, anything else not. */
  completed(status: number): void;
  /** It never reached the medium, or nobody knows. Called instead of `completed`. */
  failed(error: DaosError): void;
}
