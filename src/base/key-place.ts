/** Where keys are: the names of a dkey and of an akey, without their container. */
import type { ByteString } from "./bytes.ts";
import type { ObjectId } from "./object-id.ts";

export interface DkeyPlace {
  readonly oid: ObjectId;
  readonly dkey: ByteString;
}

export interface AkeyPlace extends DkeyPlace {
  readonly akey: ByteString;
}
