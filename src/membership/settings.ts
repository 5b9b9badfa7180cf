/**
 * All times and counts of the failure detection, and what follows from them for a system of a given size.
 *
 * The defaults make a killed engine dead for everybody in less than 4 s with up to 10,000 engines, and bear processes that
 * stand still for 200 ms and one datagram in a hundred lost: docs/membership.md has the figures.
 */
import { MAX_ACCUSERS } from "../format/membership-message.ts";

export interface SwimSettings {
  /** Each engine probes another one at this interval, milliseconds. */
  readonly periodMs: number;
  /** Wait for the answer to a ping before others are asked to ping too, milliseconds. */
  readonly pingTimeoutMs: number;
  /** Further wait before the engine is a suspect, milliseconds. */
  readonly indirectTimeoutMs: number;
  /** Engines that are asked to ping too. */
  readonly helpers: number;
  /** A suspect has this long to say that it lives, beyond the time in which word gets round, milliseconds. */
  readonly suspicionMs: number;
  /** A suspicion that nobody confirms lasts so many times as long. */
  readonly unconfirmedFactor: number;
  /** Others who have found the same by themselves, that make a suspicion last its shortest; below MAX_ACCUSERS. */
  readonly confirmations: number;
  /** What is new is told at this interval, milliseconds ... */
  readonly gossipMs: number;
  /** ... to so many engines besides those that are probed. */
  readonly gossipFanout: number;
  /** It is sent so many times the decimal logarithm of the size of the system. */
  readonly retransmissions: number;
  /** Engines compare what they know at this interval, milliseconds. */
  readonly syncMs: number;
  /** About so many engines ask each one that is dead at that interval, whether it lives after all. */
  readonly reconnections: number;
  /** Own slowness stretches period and waits up to one more than so many times. */
  readonly maxHealthScore: number;
  /** A timer this late says that it was us who stood still, milliseconds. */
  readonly lateMs: number;
}

export const DEFAULT_SWIM_SETTINGS: SwimSettings = {
  periodMs: 200,
  pingTimeoutMs: 250,
  indirectTimeoutMs: 350,
  helpers: 3,
  suspicionMs: 500,
  unconfirmedFactor: 3,
  confirmations: 2,
  gossipMs: 100,
  gossipFanout: 3,
  retransmissions: 4,
  syncMs: 5_000,
  reconnections: 3,
  maxHealthScore: 8,
  lateMs: 100,
};

/** Confirmations that a suspicion can get: neither the suspect nor the first accuser gives one. */
function confirmationsAmong(settings: SwimSettings, members: number): number {
  return Math.max(0, Math.min(settings.confirmations, MAX_ACCUSERS - 1, members - 2));
}

/**
 * How long a suspicion lasts, milliseconds, when `accusers` engines share it (Dadgar et al. 2018, section IV-B): it gets
 * shorter with the logarithm of the confirmations. The shortest is `suspicionMs` and the time in which gossip reaches
 * all: each round multiplies those who know by 1 + gossipFanout.
 */
export function suspicionLastsMs(settings: SwimSettings, members: number, accusers: number): number {
  const rounds = Math.log(Math.max(2, members)) / Math.log(1 + settings.gossipFanout);
  const leastMs = settings.suspicionMs + rounds * settings.gossipMs;
  const wanted = confirmationsAmong(settings, members);
  const confirmations = Math.min(Math.max(0, accusers - 1), wanted);
  if (wanted === 0) return leastMs;
  const mostMs = leastMs * settings.unconfirmedFactor;
  return mostMs - (mostMs - leastMs) * (Math.log(confirmations + 1) / Math.log(wanted + 1));
}

/** Accusers of whom it pays to hear. */
export function accusersAmong(settings: SwimSettings, members: number): number {
  return 1 + confirmationsAmong(settings, members);
}

/** How often one engine sends a piece of news. */
export function transmissionsAmong(settings: SwimSettings, members: number): number {
  return settings.retransmissions * Math.ceil(Math.log10(members + 1));
}
