/**
 * All commands of `daos`. The first word selects the role: `server` is the server, `admin` with its short forms
 * `system` and `storage` the administrator, the rest the client.
 */
import { BENCH_COMMANDS } from "./bench-commands.ts";
import { commandGroup } from "./command.ts";
import { CONTAINER_COMMANDS } from "./container-commands.ts";
import { KV_COMMANDS } from "./kv-commands.ts";
import { OBJECT_COMMANDS } from "./object-commands.ts";
import { POOL_COMMANDS } from "./pool-commands.ts";
import { SERVER_COMMANDS } from "./server-commands.ts";
import { STORAGE_COMMANDS } from "./storage-commands.ts";
import { ADMIN_COMMANDS, SYSTEM_COMMANDS } from "./system-commands.ts";

export const ROOT = commandGroup("daos: a distributed asynchronous object store", {
  server: SERVER_COMMANDS,
  admin: ADMIN_COMMANDS,
  system: SYSTEM_COMMANDS,
  storage: STORAGE_COMMANDS,
  pool: POOL_COMMANDS,
  container: CONTAINER_COMMANDS,
  kv: KV_COMMANDS,
  object: OBJECT_COMMANDS,
  bench: BENCH_COMMANDS,
});
