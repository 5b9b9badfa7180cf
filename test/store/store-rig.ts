/** A store on the simulated machine, for tests that look at one behaviour at a time. */
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { KIB } from "../../src/base/limits.ts";
import {
  type CellStore,
  type CellWrite,
  type DestageRule,
  type GateRule,
  type Version,
  VersionKind,
} from "../../src/store/cell.ts";
import { openStore } from "../../src/store/open-store.ts";
import type { CheckedStore } from "../../src/store/store-checks.ts";
import { InlineSettler, type Settler } from "../../src/store/settler.ts";
import { CrashMachine, type MachineOptions } from "./crash-machine.ts";
import type { ModelIndex } from "./model-index.ts";

export const LATEST = Number.MAX_SAFE_INTEGER as Epoch;
export const NO_META = new Uint8Array(0);

export function key(name: string, container = 1): ByteString {
  return (String.fromCharCode(0, 0, 0, container) + name) as ByteString;
}

export function put(name: string, epoch: number, text: string): CellWrite {
  return { key: key(name), epoch: epoch as Epoch, kind: VersionKind.value, meta: NO_META, inline: Buffer.from(text) };
}

export function tombstone(name: string, epoch: number): CellWrite {
  return { key: key(name), epoch: epoch as Epoch, kind: VersionKind.tombstone, meta: NO_META };
}

export function text(version: Version | undefined): string | undefined {
  return version?.inline === undefined ? undefined : Buffer.from(version.inline).toString();
}

export class StoreRig {
  readonly machine: CrashMachine;
  store!: CheckedStore;
  index!: ModelIndex;
  region!: ReturnType<CrashMachine["openRegion"]>;
  device!: ReturnType<CrashMachine["openDevice"]>;
  generationCells = 64;
  segmentBytes = 16 * KIB;
  transactionPages = { usual: 2, smallIndex: 2 };
  destageRule: DestageRule | undefined;
  isGated: GateRule | undefined;
  readonly #wrap: (settler: Settler) => Settler;

  constructor(options: Partial<MachineOptions> = {}, wrap: (settler: Settler) => Settler = (settler) => settler) {
    this.machine = new CrashMachine({ seed: 1, ...options });
    this.#wrap = wrap;
  }

  static async create(options: Partial<MachineOptions> = {}, wrap?: (settler: Settler) => Settler): Promise<StoreRig> {
    const rig = new StoreRig(options, wrap);
    await rig.open(true);
    return rig;
  }

  async open(create = false): Promise<void> {
    const { machine } = this;
    this.region = machine.openRegion();
    this.device = machine.openDevice();
    this.index = machine.openIndex();
    const readLog = (offset: number, length: number): Uint8Array => machine.regionMedium.slice(offset, offset + length);
    this.store = await openStore({
      world: machine,
      region: this.region,
      device: this.device,
      index: this.index,
      settler: this.#wrap(new InlineSettler(this.index, readLog, this.isGated)),
      create,
      segmentBytes: this.segmentBytes,
      transactionPages: this.transactionPages,
      generationCells: this.generationCells,
      ...(this.destageRule !== undefined && { destageRule: this.destageRule }),
    });
  }

  /** Loses power at once and opens the store again. */
  async crash(): Promise<void> {
    this.machine.losePower("test");
    await new Promise(setImmediate);
    this.machine.restart();
    await this.open();
  }

  /** Appends and waits until it is durable. */
  async write(writes: readonly CellWrite[], reclaims: Parameters<CellStore["append"]>[1] = []): Promise<number> {
    await this.store.admit(1000);
    const sequence = this.store.append(writes, reclaims);
    await this.durable(sequence);
    return sequence;
  }

  durable(sequence: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.store.whenDurable(sequence, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  /** Lets enough simulated time pass that what is logged is settled and reclaims are worked off. */
  async settle(): Promise<void> {
    await this.machine.timers.advance(10_000);
  }

  get(name: string, epoch: number = LATEST): string | undefined {
    return text(this.store.get(key(name), epoch as Epoch));
  }

  versions(name: string, epoch: number = LATEST): string[] {
    const found: string[] = [];
    this.store.versions(key(name), epoch as Epoch, (version) => {
      found.push(`${version.epoch}`);
      return true;
    });
    return found;
  }

  names(reverse = false, epoch: number = LATEST): string[] {
    const found: string[] = [];
    this.store.scan(
      key(""),
      key("", 2),
      epoch as Epoch,
      (name) => {
        found.push(name.slice(4));
        return true;
      },
      { reverse },
    );
    return found;
  }
}
