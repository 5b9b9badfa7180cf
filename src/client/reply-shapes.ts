/** Shapes of what several operations of the management listener answer with, as far as they are relied on. */
import type { ReplyShape } from "./reply.ts";

export const MAP_SHAPE: ReplyShape = { version: "count", targets: "list" };
export const MAP_TARGET_SHAPE: ReplyShape = {
  index: "count",
  host: "text",
  port: "count",
  rank: "count",
  domain: "text",
  state: "text",
  since: "count",
};
export const SCRUB_SHAPE: ReplyShape = {
  pool: "text",
  mode: "text",
  periodSeconds: "count",
  bytesPerSecond: "count",
  targets: "list",
};
export const TARGETS_SHAPE: ReplyShape = { pool: "text", map: "map" };
export const POOL_SHAPE: ReplyShape = {
  id: "text",
  label: "text",
  state: "text",
  sizeBytes: "count",
  scm: "map?",
  log: "map?",
  nvme: "map?",
  properties: "map",
};
export const CONTAINER_SHAPE: ReplyShape = { id: "text", label: "text", type: "text", pool: "text", properties: "map" };
export const DEVICE_SHAPE: ReplyShape = {
  id: "text",
  plugin: "text",
  path: "text",
  targets: "list",
  state: "text",
  reason: "text",
  totalBytes: "count",
  usedBytes: "count",
};
export const SNAPSHOT_SHAPE: ReplyShape = { name: "text", epoch: "count", createdAt: "text" };
export const PROPERTIES_SHAPE: ReplyShape = { properties: "map" };
