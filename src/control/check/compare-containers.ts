/** A container's record, its label and snapshots, with what the targets of its pool hold. Pure. */
import type { Epoch } from "../../base/epoch.ts";
import type { HeldContainer, HeldSnapshots } from "../../format/check-questions.ts";
import type { ContainerRecord, MapRecord, PoolRecord, SnapshotRecord } from "../../format/meta-record.ts";
import { noteOfContainer, recordOfNote } from "../notes.ts";
import { takesPart } from "../pool-map-changes.ts";
import { servedContainer } from "../served-container.ts";
import { isSame } from "./compare-pools.ts";
import { type Answered, type Difference, type TargetName, targetName } from "./difference.ts";

/** By these objects are laid out: they do not change while a container lives. */
const FIXED_PROPERTIES = ["rd_fac", "ec_cell_sz"] as const;

export interface ContainerView {
  readonly pool: PoolRecord;
  readonly map: MapRecord;
  readonly container: ContainerRecord;
  readonly labelled: string | undefined;
  /** The highest number that was given to a container. */
  readonly lastNumber: number;
  readonly held: readonly Answered<HeldContainer>[];
  readonly snapshots: readonly { readonly key: string; readonly record: SnapshotRecord }[];
  readonly heldSnapshots: readonly Answered<HeldSnapshots | null>[];
}

export function compareContainer(view: ContainerView): Difference[] {
  const { pool, container, labelled, lastNumber, snapshots } = view;
  const place = `container ${pool.label}/${container.label}`;
  const subject = { pool, container };
  if (container.state !== "ready") {
    const what = container.state === "creating" ? "creation" : "destruction";
    return [{ class: "CONT_HALF_REMOVED", place, state: `its ${what} was begun and not ended`, subject }];
  }
  const found: Difference[] = [];
  if (labelled !== container.id) {
    const state =
      labelled === undefined ? "no record says whose its label is" : `its label is that of container ${labelled}`;
    found.push({ class: "CONT_BAD_LABEL", place, state, subject });
  }
  if (container.number > lastNumber) {
    const state = `its number is ${container.number}, and ${lastNumber} counts as the last one given out`;
    found.push({ class: "CONT_BAD_NUMBER", place, state, subject });
  }
  if (container.snapshots !== snapshots.length) {
    const state = `its record counts ${container.snapshots} snapshots, there are ${snapshots.length}`;
    found.push({ class: "CONT_BAD_COUNT", place, state, subject });
  }
  found.push(...compareHeld(view, place), ...compareSnapshots(view, place));
  return found;
}

function isPartaking(map: MapRecord, { rank, target }: TargetName): boolean {
  const mapped = map.targets.find((other) => other.rank === rank && other.target === target);
  return mapped !== undefined && takesPart(mapped.state);
}

function compareHeld({ pool, map, container, held }: ContainerView, place: string): Difference[] {
  const note = noteOfContainer(container);
  const { cellBytes } = servedContainer(container);
  return held.flatMap(({ rank, target, answer }): Difference[] => {
    if (!isPartaking(map, { rank, target })) return [];
    const difference = (name: Difference["class"], state: string): Difference => {
      const at = `${place}, ${targetName({ rank, target })}`;
      return { class: name, place: at, state, subject: { pool, container, rank, target } };
    };
    if (answer.pool === null) return [difference("CONT_NONEXIST_ON_TARGET", "the target does not serve it")];
    const found: Difference[] = [];
    if (answer.pool !== pool.id) {
      found.push(difference("CONT_NONEXIST_ON_TARGET", `the target serves it for pool ${answer.pool}`));
    }
    const fixed = otherProperty(container, recordOfNote("container", answer.note));
    if (fixed !== undefined) found.push(difference("CONT_BAD_PROPERTY", fixed));
    else if (answer.cellBytes !== cellBytes) {
      const state = `the target goes by ec_cell_sz ${answer.cellBytes}, the record by ${cellBytes}`;
      found.push(difference("CONT_BAD_PROPERTY", state));
    } else if (!isSame(answer.note, note)) {
      found.push(difference("CONT_BAD_NOTE", "its copy of the container's record is missing or another one"));
    }
    return found;
  });
}

/** What must not differ, and does. */
function otherProperty(record: ContainerRecord, noted: ContainerRecord | undefined): string | undefined {
  if (noted === undefined) return undefined;
  if (noted.id !== record.id) return `the target has it as container ${noted.id}, the record as ${record.id}`;
  if (noted.pool !== record.pool) return `the target has it as of pool ${noted.pool}, the record of ${record.pool}`;
  if (noted.type !== record.type) return `the target has it as of type ${noted.type}, the record of ${record.type}`;
  const name = FIXED_PROPERTIES.find((fixed) => noted.properties[fixed] !== record.properties[fixed]);
  if (name === undefined) return undefined;
  const [there, here] = [noted.properties[name], record.properties[name]].map((value) => String(value ?? "not set"));
  return `the target has it with ${name} ${there}, the record with ${here}`;
}

function compareSnapshots(view: ContainerView, place: string): Difference[] {
  const { pool, map, container, snapshots } = view;
  const open = snapshots.filter(({ record }) => record.state !== "ready");
  if (open.length > 0) {
    const state = `${open.length} snapshot(s) were begun to be made or destroyed, which was not ended`;
    return [{ class: "SNAP_HALF_MADE", place, state, subject: { pool, container } }];
  }
  const held = view.heldSnapshots.flatMap(({ rank, target, answer }) => {
    return answer === null || !isPartaking(map, { rank, target }) ? [] : [{ rank, target, answer }];
  });
  const named = new Set(snapshots.map(({ record }) => record.epoch));
  const unnamed = new Set(held.flatMap(({ answer }) => answer.epochs).filter((epoch) => !named.has(epoch)));
  const found: Difference[] = [...unnamed].map((epoch) => {
    const on = held.filter(({ answer }) => answer.epochs.includes(epoch));
    const state = `${on.length} of ${held.length} targets keep it, and no record names it`;
    return {
      class: "SNAP_NONEXIST_ON_PS",
      place: `${place}, snapshot ${epoch}`,
      state,
      // What not all keep nobody can read at: it was given up half-way.
      ...(on.length < held.length && { action: "IGNORE" as const }),
      subject: { pool, container, epoch },
    };
  });
  for (const { key, record } of snapshots) found.push(...missing(view, held, place, { key, record }));
  return found;
}

/** A snapshot with a record that targets do not keep. */
function missing(
  { pool, container }: ContainerView,
  held: readonly Answered<HeldSnapshots>[],
  place: string,
  { key, record }: { readonly key: string; readonly record: SnapshotRecord },
): Difference[] {
  const epoch = record.epoch as Epoch;
  const lacking = held.filter(({ answer }) => !answer.epochs.includes(epoch));
  // What they have aggregated since they may not have any more.
  const lost = lacking.filter(({ answer }) => answer.aggregatedTo > epoch);
  const at = `${place}, snapshot ${record.name}`;
  const names = (targets: readonly TargetName[]): string => targets.map(targetName).join(", ");
  if (lost.length > 0) {
    const state = `${names(lost)} does not keep it, and has dropped older versions since`;
    return [{ class: "SNAP_LOST", place: at, state, subject: { pool, container, epoch, key } }];
  }
  if (lacking.length === 0) return [];
  const state = `${names(lacking)} does not keep it`;
  const targets = lacking.map(({ rank, target }) => ({ rank, target }));
  return [{ class: "SNAP_NONEXIST_ON_TARGET", place: at, state, subject: { pool, container, epoch, key, targets } }];
}
