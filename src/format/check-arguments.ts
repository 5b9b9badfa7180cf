/** Checks what a target is asked for a check (check-questions.ts) after decoding. */
import { z } from "zod";
import type { Epoch } from "../base/epoch.ts";
import {
  MAX_CELL_KEY_BYTES,
  MAX_DKEY_BYTES,
  MAX_MAP_NOTE_BYTES,
  MAX_NOTE_BYTES,
  MAX_SNAPSHOTS,
} from "../base/limits.ts";
import { OBJECT_ID_BYTES } from "../base/object-id.ts";
import type { TargetQuestionName, TargetQuestions } from "./check-questions.ts";

/** Containers, pools or ids that one question names. */
export const MAX_CHECKED = 1024;

const count = z.int().nonnegative();
const container = z.int().min(1).max(0xffff_ffff);
const pool = z.string().min(1).max(64);
const epoch = z.custom<Epoch>((value) => Number.isSafeInteger(value) && (value as number) >= 0, "expected an epoch");
const bytes = (maxBytes: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>(
    (value) => value instanceof Uint8Array && value.length <= maxBytes,
    `expected at most ${maxBytes} bytes`,
  );
const note = bytes(MAX_NOTE_BYTES);
const containers = z.array(container).max(MAX_CHECKED);
const ids = z.array(z.object({ client: count, sequence: count })).max(MAX_CHECKED);
const nothing = z.object({});

export const questionSchemas = {
  holdings: z.object({ after: count }),
  containers: z.object({ containers }),
  snapshots: z.object({ containers }),
  pool: z.object({ pool }),
  pools: nothing,
  leftovers: nothing,
  areUndecided: z.object({ ids }),
  keepNotes: z.object({
    pools: z.array(z.object({ pool, note, map: bytes(MAX_MAP_NOTE_BYTES) })).max(MAX_CHECKED),
    containers: z.array(z.object({ container, note })).max(MAX_CHECKED),
  }),
  forgetPool: z.object({ pool }),
  adoptSnapshots: z.object({ container, epochs: z.array(epoch).max(MAX_SNAPSHOTS) }),
  settle: z.object({ orphans: ids }),
  forgetDecisions: z.object({ ids }),
  dkeys: z.object({ container, after: bytes(MAX_CELL_KEY_BYTES).exactOptional() }),
  dropDkey: z.object({ container, oid: bytes(OBJECT_ID_BYTES), dkey: bytes(MAX_DKEY_BYTES) }),
} satisfies { [Name in TargetQuestionName]: z.ZodType<Parameters<TargetQuestions[Name]>[0]> };
