/**
 * Updates that are prepared and that nobody decides, and decisions that nobody needs. Both are there for a moment all the
 * time; what stays is left over.
 */
import type { DtxId } from "../../base/dtx-id.ts";
import type { CheckReader } from "./check-reader.ts";
import { type Answered, type Difference, type TargetName, targetName } from "./difference.ts";
import type { TargetLeftovers } from "../../format/check-questions.ts";
import type { CheckScope, Look, Phase } from "./phase.ts";

/** An update that is not decided for so long is left over, milliseconds. */
export const UNDECIDED_MS = 60_000;

export class LeftoversPhase implements Phase {
  readonly name = "leftovers";
  /** Targets close by themselves what they find left twice, 5 s apart. */
  readonly pausesMs = [1_000, 12_000];
  readonly #reader: CheckReader;

  constructor(reader: CheckReader) {
    this.#reader = reader;
  }

  async look(_position: string, scope: CheckScope): Promise<Look> {
    const targets = this.#reader.targets();
    const answers = await this.#reader.askAll(targets, "leftovers", {});
    const open = answers.flatMap(({ answer }) => answer.undecided.map(({ container }) => container));
    const pools = await this.#reader.poolsOf(open);
    const differences = answers.flatMap((answered) => compareUndecided(answered, pools, scope));
    if (scope.pool === undefined) differences.push(...(await this.#remembered(targets, answers)));
    return { differences, looked: answers.length, bytes: 0, next: undefined };
  }

  /** Only when all engines answer can one say that nobody needs a decision. */
  async #remembered(
    targets: readonly TargetName[],
    answers: readonly Answered<TargetLeftovers>[],
  ): Promise<Difference[]> {
    const known = this.#reader.members.list().filter(({ state }) => state !== "new");
    const asked = new Set(targets.map(({ rank }) => rank));
    if (answers.length < targets.length || known.some(({ rank }) => !asked.has(rank))) return [];
    const differences: Difference[] = [];
    for (const { answer, ...target } of answers) {
      const ids = answer.remembered;
      if (ids.length === 0) continue;
      const states = await this.#reader.askAll(targets, "areUndecided", { ids });
      if (states.length < targets.length) return [];
      ids.forEach((id, at) => {
        if (states.some((state) => state.answer.areUndecided[at] === true)) return;
        const state = "its decision is remembered, and everybody knows it";
        differences.push({ class: "DTX_REMEMBERED", ...about(id, target, state) });
      });
    }
    return differences;
  }
}

/** Pure. `pools`: of the containers that have a record. */
export function compareUndecided(
  { answer, ...target }: Answered<TargetLeftovers>,
  pools: ReadonlyMap<number, string>,
  scope: CheckScope,
): Difference[] {
  return answer.undecided.flatMap(({ container, ageMs, client, sequence }): Difference[] => {
    const pool = pools.get(container);
    if (ageMs < UNDECIDED_MS || (scope.pool !== undefined && scope.pool !== pool)) return [];
    const isOrphan = pool === undefined;
    const state = isOrphan
      ? `it is prepared, of container number ${container}, of which there is no record`
      : "it is prepared, and nobody decides it";
    return [{ class: isOrphan ? "DTX_ORPHAN" : "DTX_UNDECIDED", ...about({ client, sequence }, target, state) }];
  });
}

function about({ client, sequence }: DtxId, target: TargetName, state: string): Omit<Difference, "class"> {
  const place = `update ${client}/${sequence}, ${targetName(target)}`;
  return { place, state, subject: { ...target, ids: [{ client, sequence }] } };
}
