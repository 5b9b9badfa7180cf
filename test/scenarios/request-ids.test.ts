/** Requests that are sent again under their number, as a client of somebody else's making might: at once, late, too late. */
import { expect, test } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { type Epoch, EPOCH_NONE, HybridLogicalClock } from "../../src/base/epoch.ts";
import type { DaosError } from "../../src/base/errors.ts";
import { MAX_CLIENT_REQUESTS } from "../../src/base/limits.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import { decodeCbor, encodeCbor } from "../../src/format/cbor.ts";
import {
  decodeObjectReply,
  encodeObjectRequest,
  ObjectFlag,
  objectRequestBytes,
} from "../../src/format/object-request.ts";
import { type AttachReply, Opcode } from "../../src/format/operations.ts";
import { RpcConnection } from "../../src/rpc/connection.ts";
import type { RequestTable } from "../../src/store/request-table.ts";
import { FIRST_PORT } from "../simulation/cluster/node.ts";
import { codeOf, forEachClass, type ScenarioRig, text } from "./scenario-rig.ts";

const CLASSES = ["S1", "RP_2G1", "RP_3GX", "EC_2P1G1"];
const CLIENT = 77;

interface Numbered {
  readonly sequence: number;
  readonly firstIncomplete?: number;
  readonly akey?: string;
  readonly value: string;
  readonly flags?: number;
  readonly issued?: Epoch;
}

/** A client that numbers its requests as the test says, and talks to the leader of the object's dkey `d`. */
class RawClient {
  readonly #rig: ScenarioRig;
  readonly #object: ObjectHandle;
  readonly #clock: HybridLogicalClock;
  #connection: RpcConnection | undefined;
  #handle = 0;

  constructor(rig: ScenarioRig, object: ObjectHandle) {
    this.#rig = rig;
    this.#object = object;
    this.#clock = new HybridLogicalClock(() => rig.clock.wallMs());
  }

  async #open(): Promise<RpcConnection> {
    if (this.#connection?.isClosed === false) return this.#connection;
    const { network, timers, control } = this.#rig;
    const { leader } = this.#rig.groupOf(this.#object, "d");
    const options = { timers, clock: this.#clock };
    const connection = await RpcConnection.connect(network.of("raw"), `n${leader}`, FIRST_PORT + leader, options);
    const { args } = await connection.call(Opcode.attach, encodeCbor({ capability: control.openNow().capability }));
    this.#handle = (decodeCbor(args) as AttachReply).handle;
    this.#connection = connection;
    return connection;
  }

  /** Updates `d`/`akey`; the epoch that is answered. */
  async update({ sequence, firstIncomplete = 1, akey = "a", value, flags = 0, issued }: Numbered): Promise<Epoch> {
    const connection = await this.#open();
    const request = {
      handle: this.#handle,
      flags,
      oid: this.#object.id,
      epoch: EPOCH_NONE,
      recordIndex: 0,
      recordCount: 0,
      recordBytes: 0,
      client: CLIENT,
      sequence,
      firstIncomplete,
      issued: issued ?? this.#clock.latest,
      dkey: byteStringOfText("d"),
      akey: byteStringOfText(akey),
    };
    const args = Buffer.alloc(objectRequestBytes(request));
    encodeObjectRequest(args, 0, request);
    const answer = await connection.call(Opcode.valueUpdate, args, Buffer.from(value));
    return decodeObjectReply(Buffer.from(answer.args), 0, answer.args.length).epoch;
  }
}

/** A client whose leader knows its group. */
async function ready(rig: ScenarioRig, className: string): Promise<{ object: ObjectHandle; client: RawClient }> {
  const object = rig.object(className);
  await object.update("d", "warm", Buffer.from("x"));
  return { object, client: new RawClient(rig, object) };
}

test("a request that is sent again is answered with the first outcome, and not run again", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const { object, client } = await ready(rig, className);
    const flags = ObjectFlag.ifAkeyAbsent;
    const first = await client.update({ sequence: 1, value: "one", flags });
    expect(await client.update({ sequence: 1, value: "one", flags })).toBe(first);
    // Whatever it says the second time: the number counts.
    expect(await client.update({ sequence: 1, value: "other" })).toBe(first);
    const between = await object.update("d", "a", Buffer.from("between"));
    expect(between).toBeGreaterThan(first);
    expect(await client.update({ sequence: 1, value: "one", flags })).toBe(first);
    expect(text(await object.fetch("d", "a"))).toBe("between");
  });
});

test("the same request sent many times at once happens once", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const { object, client } = await ready(rig, className);
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () =>
        client
          .update({ sequence: 1, value: "one", flags: ObjectFlag.ifAkeyAbsent })
          .catch((error: DaosError) => error.code),
      ),
    );
    const epochs = new Set(outcomes.filter((outcome) => typeof outcome === "number"));
    expect(epochs.size).toBe(1);
    // Who asked just as it ended is told to ask again, and is answered then.
    for (const outcome of outcomes) expect(typeof outcome === "number" || outcome === "UNAVAILABLE").toBe(true);
    expect(epochs.has(await client.update({ sequence: 1, value: "one" }))).toBe(true);
    expect((await object.fetch("d", "a"))!.epoch).toBe([...epochs][0] as Epoch);
  });
});

test("a request that was refused is decided anew when it is sent again", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const { object, client } = await ready(rig, className);
    const refused = { sequence: 1, value: "x", flags: ObjectFlag.ifAkeyExists };
    expect(await codeOf(client.update(refused))).toBe("DOES_NOT_EXIST");
    expect(await codeOf(client.update(refused))).toBe("DOES_NOT_EXIST");
    await object.update("d", "a", Buffer.from("there"));
    expect(await codeOf(client.update(refused))).toBe("ok");
    expect(text(await object.fetch("d", "a"))).toBe("x");
  });
});

test("requests are remembered over restarts of all targets", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const { object, client } = await ready(rig, className);
    const first = await client.update({ sequence: 1, value: "one" });
    await rig.timers.advance(500);
    for (let life = 0; life < 2; life += 1) {
      for (const { index } of rig.nodes) rig.stop(index);
      for (const { index } of rig.nodes) await rig.restart(index);
      await object.update("d", "warm", Buffer.from("y"));
      expect(await client.update({ sequence: 1, value: "one" })).toBe(first);
      if (life === 0) await rig.aggregate();
    }
  });
});

test("a request below what its client has acknowledged is refused, saying so, and is never run", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const { object, client } = await ready(rig, className);
    for (let sequence = 1; sequence <= 4; sequence += 1) await client.update({ sequence, value: `${sequence}` });
    await client.update({ sequence: 5, firstIncomplete: 5, value: "5" });
    for (const sequence of [1, 4]) {
      const failure = await client.update({ sequence, value: "again" }).catch((error: DaosError) => error);
      expect(failure).toMatchObject({ code: "INVALID_ARGUMENT", retry: false });
      expect((failure as DaosError).message).toStartWith(`Cannot run request ${sequence} again: `);
      expect((failure as DaosError).message).toEndWith("Send it under a new number.");
    }
    expect(text(await object.fetch("d", "a"))).toBe("5");
    for (const { index } of rig.nodes) rig.stop(index);
    for (const { index } of rig.nodes) await rig.restart(index);
    await object.update("d", "warm", Buffer.from("y"));
    expect(await codeOf(client.update({ sequence: 4, value: "again" }))).toBe("INVALID_ARGUMENT");
    expect(text(await object.fetch("d", "a"))).toBe("5");
  });
});

test("of a client that acknowledges nothing the oldest requests are given up: refused, and never run", async () => {
  await forEachClass(["S1"], async (rig, className) => {
    const { object, client } = await ready(rig, className);
    const { store } = rig.nodes[rig.groupOf(object, "d").leader]!.life!;
    for (let sequence = 1; sequence <= MAX_CLIENT_REQUESTS + 1; sequence += 256) {
      const numbers = Array.from({ length: 256 }, (_, index) => sequence + index);
      await Promise.all(
        numbers.map((number) => client.update({ sequence: number, akey: `${number % 10}`, value: "x" })),
      );
    }
    expect(store.requests.completed({ client: CLIENT, sequence: 1 })).toBe("old");
    expect(await codeOf(client.update({ sequence: 1, akey: "1", value: "again" }))).toBe("INVALID_ARGUMENT");
    expect(text(await object.fetch("d", "1"))).toBe("x");
  });
}, 30_000);

test("a successor of the leader knows the requests that were completed before", async () => {
  await forEachClass(["RP_2G1", "RP_3GX", "EC_2P1G1", "EC_4P2G1"], async (rig, className) => {
    const { object, client } = await ready(rig, className);
    const first = await client.update({ sequence: 1, value: "one", flags: ObjectFlag.ifAkeyAbsent });
    await rig.timers.advance(500);
    const { leader } = rig.groupOf(object, "d");
    rig.stop(leader);
    await rig.exclude();
    // The library's session meets the new map, and so knows the new leader.
    await object.update("d", "warm", Buffer.from("y"));
    expect(rig.groupOf(object, "d").leader).not.toBe(leader);
    expect(await client.update({ sequence: 1, value: "one", flags: ObjectFlag.ifAkeyAbsent })).toBe(first);
    expect(text(await object.fetch("d", "a"))).toBe("one");
  });
});

/** Has all targets forget the clients that they know. */
function forgetClients(rig: ScenarioRig): void {
  for (const { life } of rig.nodes) {
    const table = life?.store.requests as RequestTable | undefined;
    table?.age();
    table?.age();
  }
}

test("a request that is sent again when its client is forgotten is refused, saying so, and is never run", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const { object, client } = await ready(rig, className);
    const issued = await object.update("d", "warm", Buffer.from("y"));
    await client.update({ sequence: 1, value: "one", issued });
    const between = await object.update("d", "a", Buffer.from("between"));
    const again = (): Promise<string> => codeOf(client.update({ sequence: 1, value: "one", issued }));
    forgetClients(rig);
    expect(await again()).toBe("OLD_REQUEST");
    // What gets its number now cannot have been done before.
    expect(await codeOf(client.update({ sequence: 2, akey: "b", value: "new", issued: between }))).toBe("ok");
    // Nor does a client that goes on make what was forgotten known again.
    expect(await again()).toBe("OLD_REQUEST");
    expect(text(await object.fetch("d", "a"))).toBe("between");
    await rig.timers.advance(500);
    await rig.aggregate();
    for (const { index } of rig.nodes) rig.stop(index);
    for (const { index } of rig.nodes) await rig.restart(index);
    await object.update("d", "warm", Buffer.from("z"));
    forgetClients(rig);
    expect(await again()).toBe("OLD_REQUEST");
    expect(text(await object.fetch("d", "a"))).toBe("between");
  });
});

test("a target that is filled, and then leads, refuses what was forgotten before it came", async () => {
  await forEachClass(["RP_2G1", "EC_2P1G1"], async (rig, className) => {
    const { object, client } = await ready(rig, className);
    const issued = await object.update("d", "warm", Buffer.from("y"));
    await client.update({ sequence: 1, value: "one", issued });
    await object.update("d", "a", Buffer.from("between"));
    await rig.timers.advance(500);
    forgetClients(rig);
    const before = new Set(rig.groupOf(object, "d").targets);
    const leader = (): number => rig.groupOf(object, "d").leader;
    while (before.has(leader())) {
      rig.stop(leader());
      await rig.exclude();
      await rig.filled();
      await object.update("d", "warm", Buffer.from("z"));
    }
    expect(await codeOf(client.update({ sequence: 1, value: "one", issued }))).toBe("OLD_REQUEST");
    expect(text(await object.fetch("d", "a"))).toBe("between");
  });
});
