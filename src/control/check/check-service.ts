/**
 * `daos system check`: compares what the meta store says with what the targets hold, while both are in use. A step looks at a
 * bounded part; what it finds is looked at again, with whoever changes it kept out where that is possible, and is a finding
 * when it is there each time. Then it is told, and repaired when that is asked for. Between steps nothing is kept here.
 */
import { unreachable } from "../../base/assert.ts";
import { DaosError, hasCode } from "../../base/errors.ts";
import { parseUuid } from "../../base/uuid.ts";
import { CHECK_CLASSES, type CheckAction, type CheckPolicies, checkPolicies } from "../../format/check-classes.ts";
import type { CheckArguments, CheckFinding, CheckReply } from "../../format/check-operations.ts";
import type { Catalogue } from "../catalogue.ts";
import { CheckReader } from "./check-reader.ts";
import { ContainersPhase } from "./containers-phase.ts";
import type { Difference } from "./difference.ts";
import { EnginesPhase } from "./engines-phase.ts";
import { LabelsPhase } from "./labels-phase.ts";
import { LeftoversPhase } from "./leftovers-phase.ts";
import { OrphansPhase } from "./orphans-phase.ts";
import { ObjectsPhase } from "./objects-phase.ts";
import type { CheckScope, Look, Phase } from "./phase.ts";
import { PoolsPhase } from "./pools-phase.ts";
import { type RepairParts, Repairs } from "./repairs.ts";

/** Pauses before what was found is looked at again, milliseconds. */
const LOOK_AGAIN_MS = [200, 800];

export interface CheckServiceParts extends Omit<RepairParts, "reader"> {
  readonly catalogue: Catalogue;
  /** Id of the system. */
  readonly system: string;
}

export class CheckService {
  readonly #parts: CheckServiceParts;
  readonly #phases: readonly Phase[];
  readonly #repairs: Repairs;

  constructor(parts: CheckServiceParts) {
    this.#parts = parts;
    const { records, members, mapStore, locks, targets, system } = parts;
    const reader = new CheckReader(records, members);
    this.#repairs = new Repairs({ ...parts, reader });
    // What is taken up again is looked at by the phases that follow.
    this.#phases = [
      new EnginesPhase(reader, targets, system),
      new OrphansPhase(reader),
      new LabelsPhase(reader),
      new PoolsPhase(reader, mapStore, locks),
      new ContainersPhase(reader, locks),
      new LeftoversPhase(reader),
      new ObjectsPhase(reader),
    ];
  }

  /** One step. Rejects with NOT_FOUND (pool), INVALID_ARGUMENT (policies, position). */
  async step(args: CheckArguments): Promise<CheckReply> {
    const policies = checkPolicies(args.policies ?? {});
    const scope = { pool: args.pool === undefined ? undefined : await this.#poolId(args.pool) };
    const { at, position } = this.#position(args.after);
    const phase = this.#phases[at]!;
    const { look, differences } = await this.#confirmed(phase, position, scope);
    const findings: CheckFinding[] = [];
    for (const difference of differences) findings.push(await this.#finding(difference, policies, args.repair));
    const following = this.#phases[at + 1];
    const next = look.next === undefined ? following && `${following.name} ` : `${phase.name} ${look.next}`;
    const { looked, bytes, unjudged = 0 } = look;
    return { findings, phase: phase.name, looked, bytes, unjudged, ...(next !== undefined && { next }) };
  }

  /** Also of a pool that targets know and no record. */
  async #poolId(reference: string): Promise<string> {
    try {
      return (await this.#parts.catalogue.pool(reference)).record.id;
    } catch (error) {
      const id = parseUuid(reference);
      if (!hasCode(error, "NOT_FOUND") || id === undefined) throw error;
      return id;
    }
  }

  #position(after: string | undefined): { at: number; position: string } {
    if (after === undefined) return { at: 0, position: "" };
    const blank = after.indexOf(" ");
    const at = this.#phases.findIndex(({ name }) => name === after.slice(0, Math.max(blank, 0)));
    if (at >= 0) return { at, position: after.slice(blank + 1) };
    throw new DaosError("INVALID_ARGUMENT", "Cannot go on with the check: the position is none. Begin it anew.");
  }

  /** What is found in each of several looks. */
  async #confirmed(
    phase: Phase,
    position: string,
    scope: CheckScope,
  ): Promise<{ look: Look; differences: readonly Difference[] }> {
    const look = await phase.look(position, scope);
    let { differences } = look;
    for (const pauseMs of phase.pausesMs ?? LOOK_AGAIN_MS) {
      if (differences.length === 0) break;
      await new Promise<void>((resolve) => void this.#parts.timers.after(pauseMs, resolve));
      const again = await phase.look(position, scope, differences);
      const before = new Set(differences.map(nameOf));
      differences = again.differences.filter((difference) => before.has(nameOf(difference)));
    }
    return { look, differences };
  }

  async #finding(difference: Difference, policies: CheckPolicies, isRepair: boolean): Promise<CheckFinding> {
    const { class: name, place, state } = difference;
    const { default: usual, advice: general } = CHECK_CLASSES[name];
    const action: CheckAction = policies[name] ?? difference.action ?? usual;
    const advice = difference.advice ?? general;
    const finding = { class: name, place, state, action, ...(advice !== "" && { advice }) };
    const repair = this.#repairs.of(name, action);
    if (!isRepair || action === "IGNORE") return { ...finding, outcome: "found" };
    if (repair === undefined) return unreachable(action as never);
    try {
      await repair(difference);
      return { ...finding, outcome: "repaired" };
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      return { ...finding, outcome: "failed", reason: error.message };
    }
  }
}

function nameOf({ class: name, place }: Difference): string {
  return `${name} ${place}`;
}
