/**
 * The client library as applications import it (docs/client.md): `connect` in the real world, with the built-in data
 * models. A composition root, as src/main.ts is for the command line.
 */
import interfaceKv from "../plugins/interface/kv/index.ts";
import redundancyErasure from "../plugins/redundancy/erasure/index.ts";
import { connect as connectIn, type ConnectOptions, type System } from "./client/index.ts";
import { realWorld } from "./world/index.ts";

export { DaosError, hasCode } from "./base/errors.ts";
export type { ErrorCode } from "./base/errors.ts";
export { type Epoch, epochToDate } from "./base/epoch.ts";
export type { Key } from "./base/key.ts";
export { formatObjectId, type ObjectId, objectId, type ObjectType, parseObjectId } from "./base/object-id.ts";
export { type ObjectClass, objectClassByName } from "./base/object-class.ts";
export {
  ArrayHandle,
  type Change,
  type ConnectOptions,
  Container,
  ContainerView,
  type Moment,
  ObjectHandle,
  Pool,
  System,
  Transaction,
  TransactionObject,
} from "./client/index.ts";
export type { FetchedValue } from "./contracts/interface.ts";
export type { KeyValue } from "./contracts/key-value.ts";

/** Connects to a system. See connect in src/client/connect.ts. */
export function connect(options: ConnectOptions): Promise<System> {
  const plugins = {
    interfaces: [interfaceKv.create({})],
    redundancy: [redundancyErasure.create({ codec: "auto" })],
  };
  return connectIn(realWorld(), { ...plugins, ...options });
}
