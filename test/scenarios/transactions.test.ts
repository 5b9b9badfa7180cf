/** Suite `T` (distributed transactions) of daos_test. See docs/scenarios.md. */
import { expect, test } from "bun:test";
import { EPOCH_NONE } from "../../src/base/epoch.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import type { Transaction } from "../../src/client/transaction.ts";
import { Opcode } from "../../src/format/operations.ts";
import { CLASSES, CODED, codeOf, forEachClass, pattern, type ScenarioRig, text, texts } from "./scenario-rig.ts";
import { Losses } from "./spied-link.ts";
import { endingAt, kept, LEFT_ALONE_MS } from "./transaction-steps.ts";

const RANGE = { recordIndex: 0, recordBytes: 1 };
/** Objects with a value each at `d`/`a`, and a transaction that writes all of them. */
async function accounts(rig: ScenarioRig, className: string, count = 3): Promise<readonly ObjectHandle[]> {
  const objects = Array.from({ length: count }, () => rig.object(className));
  for (const object of objects) await object.update("d", "a", Buffer.from("old"));
  await rig.timers.advance(300);
  return objects;
}

async function writeAll(transaction: Transaction, objects: readonly ObjectHandle[], value = "new"): Promise<void> {
  for (const object of objects) await transaction.object(object.id).update("d", "a", Buffer.from(value));
}

async function values(objects: readonly ObjectHandle[]): Promise<(string | undefined)[]> {
  return Promise.all(objects.map(async (object) => text(await object.fetch("d", "a"))));
}

test("multiple single values and array extents in one object, and in many", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const objects = Array.from({ length: 5 }, () => rig.object(className));
    await rig.transactions().run(async (transaction) => {
      for (const [index, { id }] of objects.entries()) {
        const object = transaction.object(id);
        for (const akey of ["a", "b"]) await object.update(`d${index % 2}`, akey, pattern(50, index));
        await object.writeArray("e", "r", RANGE, pattern(300, index));
        await object.writeArray("e", "r", { ...RANGE, recordIndex: 1_000 }, pattern(300, index + 1));
      }
    });
    for (const [index, object] of objects.entries()) {
      expect(await texts(object.listAkeys(`d${index % 2}`))).toEqual(["a", "b"]);
      const bytes = await object.readArray("e", "r", { ...RANGE, recordCount: 1_300 });
      const expected = Buffer.concat([pattern(300, index), Buffer.alloc(700), pattern(300, index + 1)]);
      expect(Buffer.from(bytes).equals(expected)).toBe(true);
    }
  });
});

test("multiple large array extents and values over several objects", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const objects = Array.from({ length: 3 }, () => rig.object(className));
    await rig.transactions().run(async (transaction) => {
      for (const [index, { id }] of objects.entries()) {
        await transaction.object(id).writeArray("d", "r", RANGE, pattern(20_000, index));
        await transaction.object(id).update("d", "a", pattern(9_000, index));
      }
    });
    for (const [index, object] of objects.entries()) {
      const bytes = await object.readArray("d", "r", { ...RANGE, recordCount: 20_000 });
      expect(Buffer.from(bytes).equals(pattern(20_000, index))).toBe(true);
      expect((await object.fetch("d", "a"))!.value.length).toBe(9_000);
    }
  });
});

test("single value and array updates plus punches of akeys, records and dkeys", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    for (const dkey of ["d", "e"]) {
      for (const akey of ["a", "b"]) await object.update(dkey, akey, Buffer.from("old"));
    }
    await object.writeArray("f", "r", RANGE, pattern(5_000));
    const epoch = await rig.snapshot();
    await rig.transactions().run(async (transaction) => {
      const own = transaction.object(object.id);
      await own.punchAkey("d", "a");
      await own.update("d", "c", Buffer.from("new"));
      await own.punchDkey("e");
      await own.punchArray("f", "r", { ...RANGE, recordIndex: 100, recordCount: 200 });
      await own.writeArray("f", "r", { ...RANGE, recordIndex: 250 }, pattern(10, 9));
    });
    expect(await texts(object.listAkeys("d"))).toEqual(["b", "c"]);
    expect(await texts(object.listDkeys())).toEqual(["d", "f"]);
    const expected = pattern(5_000).fill(0, 100, 300);
    expected.set(pattern(10, 9), 250);
    expect(Buffer.from(await object.readArray("f", "r", { ...RANGE, recordCount: 5_000 })).equals(expected)).toBe(true);
    const before = rig.seen(object, rig.session, epoch);
    expect(await texts(before.listDkeys())).toEqual(["d", "e", "f"]);
    expect(await texts(before.listAkeys("d"))).toEqual(["a", "b"]);
  });
});

test("conditional insert, update and punch: one that does not hold leaves nothing of the transaction", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const [first, second] = (await accounts(rig, className, 2)) as [ObjectHandle, ObjectHandle];
    const attempt = (akey: string, condition: "ifAbsent" | "ifExists", isPunch = false): Promise<string> =>
      codeOf(
        rig.transactions().run(async (transaction) => {
          await transaction.object(first.id).update("d", "trace", Buffer.from(`${akey} ${condition}`));
          const other = transaction.object(second.id);
          if (isPunch) await other.punchAkey("d", akey, { condition });
          else await other.update("d", akey, Buffer.from("new"), { condition });
        }),
      );
    expect(await attempt("a", "ifAbsent")).toBe("ALREADY_EXISTS");
    expect(await attempt("none", "ifExists")).toBe("DOES_NOT_EXIST");
    expect(await attempt("none", "ifExists", true)).toBe("DOES_NOT_EXIST");
    expect(await first.fetch("d", "trace")).toBeUndefined();
    expect(await attempt("b", "ifAbsent")).toBe("ok");
    expect(await attempt("a", "ifExists")).toBe("ok");
    expect(await attempt("b", "ifExists", true)).toBe("ok");
    expect(text(await first.fetch("d", "trace"))).toBe("b ifExists");
    expect(await texts(second.listAkeys("d"))).toEqual(["a"]);
  });
});

test("read only transaction: one moment, no conflict, nothing left", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const objects = await accounts(rig, className);
    const transaction = rig.transactions().begin();
    const read = (index: number): Promise<string | undefined> =>
      transaction.object(objects[index]!.id).fetch("d", "a").then(text);
    expect(await read(0)).toBe("old");
    for (const object of objects) await object.update("d", "a", Buffer.from("new"));
    expect([await read(1), await read(2)]).toEqual(["old", "old"]);
    expect(await transaction.commit()).toBe(EPOCH_NONE);
    expect(kept(rig)).toBe(0);
  });
});

test("status machine: nothing after a commit, an abort, or a failed commit", async () => {
  await forEachClass(["S1"], async (rig, className) => {
    const [object] = (await accounts(rig, className, 1)) as [ObjectHandle];
    for (const end of ["commit", "abort"] as const) {
      const transaction = rig.transactions().begin();
      const own = transaction.object(object.id);
      await own.update("d", "a", Buffer.from(end));
      await transaction[end]();
      expect(await codeOf(transaction.commit())).toBe("INVALID_ARGUMENT");
      expect(await codeOf(own.fetch("d", "a"))).toBe("INVALID_ARGUMENT");
      expect(await codeOf(own.update("d", "a", Buffer.from("x")))).toBe("INVALID_ARGUMENT");
      transaction.abort();
    }
    expect(text(await object.fetch("d", "a"))).toBe("commit");
  });
});

test("restart because of a conflict with others: both happen, one after the other", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const [object] = (await accounts(rig, className, 1)) as [ObjectHandle];
    await object.update("d", "count", Buffer.from("0"));
    const sessions = [rig.session, rig.client(), rig.client()];
    let runs = 0;
    await Promise.all(
      sessions.map(async (session) => {
        for (let count = 0; count < 5; count += 1) {
          await rig.transactions(session).run(async (transaction) => {
            runs += 1;
            const own = transaction.object(object.id);
            const number = Number(text(await own.fetch("d", "count")));
            await own.update("d", "count", Buffer.from(String(number + 1)));
          });
        }
      }),
    );
    expect(text(await object.fetch("d", "count"))).toBe("15");
    expect(runs).toBeGreaterThan(15);
  });
});

test("a transaction that began under an older pool map commits under the next one", async () => {
  await forEachClass(["RP_2G1", "RP_3GX"], async (rig, className) => {
    const objects = await accounts(rig, className);
    const transaction = rig.transactions().begin();
    expect(text(await transaction.object(objects[0]!.id).fetch("d", "a"))).toBe("old");
    await writeAll(transaction, objects);
    rig.stop(rig.groupOf(objects[0]!, "d").leader);
    await rig.exclude();
    expect(rig.control.map.version).toBeGreaterThan(1);
    expect(await codeOf(transaction.commit())).toBe("ok");
    expect(await values(objects)).toEqual(["new", "new", "new"]);
  });
});

for (const loss of ["request", "reply"] as const) {
  test(`resend commit because of a lost ${loss}: it happens once`, async () => {
    await forEachClass(CLASSES, async (rig, className) => {
      const objects = await accounts(rig, className);
      for (let step = 0; step < 6; step += 1) {
        const losses = new Losses(rig.timers);
        const transactions = rig.transactions(rig.client(losses.wrap));
        const transaction = transactions.begin();
        const number = Number(text(await objects[0]!.fetch("d", "count")) ?? "0");
        await writeAll(transaction, objects, `${step}`);
        await transaction.object(objects[0]!.id).update("d", "count", Buffer.from(String(number + 1)));
        // One of prepare, commit, resolve and forget after the other.
        const opcode = Opcode.transactionStep;
        for (let passed = 0; passed < step; passed += 1) losses.pass(opcode);
        losses.next.push({ opcode, loss });
        expect(await codeOf(transaction.commit())).toBe("ok");
        await transactions.settled();
        expect(losses.lost).toEqual([loss]);
        expect(await values(objects)).toEqual([`${step}`, `${step}`, `${step}`]);
        expect(text(await objects[0]!.fetch("d", "count"))).toBe(String(step + 1));
      }
    });
  });
}

test("what a transaction has read is later written at a later epoch than its commit", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const [first, second] = (await accounts(rig, className, 2)) as [ObjectHandle, ObjectHandle];
    const transaction = rig.transactions().begin();
    await transaction.object(first.id).fetch("d", "a");
    await transaction.object(second.id).update("d", "a", Buffer.from("new"));
    const committed = await transaction.commit();
    expect(await rig.seen(first, rig.client()).update("d", "a", Buffer.from("later"))).toBeGreaterThan(committed);
  });
});

test("objects of several classes in one transaction, with and without erasure code", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const objects = ["S1", "RP_2G1", className, "RP_3GX", className].map((name) => rig.object(name));
    await rig.transactions().run((transaction) => writeAll(transaction, objects));
    expect(await values(objects)).toEqual(objects.map(() => "new"));
    const coded = objects[2]!;
    const seen = await rig.transactions().run(async (transaction) => {
      const found = await transaction.object(coded.id).fetch("d", "a");
      await writeAll(transaction, objects, "newer");
      return text(found);
    });
    expect(seen).toBe("new");
    expect(await values(objects)).toEqual(objects.map(() => "newer"));
    // One that has read what was there before is told, and nothing of it happens.
    const late = rig.transactions().begin();
    await late.object(coded.id).fetch("d", "a");
    await writeAll(late, objects, "late");
    await coded.update("d", "a", Buffer.from("between"));
    expect(await codeOf(late.commit())).toBe("CONFLICT");
    expect(await values(objects)).toEqual(objects.map((object) => (object === coded ? "between" : "newer")));
  });
});

test("isolation: what is not committed is seen by its transaction only, and after the commit by all at once", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const objects = await accounts(rig, className);
    const transaction = rig.transactions().begin();
    await writeAll(transaction, objects);
    await transaction.object(objects[0]!.id).writeArray("e", "r", RANGE, pattern(10));
    expect(text(await transaction.object(objects[1]!.id).fetch("d", "a"))).toBe("new");
    const others = objects.map((object) => rig.seen(object, rig.client()));
    expect(await values(others)).toEqual(["old", "old", "old"]);
    expect(await texts(others[0]!.listDkeys())).toEqual(["d"]);
    // While it commits others see all of it or nothing, in one moment.
    let isOver = false;
    const watching = (async () => {
      while (!isOver) {
        const watcher = rig.transactions(rig.client()).begin();
        const seen: (string | undefined)[] = [];
        for (const { id } of objects) seen.push(text(await watcher.object(id).fetch("d", "a")));
        expect(new Set(seen).size).toBe(1);
      }
    })();
    await transaction.commit();
    isOver = true;
    await watching;
    expect(await values(others)).toEqual(["new", "new", "new"]);
  });
});

test("uncertain status: a client that ends before its commit has done nothing; fetch, update, punch, lists and queries go on", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    for (const act of [
      async (object: ObjectHandle) => expect(text(await object.fetch("d", "a"))).toBe("old"),
      async (object: ObjectHandle) => expect(await texts(object.listAkeys("d"))).toEqual(["a"]),
      async (object: ObjectHandle) => void (await object.update("d", "b", Buffer.from("x"))),
      async (object: ObjectHandle) => void (await object.punchAkey("d", "b")),
      async (object: ObjectHandle) =>
        expect(await object.queryKey({ direction: "max", levels: ["akey"], dkey: "d" })).toBeDefined(),
      async (object: ObjectHandle) =>
        rig.transactions().run((other) => other.object(object.id).update("d", "b", Buffer.from("x"))),
    ]) {
      const objects = await accounts(rig, className);
      const left = rig.transactions(rig.client(endingAt("commit"))).begin();
      await writeAll(left, objects);
      void left.commit().catch(() => {});
      await rig.timers.advance(50);
      expect(kept(rig)).toBeGreaterThan(0);
      // Whoever meets it now waits, and is served when the targets have undone it.
      await Promise.all(objects.map((object) => retried(() => act(object))));
      await rig.timers.advance(LEFT_ALONE_MS);
      expect(kept(rig)).toBe(0);
      expect(await values(objects)).toEqual(["old", "old", "old"]);
    }
  });
}, 60_000);

/** Until a target has found out what became of the transaction that holds a dkey. */
async function retried(act: () => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await act();
      return;
    } catch (error) {
      if (attempt > 5 || !["UNAVAILABLE", "CONFLICT"].includes((error as { code: string }).code)) throw error;
    }
  }
}

test("uncertain status: a client that ends after its commit has done all of it; readers and writers are told", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    for (const end of ["resolve", "forget"] as const) {
      const objects = await accounts(rig, className);
      const left = rig.transactions(rig.client(endingAt(end))).begin();
      await writeAll(left, objects);
      const epoch = await left.commit();
      expect(await values(objects)).toEqual(["new", "new", "new"]);
      for (const object of objects) {
        expect(await texts(object.listAkeys("d"))).toEqual(["a"]);
        expect(await object.update("d", "a", Buffer.from("later"))).toBeGreaterThan(epoch);
      }
      await rig.timers.advance(LEFT_ALONE_MS);
      expect(kept(rig)).toBe(0);
      expect(await values(objects)).toEqual(["later", "later", "later"]);
    }
  });
}, 30_000);

test("resync: the leader of a part ends while it is prepared, or committed, and comes back or is excluded: all or nothing", async () => {
  await forEachClass(["RP_2G1", "RP_3GX"], async (rig, className) => {
    for (const [end, isExcluded] of [
      ["commit", false],
      ["resolve", false],
      ["resolve", true],
    ] as const) {
      const objects = await accounts(rig, className);
      const left = rig.transactions(rig.client(endingAt(end))).begin();
      await writeAll(left, objects);
      const outcome = codeOf(left.commit());
      await rig.timers.advance(50);
      const { leader } = rig.groupOf(objects[1]!, "d");
      rig.stop(leader);
      if (isExcluded) await rig.exclude();
      else {
        await rig.timers.advance(500);
        await rig.restart(leader);
      }
      await rig.timers.advance(LEFT_ALONE_MS);
      const expected = end === "commit" ? "old" : "new";
      if (end === "resolve") expect(await outcome).toBe("ok");
      expect(await values(objects)).toEqual([expected, expected, expected]);
      if (!isExcluded) expect(kept(rig)).toBe(0);
    }
  });
}, 30_000);

test("resync: all targets of the container start anew in the middle of a commit: all or nothing", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    for (const end of ["commit", "resolve"] as const) {
      const objects = await accounts(rig, className);
      const left = rig.transactions(rig.client(endingAt(end))).begin();
      const read = rig.object(className);
      await read.update("d", "a", Buffer.from("read"));
      expect(text(await left.object(read.id).fetch("d", "a"))).toBe("read");
      await writeAll(left, objects);
      void left.commit().catch(() => {});
      await rig.timers.advance(50);
      for (const { index } of rig.nodes) rig.stop(index);
      for (const { index } of rig.nodes) await rig.restart(index);
      await rig.timers.advance(LEFT_ALONE_MS);
      const expected = end === "commit" ? "old" : "new";
      expect(await values(objects)).toEqual([expected, expected, expected]);
      await read.update("d", "a", Buffer.from("written"));
      expect(kept(rig)).toBe(0);
    }
  });
}, 30_000);

test("resync: a lost redundancy group holds up what asks for it, and nothing else is wrong meanwhile", async () => {
  await forEachClass(["RP_2G1"], async (rig, className) => {
    const objects = await accounts(rig, className, 6);
    const lost = objects[0]!;
    const { targets } = rig.groupOf(lost, "d");
    const others = objects.filter(
      (object) => !rig.groupOf(object, "d").targets.some((target) => targets.includes(target)),
    );
    expect(others.length).toBeGreaterThan(0);
    for (const target of targets) rig.stop(target);
    const outcome = await codeOf(rig.transactions().run((transaction) => writeAll(transaction, [lost, ...others])));
    expect(outcome).toBe("UNAVAILABLE");
    for (const target of targets) await rig.restart(target);
    await rig.timers.advance(LEFT_ALONE_MS);
    expect(kept(rig)).toBe(0);
    expect(new Set(await values([lost, ...others])).size).toBe(1);
  });
}, 30_000);
