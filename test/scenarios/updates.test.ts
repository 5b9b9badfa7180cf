/** Suite `t` (base DTX: updates of one redundancy group) of daos_test. See docs/scenarios.md. */
import { expect, test } from "bun:test";
import { type Epoch, EPOCH_NONE } from "../../src/base/epoch.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import { Opcode } from "../../src/format/operations.ts";
import { codeOf, forEachClass, pattern, type ScenarioRig, text, texts } from "./scenario-rig.ts";
import { Losses } from "./spied-link.ts";

const SINGLE = ["S1"];
const REPLICATED = ["RP_2G1", "RP_3G1", "EC_2P1G1", "EC_4P2G1"];
/** Within the log record, in the connection's buffer, and as bulk. */
const SIZES = [20, 3_000, 100_000];

/** The latest versions of a value that all clients of the cluster see, whichever target they ask. */
async function seenByMany(rig: ScenarioRig, object: ObjectHandle, dkey: string, akey: string): Promise<Set<string>> {
  const seen = new Set<string>();
  for (let count = 0; count < 6; count += 1) {
    seen.add(String(text(await rig.seen(object, rig.client()).fetch(dkey, akey))));
  }
  return seen;
}

test("update and punch of single values and arrays: every member has them, and no decision is left open", async () => {
  await forEachClass(REPLICATED, async (rig, className) => {
    const object = rig.object(className);
    for (const size of SIZES.slice(0, 2)) {
      await object.update("d", "a", pattern(size));
      await object.writeArray("d", "r", { recordIndex: 3, recordBytes: 1 }, pattern(size));
    }
    await object.punchArray("d", "r", { recordIndex: 0, recordCount: 1_000, recordBytes: 1 });
    await object.update("d", "b", Buffer.from("to go"));
    await object.punchAkey("d", "b");
    await rig.timers.advance(500);
    expect(rig.undecided).toBe(0);
    const { targets } = rig.groupOf(object, "d");
    for (const target of targets) {
      rig.stop(target);
      expect((await object.fetch("d", "a"))!.value.length).toBe(3_000);
      expect(await object.fetch("d", "b")).toBeUndefined();
      const range = { recordIndex: 0, recordCount: 3_003, recordBytes: 1 };
      const expected = Buffer.concat([Buffer.alloc(1_000), pattern(3_000).subarray(997)]);
      expect(Buffer.from(await object.readArray("d", "r", range)).equals(expected)).toBe(true);
      await rig.restart(target);
    }
  });
});

test("an update that the leader refuses is nowhere, and leaves nothing open", async () => {
  await forEachClass([...SINGLE, ...REPLICATED], async (rig, className) => {
    const object = rig.object(className);
    await object.update("d", "a", Buffer.from("1"));
    expect(await codeOf(object.update("d", "a", Buffer.from("2"), { condition: "ifAbsent" }))).toBe("ALREADY_EXISTS");
    expect(await codeOf(object.punchAkey("d", "b", { condition: "ifExists" }))).toBe("DOES_NOT_EXIST");
    expect(await codeOf(object.writeArray("d", "a", { recordIndex: 0, recordBytes: 1 }, pattern(9)))).toBe(
      "INVALID_ARGUMENT",
    );
    await rig.timers.advance(500);
    expect(rig.undecided).toBe(0);
    expect(await seenByMany(rig, object, "d", "a")).toEqual(new Set(["1"]));
  });
});

test("an update that a member cannot take any more fails or happens, and all see the same", async () => {
  await forEachClass(REPLICATED, async (rig, className) => {
    const object = rig.object(className);
    await object.update("d", "a", Buffer.from("1"));
    await rig.timers.advance(500);
    const { targets, leader } = rig.groupOf(object, "d");
    const member = targets.find((target) => target !== leader)!;
    const update = codeOf(object.update("d", "a", Buffer.from("2")));
    // On its way: it loses power before it has it, or just after.
    await rig.timers.advance(0.2);
    rig.stop(member);
    await rig.timers.advance(300);
    await rig.restart(member);
    const outcome = await update;
    await rig.timers.advance(2_000);
    expect(rig.undecided).toBe(0);
    const seen = await seenByMany(rig, object, "d", "a");
    expect(seen.size).toBe(1);
    if (outcome === "ok") expect([...seen]).toEqual(["2"]);
  });
});

test("fetch with a non-committed update or punch: a reader waits or sees what was before, and never goes back", async () => {
  await forEachClass(["RP_2G1", "RP_3G1"], async (rig, className) => {
    for (const change of ["update", "punch"] as const) {
      const object = rig.object(className);
      await object.update("d", "a", Buffer.from("before"));
      await rig.timers.advance(500);
      const { targets, leader } = rig.groupOf(object, "d");
      const silent = targets.find((target) => target !== leader)!;
      // The last member's answer does not come: the update is prepared, and not decided.
      rig.network.hold(`n${silent}`, `n${leader}`);
      const changing = change === "update" ? object.update("d", "a", Buffer.from("after")) : object.punchAkey("d", "a");
      await rig.timers.advance(50);
      expect(rig.undecided).toBeGreaterThan(0);
      const order: string[] = [];
      const reads = targets.map((target) => {
        const client = rig.client();
        return rig
          .seen(object, client)
          .fetch("d", "a")
          .then(
            (found) => order.push(String(text(found))),
            () => order.push(`none of ${target}`),
          );
      });
      await rig.timers.advance(200);
      // What was read so far is what was there before: the update is not acknowledged.
      expect(new Set(order)).toEqual(new Set(order.length === 0 ? [] : ["before"]));
      rig.network.release(`n${silent}`, `n${leader}`);
      await changing;
      await Promise.all(reads);
      const after = change === "update" ? "after" : "undefined";
      expect(await seenByMany(rig, object, "d", "a")).toEqual(new Set([after]));
      expect(order.filter((value) => value !== "before" && value !== after)).toEqual([]);
    }
  });
});

test("updates and punches right after each other, before members hear of decisions", async () => {
  await forEachClass(REPLICATED, async (rig, className) => {
    const object = rig.object(className);
    // Members hear of decisions 5 ms later; these follow each other within one.
    for (let round = 0; round < 10; round += 1) {
      const epochs: Epoch[] = [];
      epochs.push(await object.update("d", "a", Buffer.from(`${round}`)));
      epochs.push(await object.punchAkey("d", "a"));
      epochs.push(await object.update("d", "a", Buffer.from(`${round} again`), { condition: "ifAbsent" }));
      epochs.push(await object.update("d", "a", Buffer.from(`${round} last`), { condition: "ifExists" }));
      expect(epochs).toEqual(epochs.toSorted((left, right) => left - right));
      expect(text(await object.fetch("d", "a"))).toBe(`${round} last`);
    }
    expect(await seenByMany(rig, object, "d", "a")).toEqual(new Set(["9 last"]));
  });
});

test("batched commit: by count while many are under way, and by time when nothing follows", async () => {
  await forEachClass(["RP_3G1", "EC_2P1G1"], async (rig, className) => {
    const object = rig.object(className);
    // More than a batch holds (256).
    const numbers = Array.from({ length: 400 }, (_, index) => index);
    await Promise.all(numbers.map((index) => object.update(`d${index % 5}`, `a${index}`, pattern(10))));
    await object.update("d0", "last", pattern(10));
    expect(rig.undecided).toBeGreaterThan(0);
    await rig.timers.advance(100);
    expect(rig.undecided).toBe(0);
    expect((await texts(object.listAkeys("d0"))).length).toBe(81);
  });
});

for (const loss of ["request", "reply"] as const) {
  test(`resend with lost ${loss}: of updates, conditional updates, array writes and punches, each happens once`, async () => {
    await forEachClass([...SINGLE, ...REPLICATED], async (rig, className) => {
      const losses = new Losses(rig.timers);
      const plain = rig.object(className);
      const object = rig.seen(plain, rig.client(losses.wrap));
      const lose = (opcode: Opcode): void => void losses.next.push({ opcode, loss }, { opcode, loss });
      for (const size of SIZES) {
        lose(Opcode.valueUpdate);
        await object.update("d", `a${size}`, pattern(size), { condition: "ifAbsent" });
        expect((await plain.fetch("d", `a${size}`))!.value.length).toBe(size);
      }
      lose(Opcode.arrayWrite);
      await object.writeArray("d", "r", { recordIndex: 0, recordBytes: 1 }, pattern(20_000), { condition: "ifAbsent" });
      lose(Opcode.akeyPunch);
      await object.punchAkey("d", "a20", { condition: "ifExists" });
      lose(Opcode.arrayPunch);
      await object.punchArray(
        "d",
        "r",
        { recordIndex: 0, recordCount: 20_000, recordBytes: 1 },
        { condition: "ifExists" },
      );
      expect(losses.lost.length).toBe(12);
      expect(await texts(plain.listAkeys("d"))).toEqual(["a100000", "a3000"]);
    });
  });
}

test("a request that is sent again has the epoch of the first time, also behind what others wrote meanwhile", async () => {
  await forEachClass([...SINGLE, ...REPLICATED], async (rig, className) => {
    const losses = new Losses(rig.timers);
    losses.pauseMs = 200;
    const plain = rig.object(className);
    const object = rig.seen(plain, rig.client(losses.wrap));
    // The members of the group know each other from now on.
    await plain.update("d", "before", Buffer.from("x"));
    losses.next.push({ opcode: Opcode.valueUpdate, loss: "reply" });
    const first = object.update("d", "a", Buffer.from("first"));
    await rig.timers.advance(50);
    const between = await plain.update("d", "a", Buffer.from("between"));
    expect(await first).toBeLessThan(between);
    expect(text(await plain.fetch("d", "a"))).toBe("between");
  });
});

test("resend after the decision was aggregated and the targets started anew: it is not run again", async () => {
  await forEachClass([...SINGLE, ...REPLICATED], async (rig, className) => {
    const losses = new Losses(rig.timers);
    losses.pauseMs = 4_000;
    const plain = rig.object(className);
    const object = rig.seen(plain, rig.client(losses.wrap));
    // The members of the group know each other from now on.
    await plain.update("d", "before", Buffer.from("x"));
    losses.next.push({ opcode: Opcode.valueUpdate, loss: "reply" });
    const first = object.update("d", "a", Buffer.from("first"), { condition: "ifAbsent" });
    await rig.timers.advance(100);
    const { targets } = rig.groupOf(plain, "d");
    await Promise.all(targets.map((target) => rig.nodes[target]!.life!.store.aggregate(1)));
    for (const target of targets) {
      rig.stop(target);
      await rig.restart(target);
    }
    await rig.timers.advance(500);
    const between = await plain.update("d", "a", Buffer.from("between"));
    expect(await first).toBeLessThan(between);
    expect(text(await plain.fetch("d", "a"))).toBe("between");
  });
});

test("resend with the reply of a member lost: the leader asks it again, and the update happens once", async () => {
  await forEachClass(REPLICATED, async (rig, className) => {
    const object = rig.object(className);
    await object.update("d", "a", Buffer.from("1"));
    await rig.timers.advance(500);
    const { targets, leader } = rig.groupOf(object, "d");
    const [leading, member] = [`n${leader}`, `n${targets.find((target) => target !== leader)!}`];
    rig.network.hold(member, leading);
    const update = object.update("d", "a", Buffer.from("2"), { condition: "ifExists" });
    await rig.timers.advance(50);
    rig.network.release(member, leading);
    rig.network.reset(leading, member);
    const epoch = await update;
    const found = await object.fetch("d", "a");
    expect([text(found), found!.epoch]).toEqual(["2", epoch]);
    await rig.timers.advance(1_000);
    expect(rig.undecided).toBe(0);
  });
});

test("the leader starts anew while updates are under way: each is there on all members, or on none", async () => {
  await forEachClass(REPLICATED, async (rig, className) => {
    const object = rig.object(className);
    const { leader } = rig.groupOf(object, "d");
    const numbers = Array.from({ length: 30 }, (_, index) => index);
    const outcomes = numbers.map((index) => codeOf(object.update("d", `a${index}`, Buffer.from(`${index}`))));
    await rig.timers.advance(0.7);
    rig.stop(leader);
    await rig.timers.advance(200);
    await rig.restart(leader);
    const codes = await Promise.all(outcomes);
    await rig.timers.advance(2_000);
    expect(rig.undecided).toBe(0);
    const lists = await Promise.all(
      Array.from({ length: 6 }, () => texts(rig.seen(object, rig.client()).listAkeys("d"))),
    );
    for (const list of lists) expect(list).toEqual(lists[0]!);
    for (const [index, code] of codes.entries()) {
      if (code === "ok") expect(lists[0]).toContain(`a${index}`);
      expect(["ok", "UNAVAILABLE"]).toContain(code);
    }
  });
});

test("iteration does not return what was undone", async () => {
  await forEachClass(["RP_2G1", "RP_3G1"], async (rig, className) => {
    const object = rig.object(className);
    await object.update("d", "there", Buffer.from("1"));
    await rig.timers.advance(500);
    const { targets, leader } = rig.groupOf(object, "d");
    const members = targets.filter((target) => target !== leader);
    // The members never get it, and the leader loses its own with the power, or undoes it when it is back.
    for (const member of members) rig.network.hold(`n${leader}`, `n${member}`);
    const update = codeOf(object.update("d", "undone", Buffer.from("x")));
    await rig.timers.advance(20);
    rig.stop(leader);
    for (const member of members) {
      rig.network.reset(`n${leader}`, `n${member}`);
      rig.network.release(`n${leader}`, `n${member}`);
    }
    await rig.exclude();
    // The client has sent it again to the next leader, or gave up.
    const expected = (await update) === "ok" ? ["there", "undone"] : ["there"];
    await rig.restart(leader);
    for (let count = 0; count < 4; count += 1) {
      expect(await texts(rig.seen(object, rig.client()).listAkeys("d"))).toEqual(expected);
    }
    expect(await codeOf(rig.seen(object, rig.client(), EPOCH_NONE).fetch("d", "there"))).toBe("ok");
  });
});
