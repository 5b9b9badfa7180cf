/**
 * What happens to the system in fault rounds. Each fault is drawn from a seed as a plan that says what it does to which
 * host. It touches one host and at most one member of etcd: no more than every object class in use bears.
 */
import { CLOCKS_CAN_JUMP, type FaultHost } from "./fault-host.ts";
import { type FaultSystem, until } from "./fault-system.ts";
import { flipBits } from "./host-disk.ts";
import { delay } from "./shell.ts";

export type Draw = (below: number) => number;

export interface PlannedFault {
  readonly text: string;
  /** Index of the host that has it; undefined when no engine does, or the leader's. */
  readonly host?: number;
  /** Does it and undoes it; resolves when all is repaired that somebody else than the system repairs. */
  readonly run: (system: FaultSystem) => Promise<void>;
}

interface FaultKind {
  readonly plan: (draw: Draw, hosts: number) => PlannedFault;
  /** Why it cannot be here; undefined when it can. */
  readonly missing?: (system: FaultSystem) => string | undefined;
}

const SECOND_MS = 1_000;
/** A host that is away for long is waited for until its data is elsewhere, and for so much longer. */
const AWAY_TIMEOUT_MS = 240_000;
const AWAY_MORE_MS = 5_000;
const MOST_FLIPS = 12;
const ETCD_MEMBERS = 3;
/** How far a clock is off, seconds: within what engines bear, and far beyond. */
const SMALL_JUMP = 0.8;
const LARGE_JUMP = 300;

/** Seconds, in tenths. */
function time(draw: Draw, least: number, most: number): number {
  return (least * 10 + draw((most - least) * 10)) / 10;
}

type Change = (system: FaultSystem, host: number) => void;

/** Something that a host has for a while. */
function lasting(host: number, text: string, lasts: number, begin: Change, end: Change): PlannedFault {
  return {
    text: `h${host} ${text} for ${lasts} s`,
    host,
    run: async (system) => {
      begin(system, host);
      await delay(lasts * SECOND_MS);
      end(system, host);
    },
  };
}

const repaired: Change = ({ network }, host) => network.repair(host);

async function killed(host: FaultHost, awaySeconds: number): Promise<void> {
  await host.engine.kill();
  await delay(awaySeconds * SECOND_MS);
  host.engine.start();
}

/** Resolves when what the host had is whole on others. */
async function untilMoved(system: FaultSystem, host: number): Promise<void> {
  const isMoved = async (): Promise<boolean> => {
    const targets = (await system.look())?.[host]?.targets ?? [];
    return targets.length > 0 && targets.every((state) => state === "DOWNOUT");
  };
  await until(isMoved, AWAY_TIMEOUT_MS, async () => `what h${host} had is not on others: ${await system.missing()}`);
}

async function paused(system: FaultSystem, member: number, lasts: number): Promise<void> {
  system.etcd.pauseMember(member);
  await delay(lasts * SECOND_MS);
  system.etcd.resumeMember(member);
}

async function memberKilled(system: FaultSystem, member: number, lasts: number): Promise<void> {
  await system.etcd.killMember(member);
  await delay(lasts * SECOND_MS);
  system.etcd.startMember(member);
}

/** Bits flip in a file that an engine reads when it starts. */
function rotWhileDown(draw: Draw, hosts: number, file: string, name: string): PlannedFault {
  const host = draw(hosts);
  const flips = 1 + draw(MOST_FLIPS);
  return {
    text: `engine of h${host} killed, ${flips} bits flip in its ${name}`,
    host,
    run: async (system) => {
      const { engine } = system.hosts[host]!;
      await engine.kill();
      for (const path of system.hosts[host]!.files(file)) flipBits(path, flips, draw);
      engine.start();
      system.rots(host);
    },
  };
}

export const FAULT_KINDS: Readonly<Record<string, FaultKind>> = {
  "engine killed": {
    plan: (draw, hosts) => {
      const host = draw(hosts);
      const away = draw(2) === 0 ? 0 : time(draw, 0, 12);
      return {
        text: `engine of h${host} killed, away for ${away} s`,
        host,
        run: (system) => killed(system.hosts[host]!, away),
      };
    },
  },
  "leader killed": {
    plan: (draw) => {
      const away = time(draw, 0, 8);
      return {
        text: `engine that leads killed, away for ${away} s`,
        run: async (system) => killed(system.hosts[(await system.leader()) ?? 0]!, away),
      };
    },
  },
  "engine stands still": {
    plan: (draw, hosts) => {
      const lasts = draw(2) === 0 ? time(draw, 0.2, 1) : time(draw, 1, 15);
      const begin: Change = (system, host) => system.hosts[host]!.engine.signal("SIGSTOP");
      return lasting(draw(hosts), "stands still", lasts, begin, (system, host) => {
        system.hosts[host]!.engine.signal("SIGCONT");
      });
    },
  },
  partition: {
    plan: (draw, hosts) =>
      lasting(draw(hosts), "unplugged", time(draw, 1, 20), ({ network }, host) => network.unplug(host), repaired),
  },
  deaf: {
    plan: (draw, hosts) =>
      lasting(
        draw(hosts),
        "hears nothing",
        time(draw, 2, 15),
        ({ network }, host) => network.cut(host, "in"),
        repaired,
      ),
  },
  mute: {
    plan: (draw, hosts) =>
      lasting(
        draw(hosts),
        "is not heard",
        time(draw, 2, 15),
        ({ network }, host) => network.cut(host, "out"),
        repaired,
      ),
  },
  "one-way cut": {
    plan: (draw, hosts) => {
      const from = draw(hosts);
      const to = (from + 1 + draw(hosts - 1)) % hosts;
      const begin: Change = ({ network }) => network.cut(from, "out", to);
      return lasting(from, `is not heard by h${to}`, time(draw, 2, 12), begin, repaired);
    },
  },
  "packet loss": {
    plan: (draw, hosts) => {
      const percent = 2 + draw(24);
      const begin: Change = ({ network }, host) => network.lose(host, percent / 100);
      return lasting(draw(hosts), `loses ${percent} % of its packets`, time(draw, 4, 15), begin, repaired);
    },
  },
  "slow line": {
    plan: (draw, hosts) => {
      const megabits = 2 + draw(30);
      const begin: Change = ({ network }, host) => network.slow(host, megabits);
      return lasting(draw(hosts), `has ${megabits} Mbit/s`, time(draw, 4, 15), begin, repaired);
    },
  },
  "slow disk": {
    missing: ({ hosts }) => (hosts[0]!.disk.canBeSlow ? undefined : "no blkio control groups of version 1 here"),
    plan: (draw, hosts) => {
      const iops = 10 + draw(150);
      const begin: Change = (system, host) => system.hosts[host]!.disk.slow(iops);
      return lasting(draw(hosts), `has a disk of ${iops} IOPS`, time(draw, 4, 15), begin, (system, host) => {
        system.hosts[host]!.disk.slow(0);
      });
    },
  },
  "full disk": {
    plan: (draw, hosts) => {
      const begin: Change = (system, host) => system.hosts[host]!.disk.fill();
      return lasting(draw(hosts), "has a full disk", time(draw, 4, 15), begin, (system, host) => {
        system.hosts[host]!.disk.empty();
      });
    },
  },
  "rot in extents": {
    plan: (draw, hosts) => {
      const host = draw(hosts);
      const flips = 1 + draw(MOST_FLIPS);
      return {
        text: `${flips} bits flip in extents of h${host}`,
        host,
        run: async (system) => {
          for (const file of system.hosts[host]!.files("nvme")) flipBits(file, flips, draw);
          system.rots(host);
        },
      };
    },
  },
  "rot in log": { plan: (draw, hosts) => rotWhileDown(draw, hosts, "scm", "log") },
  "rot in index": { plan: (draw, hosts) => rotWhileDown(draw, hosts, "index.lmdb", "index") },
  "clock off": {
    missing: () => (CLOCKS_CAN_JUMP ? undefined : "no libfaketime here (Debian: apt-get install faketime)"),
    plan: (draw, hosts) => {
      const off = (draw(2) === 0 ? 1 : -1) * time(draw, 0.1, draw(2) === 0 ? SMALL_JUMP : LARGE_JUMP);
      const begin: Change = (system, host) => system.hosts[host]!.setClock(off);
      return lasting(draw(hosts), `has its clock ${off} s off`, time(draw, 3, 15), begin, (system, host) => {
        system.hosts[host]!.setClock(0);
      });
    },
  },
  "etcd member killed": {
    plan: (draw) => {
      const member = draw(ETCD_MEMBERS);
      const lasts = time(draw, 1, 15);
      return {
        text: `member ${member} of etcd killed, away for ${lasts} s`,
        run: (system) => memberKilled(system, member, lasts),
      };
    },
  },
  "etcd leader lost": {
    plan: (draw) => {
      const isKilled = draw(2) === 0;
      const lasts = time(draw, 1, 15);
      return {
        text: `leader of etcd ${isKilled ? "killed" : "stands still"} for ${lasts} s`,
        run: async (system) => (isKilled ? memberKilled : paused)(system, (await system.etcd.leader()) ?? 0, lasts),
      };
    },
  },
  "host away": {
    plan: (draw, hosts) => {
      const host = draw(hosts);
      const isUnplugged = draw(2) === 0;
      return {
        text: `h${host} ${isUnplugged ? "unplugged" : "off"} until its data is elsewhere, then back`,
        host,
        run: async (system) => {
          const { engine } = system.hosts[host]!;
          if (isUnplugged) system.network.unplug(host);
          else await engine.kill();
          await untilMoved(system, host);
          await delay(AWAY_MORE_MS);
          if (isUnplugged) system.network.repair(host);
          else engine.start();
        },
      };
    },
  },
  "host replaced": {
    plan: (draw, hosts) => {
      const host = draw(hosts);
      return {
        text: `h${host} gone for good, a new one in its place`,
        host,
        run: async (system) => {
          await system.hosts[host]!.engine.kill();
          await untilMoved(system, host);
          system.hosts[host]!.replaceDisk();
          system.hosts[host]!.engine.start();
        },
      };
    },
  },
};
