/**
 * What a transaction has read of one dkey, and what it is to write there: kept here until it commits, and seen by its own
 * reads before that. Of each akey there is one change in the end, for one epoch shows one state of it.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_ARRAY_IO_BYTES, MAX_TRANSACTION_OPERATIONS, MAX_TRANSACTION_PUNCH_BYTES } from "../base/limits.ts";
import type { PartRead, PartWrite } from "../format/transaction-part.ts";
import type { RecordRange } from "./record-range.ts";

/** Records that are written, or punched: without bytes. Ascending, apart from each other. */
interface Run {
  readonly start: number;
  readonly end: number;
  readonly bytes: Uint8Array | undefined;
}

export type AkeyChange =
  | { readonly kind: "value"; readonly value: Uint8Array; readonly replaces: boolean }
  | { readonly kind: "punched" }
  | { readonly kind: "records"; readonly recordBytes: number; readonly runs: readonly Run[] };

const PUNCHED: AkeyChange = { kind: "punched" };

export class DkeyChanges {
  readonly #akeys = new Map<ByteString, AkeyChange>();
  readonly #reads = new Map<string, PartRead>();
  #isPunched = false;

  get hasWrites(): boolean {
    return this.#isPunched || this.#akeys.size > 0;
  }

  get hasReads(): boolean {
    return this.#reads.size > 0;
  }

  get reads(): readonly PartRead[] {
    return [...this.#reads.values()];
  }

  /** What the transaction itself made of an akey; undefined: nothing. */
  of(akey: ByteString): AkeyChange | undefined {
    return this.#isPunched ? PUNCHED : this.#akeys.get(akey);
  }

  /** Akeys that are changed, with whether they are there then. Throws UNSUPPORTED when that is not known. */
  listed(): { readonly isPunched: boolean; readonly akeys: ReadonlyMap<ByteString, boolean> } {
    const akeys = new Map<ByteString, boolean>();
    for (const [akey, change] of this.#akeys) {
      const isHole = change.kind === "records" && change.runs.every(({ bytes }) => bytes === undefined);
      if (isHole) throw unsupported("list akeys where it has punched records", "List them before");
      akeys.set(akey, change.kind !== "punched");
    }
    return { isPunched: this.#isPunched, akeys };
  }

  noteValue(akey: ByteString, epoch: Epoch): void {
    this.#note(`value ${akey}`, { kind: "value", akey, epoch });
  }

  noteRecords(akey: ByteString, range: RecordRange): void {
    const { recordIndex, recordCount, recordBytes } = range;
    if (recordCount === 0) return;
    const name = `records ${recordIndex} ${recordCount} ${recordBytes} ${akey}`;
    this.#note(name, { kind: "records", akey, recordIndex, recordCount, recordBytes });
  }

  noteAkeys(): void {
    this.#note("akeys", { kind: "akeys" });
  }

  #note(name: string, read: PartRead): void {
    if (this.#reads.has(name)) return;
    if (this.#reads.size >= MAX_TRANSACTION_OPERATIONS) throw tooMany("reads");
    this.#reads.set(name, read);
  }

  update(akey: ByteString, value: Uint8Array): void {
    const before = this.#changeable(akey);
    if (before?.kind === "records") throw mixed();
    const replaces = before?.kind === "punched" || (before?.kind === "value" && before.replaces);
    this.#set(akey, { kind: "value", value: new Uint8Array(value), replaces });
  }

  /** `bytes`: those of whole records; undefined: they are punched. */
  write(akey: ByteString, { recordIndex, recordCount, recordBytes }: RecordRange, bytes: Uint8Array | undefined): void {
    const before = this.#changeable(akey);
    if (before?.kind === "value") throw mixed();
    if (before?.kind === "punched")
      throw unsupported("write an array that it has punched", "Punch its records instead");
    if (before !== undefined && before.recordBytes !== recordBytes) throw otherRecords(before.recordBytes);
    if (recordCount === 0) return;
    const run: Run = {
      start: recordIndex,
      end: recordIndex + recordCount,
      bytes: bytes === undefined ? undefined : new Uint8Array(bytes),
    };
    const runs = joined(before?.runs ?? [], run, recordBytes);
    const spanBytes = (runs.at(-1)!.end - runs[0]!.start) * recordBytes;
    const isHole = runs.length === 1 && runs[0]!.bytes === undefined;
    if (spanBytes > (isHole ? MAX_TRANSACTION_PUNCH_BYTES : MAX_ARRAY_IO_BYTES)) throw tooFar();
    this.#set(akey, { kind: "records", recordBytes, runs });
  }

  punchAkey(akey: ByteString): void {
    this.#changeable(akey);
    this.#set(akey, PUNCHED);
  }

  punchDkey(): void {
    this.#akeys.clear();
    this.#isPunched = true;
  }

  #set(akey: ByteString, change: AkeyChange): void {
    if (this.#akeys.size >= MAX_TRANSACTION_OPERATIONS && !this.#akeys.has(akey)) throw tooMany("writes");
    this.#akeys.set(akey, change);
  }

  #changeable(akey: ByteString): AkeyChange | undefined {
    if (this.#isPunched) throw unsupported("write to a dkey that it has punched", "Punch its akeys instead");
    return this.#akeys.get(akey);
  }

  /** What is sent. `filled` gives records as the transaction sees them: those between two runs are written as they are. */
  async writes(filled: (akey: ByteString, range: RecordRange) => Promise<Uint8Array>): Promise<PartWrite[]> {
    if (this.#isPunched) return [{ kind: "punchDkey" }];
    const writes: PartWrite[] = [];
    for (const [akey, change] of this.#akeys) writes.push(await writeOf(akey, change, filled));
    return writes;
  }
}

async function writeOf(
  akey: ByteString,
  change: AkeyChange,
  filled: (akey: ByteString, range: RecordRange) => Promise<Uint8Array>,
): Promise<PartWrite> {
  switch (change.kind) {
    case "value":
      return { kind: "update", akey, value: change.value, replaces: change.replaces };
    case "punched":
      return { kind: "punchAkey", akey };
    case "records": {
      const { runs, recordBytes } = change;
      const recordIndex = runs[0]!.start;
      const range = { recordIndex, recordCount: runs.at(-1)!.end - recordIndex, recordBytes };
      if (runs.length > 1) return { kind: "write", akey, ...range, value: await filled(akey, range) };
      const { bytes } = runs[0]!;
      if (bytes === undefined) return { kind: "punchRecords", akey, ...range, value: new Uint8Array(0) };
      return { kind: "write", akey, ...range, value: bytes };
    }
    default:
      return change satisfies never;
  }
}

/** Puts over the bytes of a range what a change has of it. */
export function overlay(bytes: Uint8Array, range: RecordRange, change: AkeyChange & { kind: "records" }): void {
  const { recordIndex, recordCount, recordBytes } = range;
  for (const run of change.runs) {
    const from = Math.max(run.start, recordIndex);
    const to = Math.min(run.end, recordIndex + recordCount);
    if (from >= to) continue;
    const place = (from - recordIndex) * recordBytes;
    const length = (to - from) * recordBytes;
    if (run.bytes === undefined) bytes.fill(0, place, place + length);
    else bytes.set(run.bytes.subarray((from - run.start) * recordBytes).subarray(0, length), place);
  }
}

/** Whether a change has all of a range. */
export function covers(change: AkeyChange & { kind: "records" }, { recordIndex, recordCount }: RecordRange): boolean {
  let reached = recordIndex;
  for (const { start, end } of change.runs) if (start <= reached && end > reached) reached = end;
  return reached >= recordIndex + recordCount;
}

/** The runs with a new one over them; what touches and is alike is one run. */
function joined(runs: readonly Run[], added: Run, recordBytes: number): Run[] {
  const cut: Run[] = [];
  for (const run of runs) {
    if (run.start < added.start) cut.push(slice(run, run.start, Math.min(run.end, added.start), recordBytes));
    if (run.end > added.end) cut.push(slice(run, Math.max(run.start, added.end), run.end, recordBytes));
  }
  const result: Run[] = [];
  for (const run of [...cut, added].toSorted((left, right) => left.start - right.start)) {
    const last = result.at(-1);
    const isOne = last?.end === run.start && (last.bytes === undefined) === (run.bytes === undefined);
    if (last === undefined || !isOne) result.push(run);
    else result[result.length - 1] = { start: last.start, end: run.end, bytes: appended(last.bytes, run.bytes) };
  }
  return result;
}

function slice(run: Run, start: number, end: number, recordBytes: number): Run {
  const from = (start - run.start) * recordBytes;
  return { start, end, bytes: run.bytes?.subarray(from, from + (end - start) * recordBytes) };
}

function appended(left: Uint8Array | undefined, right: Uint8Array | undefined): Uint8Array | undefined {
  return left === undefined || right === undefined ? undefined : Buffer.concat([left, right]);
}

export function unsupported(what: string, advice: string): DaosError {
  return new DaosError("UNSUPPORTED", `Cannot ${what}: a transaction cannot do that yet. ${advice}.`);
}

function mixed(): DaosError {
  const state = "the transaction has written it as the other one of value and array";
  return new DaosError("INVALID_ARGUMENT", `Cannot write the akey: ${state}. Punch the akey first.`);
}

function otherRecords(recordBytes: number): DaosError {
  const state = `the transaction has written records of ${recordBytes} bytes there`;
  return new DaosError("INVALID_ARGUMENT", `Cannot write the array: ${state}. Use those.`);
}

function tooMany(what: string): DaosError {
  const state = `it has ${MAX_TRANSACTION_OPERATIONS} ${what} of one dkey`;
  return new DaosError("TOO_LARGE", `Cannot go on with the transaction: ${state}. Use several.`);
}

function tooFar(): DaosError {
  const state =
    `what a transaction writes of one array lies within ${MAX_ARRAY_IO_BYTES} bytes, ` +
    `what it punches within ${MAX_TRANSACTION_PUNCH_BYTES}`;
  return new DaosError("TOO_LARGE", `Cannot write the records: ${state}. Use several akeys, or transactions.`);
}
