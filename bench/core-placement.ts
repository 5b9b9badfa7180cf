/**
 * Measures a contender with its server, and the client in this process or its children, held on cores that the workload
 * names. With one operation in flight the scheduler's choice is most of the result: on one core a TCP round trip takes
 * 10 us, on two it takes 59 us, for each side is woken out of an idle core. Left free, two contenders may be placed
 * differently and compare as anything from 0.3 to 8.6.
 */
import { sched } from "./affinity.ts";
import type { Contender } from "./benchmark.ts";
import type { Figures } from "./table.ts";

export interface Cores {
  readonly server: number;
  readonly client: number;
}

export interface ServedContender extends Contender {
  /** Of the process that answers; it is there once started. */
  readonly serverPid: number;
}

export function placedContender(inner: ServedContender, placements: Readonly<Record<string, Cores>>): Contender {
  return {
    name: inner.name,
    start: () => inner.start?.() ?? Promise.resolve(),
    async measure(workload: string): Promise<Figures> {
      const { server, client } = placements[workload]!;
      const before = sched.coresOf(process.pid);
      sched.hold(inner.serverPid, String(server));
      // Children have their parent's cores.
      sched.hold(process.pid, String(client));
      try {
        return await inner.measure(workload);
      } finally {
        sched.hold(process.pid, before);
      }
    },
    stop: () => inner.stop?.() ?? Promise.resolve(),
  };
}
