/** What a check asks of the meta store and of the targets; an engine that is away, or of a release that cannot be asked, is passed over. */
import { hasCode } from "../../base/errors.ts";
import type { TargetQuestionName, TargetQuestions } from "../../format/check-questions.ts";
import { CONTAINER_PREFIX } from "../../format/meta-key.ts";
import type { MapRecord, MemberRecord } from "../../format/meta-record.ts";
import { isAway } from "../engine-set.ts";
import type { EngineLink, Members } from "../members.ts";
import type { MetaRecords } from "../meta-records.ts";
import type { Answered, TargetName } from "./difference.ts";

const PAGE_RECORDS = 1024;

export class CheckReader {
  readonly records: MetaRecords;
  readonly members: Members;

  constructor(records: MetaRecords, members: Members) {
    this.records = records;
    this.members = members;
  }

  /** Those that can be asked. */
  engines(): { readonly member: MemberRecord; readonly link: EngineLink }[] {
    return this.members.list().flatMap((member) => {
      const link = this.members.link(member.rank);
      return link === undefined ? [] : [{ member, link }];
    });
  }

  /** All targets of engines that can be asked. */
  targets(): TargetName[] {
    return this.engines().flatMap(({ member: { rank, targets } }) => targets.map((_, target) => ({ rank, target })));
  }

  /** Of a pool. */
  targetsOf(map: MapRecord): TargetName[] {
    return map.targets.map(({ rank, target }) => ({ rank, target }));
  }

  /** Undefined: the engine is away, or of a release without checks. Rejects with what the target answers. */
  async ask<Name extends TargetQuestionName>(
    { rank, target }: TargetName,
    name: Name,
    value: Parameters<TargetQuestions[Name]>[0],
  ): Promise<ReturnType<TargetQuestions[Name]> | undefined> {
    const link = this.members.link(rank);
    if (link === undefined) return undefined;
    try {
      return (await link.call("check", { target, name, value })) as ReturnType<TargetQuestions[Name]>;
    } catch (error) {
      if (!isAway(error) && !hasCode(error, "UNSUPPORTED")) throw error;
      return undefined;
    }
  }

  /** The answers of those that can be asked. */
  async askAll<Name extends TargetQuestionName>(
    targets: readonly TargetName[],
    name: Name,
    value: Parameters<TargetQuestions[Name]>[0],
  ): Promise<Answered<ReturnType<TargetQuestions[Name]>>[]> {
    const answers = await Promise.all(
      targets.map(async (target) => ({ ...target, answer: await this.ask(target, name, value) })),
    );
    return answers.flatMap(({ answer, ...target }) => (answer === undefined ? [] : [{ ...target, answer }]));
  }

  /** The pool of each of these containers, by number; those without a record are not in it. One page of records at a time. */
  async poolsOf(numbers: Iterable<number>): Promise<ReadonlyMap<number, string>> {
    const wanted = new Set(numbers);
    const found = new Map<number, string>();
    for (let after: string | undefined; found.size < wanted.size;) {
      const page = await this.records.page("container", CONTAINER_PREFIX, PAGE_RECORDS, after);
      for (const { record } of page) if (wanted.has(record.number)) found.set(record.number, record.pool);
      if (page.length < PAGE_RECORDS) break;
      after = page.at(-1)!.key;
    }
    return found;
  }
}
