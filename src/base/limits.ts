/**
 * Every limit of the system that a user or a peer can meet, in one place. docs/limits.md explains them.
 */
export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

/** Longest distribution key, bytes. With MAX_AKEY_BYTES, all bytes zero, the encoded cell key still fits the index. */
export const MAX_DKEY_BYTES = 512;
/** Longest attribute key, bytes. Fits `x:` and a 255 byte xattr name. */
export const MAX_AKEY_BYTES = 320;
/** Longest key of a store cell after encoding, bytes (LMDB takes 1978 with 4 KiB pages; history adds 8). */
export const MAX_CELL_KEY_BYTES = 1900;
/** Largest single value, bytes. Larger data belongs in an array, which streams. */
export const MAX_SINGLE_VALUE_BYTES = 8 * MIB;
/** Largest array read or write in one request, bytes. The client splits larger ones. */
export const MAX_ARRAY_IO_BYTES = 4 * MIB;
/** Highest byte address within one array akey (record index x record size): the safe integers. */
export const MAX_ARRAY_BYTES = Number.MAX_SAFE_INTEGER - 4 * MIB;
/** Largest record of an array, bytes. */
export const MAX_RECORD_BYTES = 1 * MIB;
/** Most bytes after a frame's header: arguments and payload. */
export const MAX_FRAME_BODY_BYTES = 9 * MIB;
/** Most bytes of a frame's arguments. */
export const MAX_FRAME_ARGUMENTS_BYTES = 256 * KIB;
/** Request bytes a server holds for one connection before it stops reading from it. */
export const MAX_CONNECTION_INFLIGHT_BYTES = 32 * MIB;
/** Requests a server runs at once for one connection before it stops reading from it. */
export const MAX_CONNECTION_INFLIGHT_REQUESTS = 4096;
/** Reply bytes queued for a client that does not read, before its requests are no longer read. */
export const MAX_CONNECTION_QUEUED_REPLY_BYTES = 16 * MIB;
/** Open connections a listener accepts. */
export const MAX_CONNECTIONS = 8192;
/** Most keys or extents one enumeration reply carries. */
export const MAX_ENUMERATION_KEYS = 1024;
/** Snapshots of one container. */
export const MAX_SNAPSHOTS = 1024;
/** Longest label of a pool, container or snapshot, bytes. */
export const MAX_LABEL_BYTES = 127;
/** Values up to this size travel in the log record and live in SCM; larger ones go to the NVMe tier first. */
export const INLINE_VALUE_BYTES = 4 * KIB;
/** Unit of the NVMe tier: allocation, checksum chunk, and device alignment, bytes. */
export const BLOCK_BYTES = 4 * KIB;
