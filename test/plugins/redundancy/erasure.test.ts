/**
 * redundancy `erasure` on the portable codec; test/native/erasure.test.ts runs the same suite on ISA-L.
 */
import { describe, expect, test } from "bun:test";
import { portableCodec } from "../../../native/isal/portable-codec.ts";
import redundancyErasure, { erasureProvider } from "../../../plugins/redundancy/erasure/index.ts";
import { EPOCH_NONE, type Epoch } from "../../../src/base/epoch.ts";
import { KIB, MIB } from "../../../src/base/limits.ts";
import type {
  Plan,
  RedundancyScheme,
  ShardPart,
  ShardRead,
  ShardReadResult,
} from "../../../src/contracts/redundancy.ts";
import { ModelShard, runPlan } from "../../conformance/redundancy-model.ts";
import { runRedundancyHistory } from "../../conformance/redundancy-history.ts";
import { redundancyConformance } from "../../conformance/redundancy.ts";
import { expectCode } from "../../conformance/support.ts";
import { GOLDEN_PARITY, goldenStripe } from "./golden-parity.ts";

const provider = erasureProvider(portableCodec);
const schemeOf = (word: string, cellBytes = 4 * KIB) => provider.scheme(word, { cellBytes });
const PARITY_BASE = 2 ** 52;
const at = (epoch: number) => epoch as Epoch;

redundancyConformance("erasure", () => redundancyErasure.create({ codec: "portable" }));

test("cells are a multiple of 4 KiB up to 1 MiB", async () => {
  for (const cellBytes of [4 * KIB, 128 * KIB, 1 * MIB])
    expect(schemeOf("EC_2P1", cellBytes).stripeBytes).toBe(2 * cellBytes);
  for (const cellBytes of [0, 1, 4095, 4097, 2 * MIB, -4096, Number.NaN]) {
    await expectCode("INVALID_ARGUMENT", () => schemeOf("EC_2P1", cellBytes));
  }
});

test("every class gives the parity that ISA-L gives", () => {
  expect(Object.keys(GOLDEN_PARITY)).toEqual([...provider.serves]);
  for (const [word, expected] of Object.entries(GOLDEN_PARITY)) {
    const scheme = schemeOf(word);
    const stripe = goldenStripe(scheme.dataShards, 4 * KIB);
    const parity = scheme.planWrite(0, stripe.length, stripe).filter((part) => part.holds === "parity");
    expect(parity.map((part) => Buffer.from(part.views[0]!.subarray(0, 8)).toString("hex"))).toEqual([...expected]);
  }
});

test("histories that found bugs once: replicas of a rebuilt parity shard that an older snapshot's fold took along", () => {
  for (const seed of [12_359, 13_343]) runRedundancyHistory(schemeOf("EC_2P1"), seed);
});

test("leader: the last parity shard alive, else the first shard", () => {
  const scheme = schemeOf("EC_4P2");
  expect(scheme.leader([0, 1, 2, 3, 4, 5])).toBe(5);
  expect(scheme.leader([0, 1, 2, 3, 4])).toBe(4);
  expect(scheme.leader([0, 1, 2, 3])).toBe(0);
});

test("a write: cells and parity of full stripes, pieces of others also to every parity shard, replicas hidden", () => {
  const scheme = schemeOf("EC_2P1");
  const parts = scheme.planWrite(4000, 8192 + 4192 + 100);
  const shape = parts.map(({ shard, kind, holds, address, length }) => [shard, kind, holds, address, length]);
  expect(shape).toEqual([
    [0, "write", "data", 4000, 96 + 4096 + 100],
    [1, "write", "data", 0, 4096 + 4096],
    [2, "write", "replica", 4000, 4192],
    [2, "write", "replica", 2 * MIB, 100],
    [2, "write", "parity", PARITY_BASE + MIB, 4096],
    [2, "punch", "hidden", MIB, MIB],
  ]);
});

test("values: small ones whole on shard 0 and on parity, larger ones in cells", () => {
  const scheme = schemeOf("EC_4P2");
  expect(scheme.planValue(4096).map((part) => [part.shard, part.holds, part.length])).toEqual([
    [0, "copy", 4104],
    [4, "copy", 4104],
    [5, "copy", 4104],
  ]);
  expect(scheme.planValue(4097).map((part) => [part.shard, part.holds, part.length])).toEqual([
    [0, "data", 1033],
    [1, "data", 1033],
    [2, "data", 1033],
    [3, "data", 1033],
    [4, "parity", 1033],
    [5, "parity", 1033],
  ]);
});

describe("rounds", () => {
  const full = new Uint8Array(8192).fill(5);

  /** EC_2P1 with one stripe of parity at epoch 10 and a replica at 20. */
  function group(): { scheme: RedundancyScheme; shards: ModelShard[] } {
    const scheme = schemeOf("EC_2P1");
    const shards = [new ModelShard(), new ModelShard(), new ModelShard()];
    for (const part of scheme.planWrite(0, 8192, full)) shards[part.shard]!.apply(part, at(10));
    for (const part of scheme.planWrite(100, 50, full.subarray(0, 50).fill(6))) shards[part.shard]!.apply(part, at(20));
    return { scheme, shards };
  }

  test("a normal read asks data shards, once", () => {
    const plan = schemeOf("EC_2P1").planRead(4000, 200, at(30), [0, 1, 2])!;
    expect(plan.next().map(({ shard, address, length, epoch }) => [shard, address, length, epoch as number])).toEqual([
      [0, 4000, 96, 30],
      [1, 0, 104, 30],
    ]);
  });

  test("a degraded read asks for replicas and parity, then the others as of the parity's epoch", () => {
    const { scheme, shards } = group();
    const plan = scheme.planRead(0, 200, at(30), [1, 2])!;
    const rounds: unknown[] = [];
    while (plan.next().length > 0) {
      rounds.push(plan.next().map(({ shard, address, epoch }) => [shard, address, epoch as number]));
      plan.take(plan.next().map((read) => shards[read.shard]!.read(read, [])));
    }
    expect(rounds).toEqual([
      [
        [2, 0, 30],
        [2, 4096, 30],
        [2, PARITY_BASE, 30],
      ],
      [
        [1, 0, 10],
        [2, PARITY_BASE, 10],
      ],
    ]);
    expect(plan.result!.epoch).toBe(at(20));
  });

  test("a degraded read leaves what the shards gave as it is, also where that is a Buffer", () => {
    const { scheme, shards } = group();
    for (const part of scheme.planWrite(4196, 50, full.slice(0, 50).fill(7))) shards[part.shard]!.apply(part, at(25));
    const plan = scheme.planRead(0, 8192, at(30), [1, 2])!;
    const taken: { readonly bytes: Buffer; readonly before: Buffer }[] = [];
    for (let reads = plan.next(); reads.length > 0; reads = plan.next()) {
      const results = reads.map((read) => {
        const result = shards[read.shard]!.read(read, []);
        const bytes = Buffer.from(result.bytes);
        taken.push({ bytes, before: Buffer.from(bytes) });
        return { ...result, bytes };
      });
      plan.take(results);
    }
    expect(plan.result!.bytes.subarray(4196, 4246).every((byte) => byte === 7)).toBe(true);
    for (const { bytes, before } of taken) expect(bytes.equals(before)).toBe(true);
  });

  test("aggregation that overtakes a degraded read between its rounds: CONFLICT, never bytes", async () => {
    const { scheme, shards } = group();
    const plan = scheme.planRead(0, 200, at(30), [1, 2])!;
    const results = plan.next().map((read) => shards[read.shard]!.read(read, []));
    const fold = runPlan(scheme.planFold(0, EPOCH_NONE, [0, 1, 2])!, shards, [0, 1, 2], []);
    expect(fold.epoch).toBe(at(20));
    for (const part of fold.parts) shards[part.shard]!.apply(part, fold.epoch);
    for (const shard of shards) shard.aggregate(at(30), []);
    plan.take(results);
    await expectCode("CONFLICT", () => plan.take(plan.next().map((read) => shards[read.shard]!.read(read, []))));
  });

  test("a data shard that lacks what parity was made of: CORRUPT", async () => {
    const { scheme, shards } = group();
    shards[1] = new ModelShard();
    await expectCode("CORRUPT", () => runPlan(scheme.planRead(0, 200, at(30), [1, 2])!, shards, [1, 2], []));
  });

  test("parity shards of different epochs, as in the midst of a fold, give the older state", () => {
    const scheme = schemeOf("EC_2P2");
    const shards = [0, 1, 2, 3].map(() => new ModelShard());
    const put = (address: number, bytes: Uint8Array, epoch: number) => {
      for (const part of scheme.planWrite(address, bytes.length, bytes)) shards[part.shard]!.apply(part, at(epoch));
    };
    const stripe = Uint8Array.from({ length: 8192 }, (_, index) => index * 7);
    put(0, stripe, 10);
    put(4000, Uint8Array.of(1, 2, 3), 20);
    stripe.set([1, 2, 3], 4000);
    for (const ahead of [2, 3]) {
      const fold = runPlan(scheme.planFold(0, EPOCH_NONE, [0, 1, 2, 3])!, shards, [0, 1, 2, 3], []);
      for (const part of fold.parts) if (part.shard === ahead) shards[ahead]!.apply(part, fold.epoch);
      const content = runPlan(scheme.planRead(0, 8192, at(30), [2, 3])!, shards, [2, 3], []);
      expect(Buffer.compare(content.bytes, stripe)).toBe(0);
      put(4000, stripe.slice(4000, 4003), 20);
    }
  });
});

describe("planted bugs are found", () => {
  /** The scheme with some of its methods replaced. */
  function altered(scheme: RedundancyScheme, methods: Partial<RedundancyScheme>): RedundancyScheme {
    return new Proxy(scheme, {
      get(target, name) {
        const value: unknown = Reflect.get(methods, name) ?? Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  const failures = (scheme: RedundancyScheme, sabotage?: "no gate"): number => {
    let found = 0;
    for (let seed = 1; seed <= 100; seed += 1) {
      try {
        runRedundancyHistory(scheme, seed, sabotage);
      } catch {
        found += 1;
      }
    }
    return found;
  };

  for (const word of ["EC_2P1", "EC_4P2"]) {
    const scheme = schemeOf(word);

    test(`${word}: none planted, none found`, () => {
      expect(failures(scheme)).toBe(0);
    });

    test(`${word}: shards that aggregate without a fold before`, () => {
      expect(failures(scheme, "no gate")).toBeGreaterThan(0);
    });

    test(`${word}: cells read at the read's epoch instead of the parity's`, () => {
      const wrong = altered(scheme, {
        planRead(address, length, epoch, alive) {
          const plan = scheme.planRead(address, length, epoch, alive);
          return plan === undefined ? undefined : atEpoch(plan, epoch);
        },
      });
      expect(failures(wrong)).toBeGreaterThan(0);
    });

    test(`${word}: folded parity of a later epoch than its newest replica`, () => {
      const wrong = altered(scheme, {
        planFold(stripe, epoch, alive) {
          return mapped(scheme.planFold(stripe, epoch, alive)!, (fold) => ({
            ...fold,
            epoch: at(fold.epoch + 3),
          }));
        },
      });
      expect(failures(wrong)).toBeGreaterThan(0);
    });

    test(`${word}: replicas that a full stripe does not hide`, () => {
      const wrong = altered(scheme, {
        planWrite: (address, length, bytes) =>
          scheme.planWrite(address, length, bytes).filter((part) => part.holds !== "hidden"),
      });
      expect(failures(wrong)).toBeGreaterThan(0);
    });
  }

  function atEpoch<Result>(plan: Plan<Result>, epoch: Epoch): Plan<Result> {
    return {
      next: () => plan.next().map((read) => (read.orNextReadable && read.length > 1 ? { ...read, epoch } : read)),
      take: (results) => plan.take(results),
      get result() {
        return plan.result;
      },
    };
  }

  function mapped<Result>(plan: Plan<Result>, change: (result: Result) => Result): Plan<Result> {
    return {
      next: () => plan.next(),
      take: (results) => plan.take(results),
      get result() {
        return plan.result === undefined ? undefined : change(plan.result);
      },
    };
  }
});

test("a degraded read shows the same whichever of its reads the folds of the shards come between", () => {
  const scheme = schemeOf("EC_2P2");
  const all = [0, 1, 2, 3];
  const cuts = Array.from({ length: 14 }, (_, cut) => cut);
  for (const alive of [
    [2, 3],
    [1, 2],
    [1, 2, 3],
  ]) {
    for (const [first, second] of cuts.flatMap((cut) => cuts.map((other) => [cut, other] as const))) {
      const shards = all.map(() => new ModelShard());
      const commit = (parts: readonly ShardPart[], epoch: Epoch): void => {
        for (const part of parts) shards[part.shard]!.apply(part, epoch);
      };
      const stripe = Buffer.alloc(8192, 1);
      commit(scheme.planWrite(0, 8192, stripe), at(1));
      commit(scheme.planWrite(2000, 3000, Buffer.alloc(3000, 2)), at(2));
      stripe.fill(2, 2000, 5000);
      const fold = runPlan(scheme.planFold(0, EPOCH_NONE, all)!, shards, all, []);
      let count = 0;
      const read = (one: ShardRead): ShardReadResult => {
        commit(
          fold.parts.filter(({ shard }) => (shard === 2 && count === first) || (shard === 3 && count === second)),
          fold.epoch,
        );
        count += 1;
        return shards[one.shard]!.read(one, []);
      };
      const plan = scheme.planRead(0, 8192, EPOCH_NONE, alive)!;
      while (plan.next().length > 0) plan.take(plan.next().map(read));
      expect(Buffer.from(plan.result!.bytes).equals(stripe)).toBe(true);
    }
  }
});
