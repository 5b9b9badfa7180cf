/**
 * Three engine processes with their records in one etcd, one of which leads. Each reaches etcd through a relay of its own, which a test
 * can cut.
 */
import { rmSync, writeFileSync } from "node:fs";
import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { connect, type System } from "../../src/library.ts";
import { EtcdCluster } from "../fixtures/etcd-cluster.ts";
import { DaosProcess, temporaryFolder, until } from "./system-process.ts";

export const ENGINES = 3;
const HOST = "127.0.0.1";

/** Ports that were free a moment ago, each with the next one, for the target: `count` of them. */
async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = await listenOnce(0);
    const isFree = port !== undefined && !ports.some((other) => Math.abs(other - port) < 2);
    if (isFree && (await listenOnce(port + 1)) !== undefined) ports.push(port);
  }
  return ports;
}

/** The port; undefined when it is in use. */
async function listenOnce(port: number): Promise<number | undefined> {
  const server = createServer();
  const isOpen = await new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, HOST, () => resolve(true));
  });
  if (!isOpen) return undefined;
  const found = (server.address() as { port: number }).port;
  await new Promise((resolve) => void server.close(resolve));
  return found;
}

/** Carries connections to another port until it is cut; then it ends those that there are, and each new one. */
class Relay {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #isCut = false;

  private constructor(target: number) {
    this.#server = createServer((near) => {
      if (this.#isCut) return void near.destroy();
      const far = connectSocket(target, HOST);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
  }

  static async to(target: number): Promise<Relay> {
    const relay = new Relay(target);
    await new Promise<void>((resolve) => relay.#server.listen(0, HOST, resolve));
    return relay;
  }

  get address(): string {
    return `${HOST}:${(this.#server.address() as { port: number }).port}`;
  }

  set isCut(isCut: boolean) {
    this.#isCut = isCut;
    if (isCut) for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.isCut = true;
    this.#server.close();
  }
}

export class ElectedSystem {
  readonly etcd: EtcdCluster;
  readonly engines: DaosProcess[] = [];
  readonly relays: readonly Relay[];
  readonly #folder = temporaryFolder();
  readonly #ports: readonly number[];
  /** Asks all engines. */
  system!: System;

  private constructor(etcd: EtcdCluster, relays: readonly Relay[], ports: readonly number[]) {
    this.etcd = etcd;
    this.relays = relays;
    this.#ports = ports;
  }

  /** All have joined. */
  static async start(): Promise<ElectedSystem> {
    const etcd = await EtcdCluster.start();
    const target = Number(etcd.endpoints[0]!.split(":").at(-1));
    const relays = await Promise.all(Array.from({ length: ENGINES }, () => Relay.to(target)));
    const elected = new ElectedSystem(etcd, relays, await freePorts(ENGINES));
    for (let index = 0; index < ENGINES; index += 1) await elected.launch(index);
    elected.system = await elected.admin(0);
    await elected.untilJoined();
    return elected;
  }

  async launch(index: number): Promise<void> {
    const config = join(this.#folder, `daos${index}.yml`);
    const endpoints = [this.relays[index]!.address];
    // JSON is YAML.
    writeFileSync(config, JSON.stringify({ meta_store: { plugin: "etcd", config: { endpoints } } }));
    const storage = join(this.#folder, `engine${index}`);
    const sizes = ["--targets", "1", "--scm-size", "64MiB", "--nvme-size", "1GiB"];
    const place = ["--storage", storage, "--listen", `${HOST}:${this.#ports[index]!}`, "--config", config];
    const known = index === 0 ? [] : ["--join", `${HOST}:${this.#ports[0]!}`];
    this.engines[index] = new DaosProcess(["server", "start", ...place, ...sizes, ...known]);
    try {
      await this.engines[index].printed(/daos engine ready on (\S+)/);
    } catch (error) {
      throw new Error(`engine ${index} at ${this.#ports.join()} does not start: ${this.outputs}`, { cause: error });
    }
  }

  get outputs(): string {
    return this.engines.map(({ output }, index) => `engine ${index}:\n${output}`).join("\n");
  }

  /** A client that asks this engine first; it is patient. */
  admin(first: number): Promise<System> {
    const order = Array.from({ length: ENGINES }, (_, step) => `${HOST}:${this.#ports[(first + step) % ENGINES]!}`);
    return connect({ system: order.join(","), retryWindowMs: 60_000 });
  }

  /** A client of this engine only. */
  clientOf(index: number): Promise<System> {
    return connect({ system: `${HOST}:${this.#ports[index]!}` });
  }

  /** Which engine leads. */
  async leader(): Promise<number> {
    const { pid } = await this.system.query();
    return this.engines.findIndex((engine) => engine.pid === pid);
  }

  untilJoined(): Promise<void> {
    const isJoined = async (): Promise<boolean> => {
      return (await this.system.query()).engines!.every(({ state }) => state === "joined");
    };
    return until(isJoined, () => this.outputs);
  }

  async stop(): Promise<void> {
    await this.system?.close();
    for (const engine of this.engines) if (engine.isRunning) await engine.signal("SIGTERM");
    for (const relay of this.relays) relay.close();
    await this.etcd.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
