/**
 * A thread that opens a region of scm/pmdk in the folder it is told, says so, and persists until it is ended.
 */
import scmPmdk from "../../plugins/scm/pmdk/index.ts";
import { pmdkSettings } from "../../plugins/scm/pmdk/settings.ts";
import { MIB } from "../../src/base/limits.ts";
import { realWorld } from "../../src/world/index.ts";

declare const self: { onmessage: ((event: MessageEvent) => void) | null };

interface Order {
  readonly folder: string;
  readonly create: boolean;
}

self.onmessage = (event) => void persistForever(event.data as Order);

async function persistForever({ folder, create }: Order): Promise<never> {
  const provider = scmPmdk.create(pmdkSettings.parse({ force_granularity: "cache_line" }));
  const region = await provider.open(realWorld(), { folder, sizeBytes: MIB, create });
  postMessage("open");
  for (let round = 0; ; round = (round + 1) % 4096) {
    region.bytes.fill(round, round * 256, (round + 1) * 256);
    await region.persist(round * 256, 256);
  }
}
