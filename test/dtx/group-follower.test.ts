/** What a member does with updates that its leader sends. */
import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import { type Epoch, EPOCH_NONE } from "../../src/base/epoch.ts";
import { placedGroups } from "../../src/dtx/group.ts";
import { GroupFollower } from "../../src/dtx/group-follower.ts";
import type { PreparedStore } from "../../src/dtx/prepared-store.ts";
import { NO_REQUEST_ID } from "../../src/format/object-request.ts";
import { Opcode } from "../../src/format/operations.ts";
import { encodePrepareRequest, prepareRequestBytes, type PrepareRequest } from "../../src/format/prepare-request.ts";
import { RpcRequest, type RpcReply } from "../../src/rpc/request.ts";
import type { WriteOutcome } from "../../src/vos/single-value.ts";
import { objectOf, poolMap } from "../placement/pool-maps.ts";
import { simulatedWorld } from "../simulation/world.ts";

const EPOCH = 1000 as Epoch;
const PREPARE: PrepareRequest = {
  client: 1,
  sequence: 7,
  firstIncomplete: 7,
  epoch: EPOCH,
  container: 4,
  opcode: Opcode.valueUpdate,
  parts: undefined,
  object: {
    ...NO_REQUEST_ID,
    handle: 0,
    flags: 0,
    oid: objectOf("RP_2G1", 1),
    epoch: EPOCH_NONE,
    recordIndex: 0,
    recordCount: 0,
    recordBytes: 0,
    dkey: "dkey" as ByteString,
    akey: "akey" as ByteString,
  },
};

/** A request that lies in a connection's receive buffer, which is used again. */
function received(payload: string): { request: RpcRequest; buffer: Buffer } {
  const argumentsEnd = prepareRequestBytes(PREPARE);
  const buffer = Buffer.alloc(argumentsEnd + payload.length);
  encodePrepareRequest(buffer, 0, PREPARE);
  buffer.write(payload, argumentsEnd, "latin1");
  const body = { bytes: buffer, argumentsStart: 0, argumentsEnd, payloadLength: payload.length };
  const request = new RpcRequest(Opcode.dtxPrepare, 1, 1, EPOCH, {} as never, body as never);
  return { request, buffer };
}

test("an update that waits for another one's turn keeps its bytes when the receive buffer is used again", async () => {
  const { timers } = simulatedWorld(1);
  const hasRoom: (() => void)[] = [];
  const written: string[] = [];
  const follower = new GroupFollower(
    {
      self: 1,
      store: {
        stateOf: () => undefined,
        whenDurable: (_sequence: number, callback: () => void) => callback(),
      } as unknown as PreparedStore,
      timers,
      peer: () => undefined,
      observe: () => true,
      before: () => undefined,
      appendedLate: () => {},
      run: async (_request, { payload }): Promise<WriteOutcome> => {
        const bytes = payload.toString("latin1");
        await new Promise<void>((resolve) => hasRoom.push(resolve));
        written.push(bytes);
        return { epoch: EPOCH, sequence: 1, error: undefined };
      },
    },
    placedGroups(poolMap([3], 1)),
  );
  const answers = ["first", "second"].map((payload) => {
    const { request, buffer } = received(payload);
    const answered = new Promise<void>((resolve) => {
      follower.prepare(0, request, { send: () => resolve(), fail: () => resolve() } as unknown as RpcReply, () => {});
    });
    buffer.fill(0xee);
    return answered;
  });
  while (hasRoom.length === 0) await Promise.resolve();
  hasRoom[0]!();
  await answers[0];
  while (hasRoom.length === 1) await Promise.resolve();
  hasRoom[1]!();
  await answers[1];
  expect(written).toEqual(["first", "second"]);
});
