/**
 * `daos system backup`, `restore` and `erase`: the records of a system in a file, brought back, and all of it given up.
 */
import { MAX_BACKUP_BYTES } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import type { SystemBackupReply } from "../format/system-operations.ts";
import { usageError } from "./arguments.ts";
import { command } from "./command.ts";
import { printable } from "./table.ts";
import { readWhole, writeFrom } from "./transfer.ts";

/** Of commands that open a storage folder while its engines are stopped. */
const STORAGE = {
  config: { type: "string", valueHint: "FILE", description: "Configuration file of the engine" },
  storage: { type: "string", valueHint: "DIR", description: "Storage folder" },
} as const;

export const backup = command({
  summary: "Write all records of the system to a file, while it runs; the file holds the system's key",
  examples: ["daos system backup /var/backups/daos.backup"],
  arguments: { file: { type: "positional", required: true, description: "The file" } },
  async run({ file }, session) {
    const system = await session.system();
    const progress = { label: "Backing the records up", unit: "bytes" } as const;
    let taken: SystemBackupReply | undefined;
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for await (const piece of system.backup(session.cancelable)) {
        taken = piece;
        yield piece.bytes;
      }
    }
    await session.withProgress(progress, (bar) => writeFrom(session, file, pieces(), bar));
    const { records, sizeBytes, takenAtMs } = taken!;
    const takenAt = new Date(takenAtMs).toISOString();
    await session.output.result(
      { file, records, sizeBytes, takenAt },
      `Wrote ${records} records (${formatSize(sizeBytes)}) to ${printable(file)}.\n`,
    );
  },
});

export const restore = command({
  summary: "Bring the records back from a backup, into a meta store that is empty; the engines must be stopped",
  examples: ["daos system restore /var/backups/daos.backup --config /etc/daos/server.yml"],
  arguments: { file: { type: "positional", required: true, description: "The backup" }, ...STORAGE },
  async run({ file, config, storage }, session) {
    const bytes = await readWhole(session, file, 2 * MAX_BACKUP_BYTES);
    if (bytes === undefined) throw usageError("daos system restore", `"${file}" is too large for a backup`);
    const options = { ...(config !== undefined && { configPath: config }), ...(storage !== undefined && { storage }) };
    const { takenAtMs, ...restored } = await session.environment.server.restoreMeta(options, bytes);
    const takenAt = new Date(takenAtMs).toISOString();
    await session.output.result(
      { ...restored, takenAt },
      `Restored ${restored.records} records of system ${printable(restored.system)} as of ${takenAt} to ${printable(restored.to)}.\n`,
    );
  },
});

export const erase = command({
  summary: "Give up all that the system holds on this host, so that it can be formatted anew; engines must be stopped",
  examples: ["daos system erase --confirm daos --storage /var/lib/daos"],
  arguments: {
    ...STORAGE,
    confirm: { type: "string", valueHint: "NAME", required: true, description: "The system's name: it is meant" },
    force: { type: "boolean", description: "Also when its meta store cannot be had, or says that an engine leads" },
  },
  async run({ config, storage, confirm, force }, session) {
    const { storages, records } = await session.environment.server.eraseSystem({
      ...(config !== undefined && { configPath: config }),
      ...(storage !== undefined && { storage }),
      confirm,
      force: force === true,
    });
    const lines = storages.map((folder) => `Erased ${printable(folder)}.\n`);
    await session.output.result({ storages, records }, `${lines.join("")}Removed ${records} records.\n`);
  },
});
