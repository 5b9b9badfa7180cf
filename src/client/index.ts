/**
 * The client library as applications see it (docs/client.md). Whoever composes a program gives `connect` the world and
 * the interface plugins; the rest follows from the System it returns.
 */
export { ArrayHandle } from "./array-handle.ts";
export type { LevelConditions, PresenceConditions } from "./condition-flags.ts";
export { connect, type ConnectOptions } from "./connect.ts";
export { Container, ContainerView, type Moment } from "./container.ts";
export type { Change } from "./container-changes.ts";
export { ObjectHandle } from "./object-handle.ts";
export { Pool } from "./pool.ts";
export { Transaction, TransactionObject } from "./transaction.ts";
export { System } from "./system.ts";
