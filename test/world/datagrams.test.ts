import { expect, test } from "bun:test";
import type { DatagramNetwork, DatagramSocket } from "../../src/contracts/world.ts";
import { RealDatagrams } from "../../src/world/datagrams.ts";
import { expectCode } from "../conformance/support.ts";
import { simulatedWorld } from "../simulation/world.ts";

const HOST = "127.0.0.1";

for (const [name, makeNetwork] of [
  ["real", (): DatagramNetwork => new RealDatagrams()],
  ["simulated", (): DatagramNetwork => simulatedWorld(1).datagrams],
] as const) {
  test(`${name}: a datagram arrives whole, with the address to answer to; its bytes may be reused at once`, async () => {
    const network = makeNetwork();
    const heard = Promise.withResolvers<string>();
    const server: DatagramSocket = await network.bind(HOST, 0, (bytes, host, port) =>
      server.send(Buffer.concat([Buffer.from("heard "), bytes]), host, port),
    );
    const client = await network.bind(HOST, 0, (bytes, host, port) => {
      heard.resolve(`${Buffer.from(bytes).toString()} ${host} ${port === server.port}`);
    });
    expect(client.port).not.toBe(server.port);
    const bytes = Buffer.from("words");
    client.send(bytes, HOST, server.port);
    bytes.fill(0);
    expect(await heard.promise).toBe(`heard words ${HOST} true`);
    server.close();
    client.close();
  });

  test(`${name}: a port that is taken is refused, and free again once its socket is closed`, async () => {
    const network = makeNetwork();
    const first = await network.bind(HOST, 0, () => {});
    await expectCode("UNAVAILABLE", () => network.bind(HOST, first.port, () => {}));
    first.close();
    first.close();
    const second = await network.bind(HOST, first.port, () => {});
    second.close();
  });

  test(`${name}: what nobody hears, and what a closed socket sends, is lost without a word`, async () => {
    const network = makeNetwork();
    let heard = 0;
    const socket = await network.bind(HOST, 0, () => void (heard += 1));
    const gone = await network.bind(HOST, 0, () => {});
    gone.close();
    gone.send(Buffer.from("x"), HOST, socket.port);
    for (let count = 0; count < 3; count += 1) {
      socket.send(Buffer.from("x"), HOST, gone.port);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(heard).toBe(0);
    socket.close();
  });
}

test("real: to a name, and to where nothing can be sent", async () => {
  const network = new RealDatagrams();
  const heard = Promise.withResolvers<void>();
  const socket = await network.bind(HOST, 0, () => heard.resolve());
  socket.send(Buffer.from("x"), "::1", socket.port);
  socket.send(Buffer.from("x"), "203.0.113.1", socket.port);
  socket.send(Buffer.from("x"), "no-such-name.invalid", socket.port);
  const again = setInterval(() => socket.send(Buffer.from("x"), "localhost", socket.port), 5);
  await heard.promise;
  clearInterval(again);
  socket.close();
});
