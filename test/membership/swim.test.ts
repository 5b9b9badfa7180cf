/** Scripts of a few engines; test/simulation/membership.test.ts has many, with loss and stalls. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { type MembershipMessage, MembershipKind, MemberState } from "../../src/format/membership-message.ts";
import { Roster } from "../../src/membership/roster.ts";
import { DEFAULT_SWIM_SETTINGS } from "../../src/membership/settings.ts";
import { Swim } from "../../src/membership/swim.ts";
import { SimulatedEngines } from "../simulation/membership/engines.ts";
import { SimulatedRandom } from "../simulation/random.ts";

setDefaultTimeout(30_000);

const { alive, suspect, dead, left } = MemberState;
const START = 1_000;

/** One engine, rank 0, and what it sends; `ranks` are its system. */
function lone(ranks: readonly number[]): {
  swim: Swim;
  sent: MembershipMessage[];
  takeSent: () => MembershipMessage[];
} {
  const sent: MembershipMessage[] = [];
  const roster = new Roster(ranks.map((rank) => ({ rank, start: START })));
  const send = (message: MembershipMessage): void => void sent.push(message);
  const settings = DEFAULT_SWIM_SETTINGS;
  const swim = new Swim({ rank: 0, start: START, settings, random: new SimulatedRandom(5), send }, roster, 0);
  return { swim, sent, takeSent: () => sent.splice(0) };
}

function message(fields: Partial<MembershipMessage>): MembershipMessage {
  const { gossip: kind } = MembershipKind;
  return { kind, from: 1, to: 0, start: START, refutation: 0, sequence: 0, subject: 0, updates: [], ...fields };
}

/** Ticks whenever something is due, until `untilMs`. */
function run(swim: Swim, untilMs: number): void {
  while (swim.dueMs <= untilMs) swim.tick(swim.dueMs);
}

test("a ping is answered, also a stranger's, but a stranger is not believed; what is for another is dropped", () => {
  const { swim, takeSent } = lone([0, 1, 2]);
  const updates = [{ rank: 2, start: START, refutation: 0, state: dead, accusers: [] }];
  swim.receive(message({ kind: MembershipKind.ping, from: 9, sequence: 7, updates }), 1);
  expect(takeSent()).toMatchObject([{ kind: MembershipKind.ack, to: 9, sequence: 7, subject: 0 }]);
  expect(swim.state(2)?.state).toBe(alive);
  swim.receive(message({ kind: MembershipKind.ping, to: 2 }), 1);
  swim.receive(message({ kind: MembershipKind.pingRequest, from: 9, subject: 2 }), 1);
  expect(takeSent()).toEqual([]);
  swim.receive(message({ updates }), 1);
  expect(swim.state(2)?.state).toBe(dead);
});

test("who does not answer is pinged through others, then suspected, then dead; an answer in time ends it", () => {
  const { swim, sent, takeSent } = lone([0, 1]);
  run(swim, 200);
  const ping = takeSent().find(({ kind }) => kind === MembershipKind.ping)!;
  swim.receive(message({ kind: MembershipKind.ack, sequence: ping.sequence, subject: 1 }), 201);
  run(swim, 1_000);
  expect(swim.state(1)?.state).toBe(suspect);
  expect(swim.deadAtMs(1)).toBeGreaterThan(1_000);
  expect(sent.filter(({ kind, to }) => kind === MembershipKind.gossip && to === 1)).not.toBeEmpty();
  swim.receive(message({ refutation: 1 }), 1_001);
  expect(swim.state(1)).toMatchObject({ state: alive, refutation: 1 });
  expect(swim.deadAtMs(1)).toBeUndefined();
  run(swim, 12_000);
  expect(swim.state(1)?.state).toBe(dead);
});

test("an engine refutes what is said of it with a higher number, at once to who said it; not what is said of an earlier start", () => {
  const { swim, takeSent } = lone([0, 1, 2]);
  const doubt = (start: number, refutation: number, state: MemberState) => [
    { rank: 0, start, refutation, state, accusers: [] },
  ];
  swim.receive(message({ updates: doubt(START - 1, 4, dead) }), 1);
  expect(takeSent()).toEqual([]);
  swim.receive(message({ updates: doubt(START, 4, suspect) }), 1);
  expect(takeSent()).toMatchObject([{ to: 1, refutation: 5 }]);
  swim.receive(message({ updates: doubt(START, 4, suspect) }), 1);
  expect(takeSent()).toMatchObject([{ to: 1, refutation: 5 }]);
  expect(swim.state(0)).toMatchObject({ state: alive, refutation: 5 });
});

test("who is dead is told so and not listened to, until it refutes or was started anew", () => {
  const { swim, takeSent } = lone([0, 1, 2]);
  const of = (rank: number) => [{ rank, start: START, refutation: 0, state: dead, accusers: [] }];
  swim.receive(message({ from: 2, updates: of(1) }), 1);
  takeSent();
  swim.receive(message({ kind: MembershipKind.ping, updates: of(2) }), 2);
  expect(takeSent()).toMatchObject([{ kind: MembershipKind.gossip, to: 1, updates: [{ rank: 1, state: dead }] }]);
  expect(swim.state(2)?.state).toBe(alive);
  swim.receive(message({ start: START - 1, refutation: 9, updates: of(2) }), 3);
  expect(takeSent()).toEqual([]);
  expect(swim.state(1)?.state).toBe(dead);
  swim.receive(message({ start: START + 1 }), 4);
  expect(swim.state(1)).toMatchObject({ state: alive, start: START + 1 });
});

test("whom a sync calls dead is a suspect and is asked; of one that gossip calls dead nobody is asked", () => {
  const called = [{ rank: 2, start: START, refutation: 0, state: dead, accusers: [] }];
  const { swim, takeSent } = lone([0, 1, 2, 3]);
  swim.receive(message({ kind: MembershipKind.syncReply, updates: called }), 1);
  expect(swim.state(2)).toMatchObject({ state: suspect, accusers: [1] });
  expect(takeSent()).toMatchObject([{ to: 2, updates: [{ rank: 2, state: suspect }] }]);
  swim.receive(message({ updates: called }), 2);
  expect(swim.state(2)?.state).toBe(dead);
  expect(takeSent()).toEqual([]);
});

test("nobody is blamed for time in which we stood still", () => {
  const { swim } = lone([0, 1]);
  run(swim, 800);
  expect(swim.state(1)?.state).toBe(suspect);
  const deadAtMs = swim.deadAtMs(1)!;
  swim.tick(10_000);
  expect(swim.state(1)?.state).toBe(suspect);
  expect(swim.deadAtMs(1)! - 10_000).toBeGreaterThan(deadAtMs - 1_100);
  expect(swim.healthFactor).toBeGreaterThan(1);
});

test("who leaves says so and is silent then; the others need no suspicion for it", () => {
  const { swim, takeSent } = lone([0, 1, 2]);
  swim.receive(message({ from: 2, updates: [{ rank: 1, start: START, refutation: 0, state: left, accusers: [] }] }), 1);
  expect(swim.goneCount).toBe(1);
  takeSent();
  swim.leave();
  expect(takeSent()).toMatchObject([{ to: 2, updates: [{ rank: 0, state: left }] }]);
  expect(swim.dueMs).toBe(Number.POSITIVE_INFINITY);
  swim.receive(message({ kind: MembershipKind.ping, from: 2 }), 2);
  expect(takeSent()).toEqual([]);
});

test("a link that works one way only makes nobody dead while others can help", () => {
  const engines = new SimulatedEngines({ seed: 1, engines: 6 });
  engines.cut = (from, to) => from === 1 && to === 2;
  engines.run(120_000);
  expect([...engines.falseDeaths]).toEqual([]);
  expect(engines.falseSuspicions.size).toBeLessThan(3);
});

test("an engine that hears nobody is dead and cannot accuse others; one that nobody hears is dead, once and for all", () => {
  for (const isDeaf of [true, false]) {
    const engines = new SimulatedEngines({ seed: 2, engines: 6 });
    engines.cut = (from, to) => (isDeaf ? to : from) === 3;
    engines.run(60_000);
    expect(engines.believing(3, dead)).toBe(5);
    for (let rank = 0; rank < 6; rank += 1) {
      if (rank === 3) continue;
      for (let of = 0; of < 6; of += 1) if (of !== 3) expect(engines.engine(rank).state(of)?.state).toBe(alive);
    }
    const deaths = [...engines.falseDeaths].filter((statement) => statement.startsWith("3/")).length;
    expect(deaths).toBe(1);
    engines.cut = () => false;
    engines.run(30_000);
    for (let rank = 0; rank < 6; rank += 1) expect([rank, engines.believing(rank, dead)]).toEqual([rank, 0]);
  }
});

test("a partition that has healed leaves nobody dead", () => {
  for (const size of [4, 20]) {
    const engines = new SimulatedEngines({ seed: 3, engines: size, loss: 0.01 });
    engines.cut = (from, to) => from % 2 !== to % 2;
    engines.run(30_000);
    expect(engines.believing(0, dead)).toBe(size / 2);
    engines.cut = () => false;
    engines.run(40_000);
    for (let rank = 0; rank < size; rank += 1) expect([rank, engines.believing(rank, dead)]).toEqual([rank, 0]);
  }
});

test("a killed engine is found, and lives for all when it was started again", () => {
  const engines = new SimulatedEngines({ seed: 4, engines: 6 });
  engines.run(3_000);
  engines.kill(4);
  expect(engines.runUntil(() => engines.detections.get(4)?.allMs !== undefined, 4_000)).toBe(true);
  engines.restart(4);
  engines.run(10_000);
  expect(engines.believing(4, alive)).toBe(5);
  expect(engines.falseDeaths.size).toBe(0);
});

test("a process that stood still for long is dead meanwhile, and alive for all afterwards", () => {
  const engines = new SimulatedEngines({ seed: 5, engines: 6 });
  engines.run(3_000);
  engines.stall(2, 5_000);
  engines.run(4_000);
  expect(engines.believing(2, dead)).toBe(5);
  engines.run(20_000);
  expect(engines.believing(2, alive)).toBe(5);
  for (let rank = 0; rank < 6; rank += 1) expect(engines.engine(2).state(rank)?.state).toBe(alive);
});
