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
/** Updates of redundant objects with so many bytes or more are staged by the client at each target. */
export const STAGED_UPDATE_BYTES = 64 * KIB;
/** Bytes, and payloads, that one connection may have staged at a target without their updates. More are OVERLOADED. */
export const MAX_CONNECTION_STAGED_BYTES = 128 * MIB;
export const MAX_CONNECTION_STAGED_PAYLOADS = 1024;
/** What was staged and no update has named for so long, up to twice that, is given back, milliseconds. */
export const STAGED_LIFETIME_MS = 30_000;
/** Open connections a listener accepts. */
export const MAX_CONNECTIONS = 8192;
/** Most keys or extents one enumeration reply carries. */
export const MAX_ENUMERATION_KEYS = 1024;
/** Snapshots of one container. */
export const MAX_SNAPSHOTS = 1024;
/** Longest label of a pool, container or snapshot, bytes. */
export const MAX_LABEL_BYTES = 127;
/** Unless the pool says otherwise, values up to this size travel in the log record and live in SCM; larger ones on NVMe. */
export const INLINE_VALUE_BYTES = 4 * KIB;
/** Bounds of a pool's `data_threshold`; values up to the lower one are in SCM always, also when it is nearly full. */
export const MIN_DATA_THRESHOLD_BYTES = 512;
export const MAX_DATA_THRESHOLD_BYTES = 16 * KIB;
/** Unit of the NVMe tier: allocation, checksum chunk, and device alignment, bytes. */
export const BLOCK_BYTES = 4 * KIB;
/** Payloads of at least this many bytes are received into a buffer of their own, which the receiver keeps. */
export const OWNED_PAYLOAD_BYTES = 16 * KIB;
/** Bytes that one listener holds for all its connections: open frames, requests in flight, replies queued. */
export const MAX_LISTENER_HELD_BYTES = 512 * MIB;
/** A frame that has begun and brings less than FRAME_PROGRESS_BYTES in this time ends its connection, milliseconds. */
export const FRAME_STALL_TIMEOUT_MS = 30_000;
export const FRAME_PROGRESS_BYTES = 64 * KIB;
/** A client with a full reply queue that takes nothing for this long is cut, milliseconds. */
export const CLIENT_STALL_TIMEOUT_MS = 60_000;
/** Request bytes a client queues on one connection before further calls wait. */
export const MAX_CLIENT_QUEUED_BYTES = 8 * MIB;
/** Calls given up (time-out, abort) on one connection whose answers are still due, before the connection is cut. */
export const MAX_ABANDONED_CALLS = 65_536;
/** Longest message an error reply carries, bytes of UTF-8. */
export const MAX_ERROR_MESSAGE_BYTES = 4 * KIB;
/** Deepest nesting of CBOR arguments. */
export const MAX_CBOR_DEPTH = 16;
/** Smallest pool, bytes (DAOS: 16 MiB of SCM). */
export const MIN_POOL_BYTES = 16 * MIB;
/** Pools of one system. */
export const MAX_POOLS = 1024;
/** Containers of one pool. */
export const MAX_POOL_CONTAINERS = 16_384;
/** User attributes (`user.*`) of one pool or container. */
export const MAX_USER_ATTRIBUTES = 32;
/** Longest value of a user attribute, bytes of UTF-8. */
export const MAX_USER_ATTRIBUTE_BYTES = 1 * KIB;
/** Default, smallest and largest chunk of an array: the bytes that one dkey holds. */
export const DEFAULT_CHUNK_BYTES = 1 * MIB;
export const MIN_CHUNK_BYTES = 4 * KIB;
export const MAX_CHUNK_BYTES = 1 * GIB;
/** Default, smallest and largest cell of an erasure-coded stripe: the container property `ec_cell_sz`. */
export const DEFAULT_ERASURE_CELL_BYTES = 128 * KIB;
export const MIN_ERASURE_CELL_BYTES = 4 * KIB;
export const MAX_ERASURE_CELL_BYTES = 1 * MIB;
/** Time for which a capability opens its container, milliseconds. */
export const CAPABILITY_LIFETIME_MS = 3_600_000;
/** Attempts of one change of the control plane against other writers before it gives up with CONFLICT. */
export const MAX_CHANGE_ATTEMPTS = 64;
/** Largest configuration file, bytes. */
export const MAX_CONFIGURATION_BYTES = 256 * KIB;
/** Targets of one engine. */
export const MAX_ENGINE_TARGETS = 64;
/** Smallest share of each tier that one target works with, bytes. */
export const MIN_TARGET_SCM_BYTES = 16 * MIB;
export const MIN_TARGET_NVME_BYTES = 64 * MIB;
/** Longest key of the control plane's store, bytes of UTF-8. */
export const MAX_META_KEY_BYTES = 1 * KIB;
/** Largest value of the control plane's store, bytes (etcd takes requests of 1.5 MiB). */
export const MAX_META_VALUE_BYTES = 1 * MIB;
/** Most that one commit of the control plane's store compares and changes, and bytes of keys and values it writes. */
export const MAX_META_COMMIT_COMPARES = 60;
export const MAX_META_COMMIT_OPERATIONS = 2048;
export const MAX_META_COMMIT_BYTES = 1.25 * MIB;
/** Records of the system that the engine which leads it keeps in memory, bytes; of a larger system it reads them from the store. */
export const MAX_MIRROR_BYTES = 64 * MIB;
/** Time for a foreign plugin's module to load before it is listed as unavailable, milliseconds. */
export const PLUGIN_LOAD_TIMEOUT_MS = 10_000;
/** Prepared records of a target that are undecided, or decided and not forgotten. More are OVERLOADED. */
export const MAX_OPEN_RECORDS = 65_536;
/** Share of the log that they may take: it is copied when the log is recycled. */
export const OPEN_RECORDS_SHARE = 1 / 8;
/** Dkeys that one transaction reads and writes. */
export const MAX_TRANSACTION_DKEYS = 64;
/**
 * Parts that one transaction has: its dkeys, and one for each set of dkeys with one leader of an object that it punches.
 * The largest pool has up to eight sets a target of an object.
 */
export const MAX_TRANSACTION_PARTS = 8192 + 64;
/** Operations on one dkey, and different reads of it, in one transaction. */
export const MAX_TRANSACTION_OPERATIONS = 256;
/** Bytes that one transaction writes, keys included. */
export const MAX_TRANSACTION_BYTES = 4 * MIB;
/** Bytes of an array that one punch of records in a transaction may span. */
export const MAX_TRANSACTION_PUNCH_BYTES = 512 * KIB;
/** A transaction of which nothing is heard for so long after it began to commit is undone, milliseconds. */
export const TRANSACTION_LIFETIME_MS = 5_000;
/** Clients whose completed requests a target remembers, so that a request that is sent again is not run again. */
export const MAX_REQUEST_CLIENTS = 65_536;
/** Completed requests that it remembers of one client: more than a connection may have in flight. */
export const MAX_CLIENT_REQUESTS = 8192;
/** Completed requests that it remembers of all clients, about. */
export const MAX_REQUESTS = 1_048_576;
/** A client that sent nothing for so long, up to twice that, is forgotten, milliseconds. */
export const FORGET_CLIENT_MS = 600_000;
/** A client sends what has failed again for so long at most, milliseconds: that long its updates are remembered. */
export const MAX_RETRY_WINDOW_MS = FORGET_CLIENT_MS / 2;
/** Clients whose changes of the system's records are remembered; when there are more, the older half is forgotten. */
export const MAX_CHANGE_CLIENTS = 4096;
/** Changes that are remembered of one client, of those whose answers it has not acknowledged. */
export const MAX_CLIENT_CHANGES = 1024;
/** A target's copy of a record of the control plane, bytes; user attributes are left out of it. */
export const MAX_NOTE_BYTES = 4 * KIB;
/** The same of a pool's map, bytes: of the largest pool. */
export const MAX_MAP_NOTE_BYTES = 256 * KIB;
/** Engines of one system, and the highest rank one of them may have. */
export const MAX_ENGINES = 256;
export const MAX_RANK = 65_535;
/** Engines that one `daos server start --engines` runs on a host. */
export const MAX_HOST_ENGINES = 16;
/** Targets of one pool: its map must fit a reply. */
export const MAX_POOL_TARGETS = 1024;
/** Levels of a fault domain's path, and characters of each. */
export const MAX_DOMAIN_LEVELS = 8;
export const MAX_DOMAIN_NAME = 63;
/** An engine tells the control plane that it lives at this interval, milliseconds. */
export const HEARTBEAT_MS = 500;
/** Time for which one heartbeat lets an engine serve, unless configured, milliseconds. */
export const DEFAULT_LEASE_MS = 3_000;
/** Lease of the engine that leads the control plane, where several may, milliseconds: less than an engine's. */
export const LEADER_LEASE_MS = 2_000;
/** Silence after which an engine is excluded from the pools that bear it, unless configured, milliseconds. */
export const DEFAULT_EXCLUDE_AFTER_MS = 60_000;
/** Silence after which an engine is a suspect, milliseconds; a lost connection makes it one at once. */
export const SUSPECT_AFTER_MS = 1_500;
/** Longest wait of one engine for another one's answer to a call that changes something small, milliseconds. */
export const ENGINE_CALL_TIMEOUT_MS = 30_000;
/** A signed message among engines counts for this long, milliseconds. */
export const ENGINE_MESSAGE_LIFETIME_MS = 60_000;
/** Longest wait before an engine that died is started again, milliseconds; the first time it is at once. */
export const MAX_RESTART_DELAY_MS = 30_000;
/** Largest backup of a system's records, bytes. */
export const MAX_BACKUP_BYTES = 64 * MIB;
/** Events that the system keeps; the oldest go first. */
export const MAX_EVENTS = 1024;
/** Longest message of an event, characters; what is longer is cut. */
export const MAX_EVENT_MESSAGE = 512;
/** Events that an engine keeps until the control plane has taken them; of more only their number is told. */
export const MAX_PENDING_EVENTS = 256;
/** What rebuilding may take of a target's time while requests of clients are there, unless the pool says otherwise, per cent. */
export const DEFAULT_REBUILD_SHARE = 25;
/** Scrubbing of a pool, unless its properties say otherwise: a pass a week, so many bytes a second on each target. */
export const DEFAULT_SCRUB_SECONDS = 7 * 24 * 3600;
export const DEFAULT_SCRUB_BYTES_PER_SECOND = 16 * MIB;
export const MIN_SCRUB_SECONDS = 60;
export const MAX_SCRUB_SECONDS = 366 * 24 * 3600;
export const MIN_SCRUB_BYTES_PER_SECOND = 64 * KIB;
export const MAX_SCRUB_BYTES_PER_SECOND = 16 * GIB;
