/**
 * The commented example configuration that `daos server config example` prints: every key with its default. The same
 * text as config/laptop.yml (test/engine/configuration.test.ts compares them), here because the executable has no files
 * beside it.
 */
const EXAMPLE = `# Configuration of a daos engine: every key with its default. All of them may be left out.
# Start with \`daos server start --config FILE\`; check with \`daos server config check FILE\`.
# A flag of \`daos server start\` wins over an environment variable (DAOS_...), and that over this file.

# Name of the system. Fixed at format.
# Environment: DAOS_NAME
name: daos

# Address of the management listener, HOST:PORT. Target n listens on PORT + 1 + n; port 0 lets the system choose all.
# Environment: DAOS_LISTEN   flag: --listen
listen: 127.0.0.1:10001

# Folder that holds everything. A relative path starts at this file's folder.
# When left out: $XDG_DATA_HOME/daos, else ~/.local/share/daos.
# Environment: DAOS_STORAGE   flag: --storage
# storage: ~/.local/share/daos

# Targets of this engine: each has a thread, a listener and a share of each tier. Fixed at format.
# When left out: the number of cores less one, at least 1.
# Environment: DAOS_TARGETS   flag: --targets
# targets: 1

# Engines on this host, each a process with a part of the storage folder (engine0, engine1, ...) and ports 100 further on.
# When left out: as many as the storage folder holds, 1 when it is new.
# Environment: DAOS_ENGINES   flag: --engines
# engines: 1

# An engine of the system that this engine joins, HOST:PORT. When left out it begins a system, or finds its own again.
# Environment: DAOS_JOIN   flag: --join
# join: 10.0.0.5:10001

# What fails together with this engine: a path, such as /rack1/node2. Copies of data are kept in different domains.
# Environment: DAOS_FAULT_DOMAIN   flag: --fault-domain
fault_domain: /

# Seconds for which an engine serves without an answer of the control plane. The first engine's counts.
# Environment: DAOS_LEASE
lease: 3

# Seconds of silence after which an engine is excluded from pools that bear it although others may still reach it, more
# than lease; or never, for dead ones too. The first engine's counts.
# Environment: DAOS_EXCLUDE_AFTER
exclude_after: 60

# Seconds after which an engine is excluded that the others have found dead, once its lease is over. The first engine's
# counts. Raise it where an engine that crashed is back soon and its pools should wait for it.
# Environment: DAOS_EXCLUDE_DEAD_AFTER
exclude_dead_after: 0

# How engines find out which of them are dead, milliseconds: a ping each period_ms, and so on; docs/membership.md has all.
# The same on all engines.
swim: { period_ms: 200, ping_timeout_ms: 250, indirect_timeout_ms: 350, suspicion_ms: 500 }

# Storage class memory: the log, the index and small values.
scm:
  # Plugin of kind scm; \`daos server plugins\` lists them. Fixed at format. auto takes the best that serves here: pmdk on
  # persistent memory, else ram where io_uring can be had, else file.
  # Environment: DAOS_SCM_PLUGIN
  plugin: auto

  # Size on this engine, shared equally by its targets. Fixed at format. A quarter of it is the log, at most 256 MiB a
  # target, which file and ram keep in memory too. When left out: 4 GiB, or 20 % of what is free when that is less.
  # Environment: DAOS_SCM_SIZE   flag: --scm-size
  # size: 4GiB

  # Settings of that plugin; docs/plugins.md has those of the built-in ones.
  config: {}

# NVMe tier: bulk data.
nvme:
  # Plugin of kind block-device. Fixed at format. auto takes uring where io_uring can be had, else file.
  # Environment: DAOS_NVME_PLUGIN
  plugin: auto

  # Size on this engine, shared equally by its targets. Fixed at format.
  # When left out: 16 GiB, or 60 % of what is free when that is less.
  # Environment: DAOS_NVME_SIZE   flag: --nvme-size
  # size: 16GiB

  # Settings of that plugin.
  config: {}

  # Several devices instead of one plugin, with path or config each; targets take them in turn. Fixed at format.
  # devices: [{ plugin: file, path: /mnt/nvme0 }, { plugin: file, path: /mnt/nvme1 }]

  # When a device counts as faulty: after so many errors, failed checksums, or operations in a row over max_latency_ms.
  # An operation over timeout_ms is given up, and the device with it.
  faulty: { enable: true, max_io_errs: 10, max_csum_errs: 4294967295, max_latency_ms: 5000, timeout_ms: 30000 }

# Pools, containers and snapshots.
meta_store:
  # Plugin of kind meta-store. Fixed at format.
  # Environment: DAOS_META_STORE_PLUGIN
  plugin: sqlite

  # Settings of that plugin.
  config: {}

# Further plugins to load: package names, or paths, which begin with / or . and start at this file's folder.
# Environment: DAOS_PLUGINS (separated by commas)
plugins: []

transport_config:
  # Listen beyond this machine without certificates: everybody who reaches the port may read and write.
  # Environment: DAOS_ALLOW_INSECURE
  allow_insecure: false

# What the engine tells on standard error: error, warn, info or debug.
# Environment: DAOS_LOG_LEVEL
log_level: info
`;

/** A configuration file that changes nothing. */
export function exampleConfiguration(): string {
  return EXAMPLE;
}
