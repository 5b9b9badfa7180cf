/**
 * The versioned object store by definition: the list of all writes and punches, and reads that go through all of it. Slow
 * and plain, for tests to compare with.
 */
export interface Address {
  readonly oid: string;
  readonly dkey: string;
  readonly akey: string;
}

type Event = { readonly epoch: number } & (
  | ({ readonly type: "value"; readonly value: Uint8Array } & Address)
  | ({
      readonly type: "write";
      readonly start: number;
      readonly bytes: Uint8Array;
      readonly recordBytes: number;
    } & Address)
  | ({ readonly type: "hole"; readonly start: number; readonly end: number } & Address)
  | { readonly type: "punch"; readonly oid: string; readonly dkey?: string; readonly akey?: string }
);

type ArrayEvent = Extract<Event, { type: "write" | "hole" }>;

/** What an akey shows: a value, or an array, of which `paint` gives the bytes. */
export type AkeyView =
  | { readonly holds: "nothing" }
  | { readonly holds: "value"; readonly value: Uint8Array; readonly epoch: number }
  | { readonly holds: "array"; readonly events: readonly ArrayEvent[]; readonly recordBytes: number };

/** Addresses at and after this are never written. */
export const ARRAY_END = 1_150_000;

/** Bytes [start, end) of an array; `present` is 1 where there is data. */
export function paint(
  view: AkeyView,
  start: number,
  end: number,
): { readonly bytes: Uint8Array; readonly present: Uint8Array } {
  const bytes = new Uint8Array(end - start);
  const present = new Uint8Array(end - start);
  for (const event of view.holds === "array" ? view.events : []) {
    const eventEnd = event.type === "write" ? event.start + event.bytes.length : event.end;
    const from = Math.max(start, event.start);
    const to = Math.min(end, eventEnd);
    if (from >= to) continue;
    present.fill(event.type === "write" ? 1 : 0, from - start, to - start);
    if (event.type === "write") bytes.set(event.bytes.subarray(from - event.start, to - event.start), from - start);
    else bytes.fill(0, from - start, to - start);
  }
  return { bytes, present };
}

const painted = new WeakMap<object, { readonly bytes: Uint8Array; readonly present: Uint8Array }>();

/** The whole array. */
export function paintAll(view: AkeyView): { readonly bytes: Uint8Array; readonly present: Uint8Array } {
  let all = painted.get(view);
  if (all === undefined) painted.set(view, (all = paint(view, 0, ARRAY_END)));
  return all;
}

export class NaiveModel {
  readonly #events: Event[] = [];
  readonly #known = new Map<string, unknown>();

  get events(): readonly Event[] {
    return this.#events;
  }

  add(event: Event): void {
    this.#events.push(event);
    this.#known.clear();
  }

  #once<Result>(name: string, compute: () => Result): Result {
    if (!this.#known.has(name)) this.#known.set(name, compute());
    return this.#known.get(name) as Result;
  }

  view(address: Address, epoch: number): AkeyView {
    return this.#once(JSON.stringify([address, epoch]), () => this.#view(address, epoch));
  }

  #view(address: Address, epoch: number): AkeyView {
    let view: AkeyView = { holds: "nothing" };
    for (const event of this.#events) {
      if (event.epoch > epoch || event.oid !== address.oid) continue;
      if (event.type === "punch") {
        const hit =
          (event.dkey === undefined || event.dkey === address.dkey) &&
          (event.akey === undefined || event.akey === address.akey);
        if (hit) view = { holds: "nothing" };
        continue;
      }
      if (event.dkey !== address.dkey || event.akey !== address.akey) continue;
      if (event.type === "value") view = { holds: "value", value: event.value, epoch: event.epoch };
      else view = withArrayEvent(view, event);
    }
    if (view.holds === "array" && !paintAll(view).present.includes(1)) return { holds: "nothing" };
    return view;
  }

  /** Every address that was ever written. */
  addresses(): Address[] {
    const known = new Map<string, Address>();
    for (const event of this.#events) {
      if (event.type === "punch") continue;
      known.set(JSON.stringify([event.oid, event.dkey, event.akey]), {
        oid: event.oid,
        dkey: event.dkey,
        akey: event.akey,
      });
    }
    return [...known.values()];
  }

  visible(epoch: number): Address[] {
    return this.#once(`visible ${epoch}`, () => this.#visible(epoch));
  }

  #visible(epoch: number): Address[] {
    return this.addresses().filter((address) => this.view(address, epoch).holds !== "nothing");
  }

  objects(epoch: number): string[] {
    return sortedSet(this.visible(epoch).map((address) => address.oid));
  }

  dkeys(oid: string, epoch: number): string[] {
    return sortedSet(
      this.visible(epoch)
        .filter((address) => address.oid === oid)
        .map((address) => address.dkey),
    );
  }

  akeys(oid: string, dkey: string, epoch: number): string[] {
    const matching = this.visible(epoch).filter((address) => address.oid === oid && address.dkey === dkey);
    return sortedSet(matching.map((address) => address.akey));
  }
}

function withArrayEvent(view: AkeyView, event: ArrayEvent): AkeyView {
  const before = view.holds === "array" ? view : undefined;
  // An array of which everything is punched is none, and may begin anew with other records.
  const recordBytes = event.type === "write" ? event.recordBytes : (before?.recordBytes ?? 1);
  return { holds: "array", events: [...(before?.events ?? []), event], recordBytes };
}

export function sortedSet(names: readonly string[]): string[] {
  return [...new Set(names)].sort((left, right) => (left < right ? -1 : left > right ? 1 : 0));
}
