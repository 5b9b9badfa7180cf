/** What the tests of versioned objects are built on: a store, a clock that the test moves, and objects on it. */
import type { ByteString } from "../../src/base/bytes.ts";
import { EPOCH_ORIGIN_MS, HybridLogicalClock } from "../../src/base/epoch.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId, type ObjectId } from "../../src/base/object-id.ts";
import type { StepLimits } from "../../src/vos/target-objects.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { type ModelOptions, ModelStore } from "./model-store.ts";

export const CONTAINER = 7;

export interface Rig {
  readonly store: ModelStore;
  readonly clock: HybridLogicalClock;
  objects: VersionedObjects;
  /** Forgets everything but the store, as a restart does. */
  reopen(): void;
}

export function makeRig(
  options: ModelOptions & { maxObjectStates?: number; limits?: Partial<StepLimits>; thresholdBytes?: number } = {
    strict: true,
  },
): Rig {
  const store = new ModelStore(options);
  const clock = new HybridLogicalClock(() => EPOCH_ORIGIN_MS + 1000);
  const open = (): VersionedObjects => {
    const objects = new VersionedObjects({
      store,
      clock,
      timers: { soon: (callback) => void setImmediate(callback) },
      ...(options.limits !== undefined && { limits: options.limits }),
      ...(options.maxObjectStates !== undefined && { maxObjectStates: options.maxObjectStates }),
    });
    objects.openContainer(CONTAINER);
    if (options.thresholdBytes !== undefined) objects.setThreshold(CONTAINER, options.thresholdBytes);
    return objects;
  };
  const rig: Rig = {
    store,
    clock,
    objects: open(),
    reopen: () => {
      rig.objects = open();
    },
  };
  return rig;
}

export function oid(number: number): ObjectId {
  return objectId("MULTI_HASHED", objectClassByName("S1"), 0, BigInt(number));
}

export function key(text: string): ByteString {
  return text as ByteString;
}

export function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}

/** The outcome, its views copied in the turn it came in; throws its error. */
export function settled<Outcome extends { error: Error | undefined }>(
  outcome: Outcome | Promise<Outcome>,
): Promise<Outcome> {
  if (outcome instanceof Promise) return outcome.then(checked);
  const copy: Record<string, unknown> = { ...outcome };
  for (const [name, value] of Object.entries(copy))
    if (value instanceof Uint8Array) copy[name] = Uint8Array.from(value);
  return Promise.resolve().then(() => checked(copy as unknown as Outcome));
}

function checked<Outcome extends { error: Error | undefined }>(outcome: Outcome): Outcome {
  if (outcome.error !== undefined) throw outcome.error;
  return outcome;
}

/** The code an operation is refused with, however it says so. */
export async function refusal(run: () => unknown): Promise<string> {
  try {
    const outcome = (await run()) as { error?: { code: string } } | undefined;
    return outcome?.error?.code ?? "nothing";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
