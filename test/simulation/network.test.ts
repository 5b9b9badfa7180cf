import { expect, test } from "bun:test";
import type { SocketHandlers } from "../../src/contracts/world.ts";
import { expectCode } from "../conformance/support.ts";
import { simulatedWorld } from "./world.ts";

const silent: SocketHandlers = { received() {}, drain() {}, closed() {} };

test("a severed listener loses its connections with an error, refuses new ones, and serves again when healed", async () => {
  const { network } = simulatedWorld(1);
  const listener = network.listen("h", 0, () => silent);
  const closed = Promise.withResolvers<Error | undefined>();
  await network.connect("h", listener.port, () => ({ ...silent, closed: (error) => closed.resolve(error) }));
  network.sever(listener.port);
  expect(await closed.promise).toBeInstanceOf(Error);
  await expectCode("UNAVAILABLE", () => network.connect("h", listener.port, () => silent));
  network.heal(listener.port);
  await network.connect("h", listener.port, () => silent);
});

test("bytes that are kept after the call are gone: the buffer is the network's", async () => {
  const world = simulatedWorld(1);
  let kept: Uint8Array | undefined;
  const listener = world.network.listen("h", 0, () => ({ ...silent, received: (bytes) => void (kept = bytes) }));
  const socket = await world.network.connect("h", listener.port, () => silent);
  socket.write(new Uint8Array([1, 2, 3]));
  await world.timers.advance(1000);
  expect([...kept!]).toEqual([0xee, 0xee, 0xee]);
});
