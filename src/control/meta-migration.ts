/**
 * Copies all records of one meta store into another that is empty. The system's record goes last: without it no engine
 * takes the copy for a system. A copy that was cut off goes on when it is begun again; a store that holds anything else
 * than what is copied is refused.
 */
import { bytesEqual } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_META_COMMIT_BYTES, MAX_META_COMMIT_COMPARES, MAX_META_COMMIT_OPERATIONS } from "../base/limits.ts";
import type { MetaEntry, MetaStore } from "../contracts/meta-store.ts";
import { LEADER_KEY, SYSTEM_KEY } from "../format/meta-key.ts";
import { absent } from "./meta-records.ts";

const PAGE_ENTRIES = 256;

type MetaContent = Pick<MetaEntry, "key" | "value">;

/**
 * Returns how many records there are, all read back and compared. Nobody else may write to either store meanwhile. Rejects
 * with ALREADY_EXISTS when `to` holds something else, CORRUPT when `from` has no system or the copy differs, and as the
 * stores do.
 */
export async function copyRecords(from: MetaStore, to: MetaStore): Promise<number> {
  return writeRecords(await readAll(from), to);
}

/** As copyRecords, of records that were read before. */
export async function writeRecords(all: readonly MetaContent[], to: MetaStore): Promise<number> {
  const records = all.filter(({ key }) => key !== LEADER_KEY);
  const system = records.find(({ key }) => key === SYSTEM_KEY);
  if (system === undefined) {
    throw new DaosError(
      "CORRUPT",
      "Cannot write the records: there is none of a system among them. Name the folder of its first engine, or a whole backup.",
    );
  }
  const present = new Map((await readAll(to)).map((entry) => [entry.key, entry]));
  const known = new Map(records.map((entry) => [entry.key, entry]));
  for (const { key, value } of present.values()) if (!isSame(known.get(key), value)) throw notEmpty(key);
  const missing = records.filter(({ key }) => !present.has(key) && key !== SYSTEM_KEY);
  for (const batch of batchesOf(missing)) await put(to, batch);
  if (!present.has(SYSTEM_KEY)) await put(to, [system]);
  await compare(records, to);
  return records.length;
}

/** All of them; the system's first, so that nobody takes what is left for a system. Returns how many there were. */
export async function removeRecords(store: MetaStore): Promise<number> {
  const keys = (await readAll(store)).map(({ key }) => key);
  const order = [...keys.filter((key) => key === SYSTEM_KEY), ...keys.filter((key) => key !== SYSTEM_KEY)];
  for (let from = 0; from < order.length; from += MAX_META_COMMIT_OPERATIONS) {
    const batch = order.slice(from, from + MAX_META_COMMIT_OPERATIONS);
    await store.commit(
      [],
      batch.map((key) => ({ remove: key })),
    );
  }
  return keys.length;
}

async function readAll(store: MetaStore): Promise<MetaEntry[]> {
  const found: MetaEntry[] = [];
  for (;;) {
    const after = found.at(-1)?.key;
    const page = await store.range("", { limit: PAGE_ENTRIES, ...(after !== undefined && { after }) });
    found.push(...page);
    if (page.length < PAGE_ENTRIES) return found;
  }
}

/** As much as one commit takes. */
function* batchesOf(records: readonly MetaContent[]): Generator<readonly MetaContent[]> {
  let batch: MetaContent[] = [];
  let sizeBytes = 0;
  for (const entry of records) {
    const entryBytes = Buffer.byteLength(entry.key) + entry.value.length;
    if (batch.length === MAX_META_COMMIT_COMPARES || sizeBytes + entryBytes > MAX_META_COMMIT_BYTES) {
      yield batch;
      batch = [];
      sizeBytes = 0;
    }
    batch.push(entry);
    sizeBytes += entryBytes;
  }
  if (batch.length > 0) yield batch;
}

async function put(store: MetaStore, entries: readonly MetaContent[]): Promise<void> {
  await store.commit(
    entries.map(({ key }) => absent(key)),
    entries.map(({ key, value }) => ({ put: key, value })),
  );
}

async function compare(records: readonly MetaContent[], store: MetaStore): Promise<void> {
  const copied = await readAll(store);
  const isWhole =
    copied.length === records.length &&
    copied.every(({ key, value }, at) => {
      return key === records[at]!.key && isSame(records[at], value);
    });
  if (isWhole) return;
  throw new DaosError(
    "CORRUPT",
    `Cannot write the records: ${copied.length} were read back, and they are not the ${records.length} that were written. ` +
      "Empty the prefix, see who else writes there, and try again; the records are where they were.",
  );
}

function isSame(entry: MetaContent | undefined, value: Uint8Array): boolean {
  return entry !== undefined && bytesEqual(entry.value, value);
}

function notEmpty(key: string): DaosError {
  return new DaosError(
    "ALREADY_EXISTS",
    `Cannot write the records: the meta store is not empty, it holds "${key.slice(0, 100)}". ` +
      "Choose another prefix, or empty this one.",
  );
}
