// libpmem2, found when the addon is loaded instead of when it is linked: a machine without the library gets a sentence
// that names the package, not a loader error, and the single executable runs anywhere. The table of functions is filled
// once and never changes; the library stays loaded until the process ends, because its destructor wants the main thread.
#pragma once

#include <libpmem2.h>

#include <stdexcept>
#include <string>

namespace pmdk {

// What went wrong, for the caller to make an error of. `code` is an errno name (ENOENT), a name of libpmem2 without its
// prefix (GRANULARITY_NOT_SUPPORTED) or BUSY; the message is one clause without a full stop.
struct Failure : std::runtime_error {
  Failure(std::string failure_code, const std::string &message)
      : std::runtime_error(message), code(std::move(failure_code)) {}
  std::string code;
};

struct Library {
  decltype(&pmem2_source_from_fd) source_from_fd;
  decltype(&pmem2_source_delete) source_delete;
  decltype(&pmem2_source_size) source_size;
  decltype(&pmem2_source_alignment) source_alignment;
  decltype(&pmem2_source_numa_node) source_numa_node;
  decltype(&pmem2_source_device_id) source_device_id;
  decltype(&pmem2_source_device_usc) source_device_usc;
  decltype(&pmem2_source_pread_mcsafe) source_pread_mcsafe;
  decltype(&pmem2_badblock_context_new) badblock_context_new;
  decltype(&pmem2_badblock_next) badblock_next;
  decltype(&pmem2_badblock_context_delete) badblock_context_delete;
  decltype(&pmem2_config_new) config_new;
  decltype(&pmem2_config_delete) config_delete;
  decltype(&pmem2_config_set_required_store_granularity) config_set_required_store_granularity;
  decltype(&pmem2_config_set_offset) config_set_offset;
  decltype(&pmem2_config_set_length) config_set_length;
  decltype(&pmem2_map_new) map_new;
  decltype(&pmem2_map_from_existing) map_from_existing;
  decltype(&pmem2_map_delete) map_delete;
  decltype(&pmem2_map_get_address) map_get_address;
  decltype(&pmem2_map_get_size) map_get_size;
  decltype(&pmem2_map_get_store_granularity) map_get_store_granularity;
  decltype(&pmem2_get_persist_fn) get_persist_fn;
  decltype(&pmem2_get_memset_fn) get_memset_fn;
  decltype(&pmem2_deep_flush) deep_flush;
  decltype(&pmem2_errormsg) errormsg;
};

// The library. Throws Failure (NO_LIBRARY), naming the package, where it is not installed or too old.
const Library &library();

// The Failure for a negative result of a libpmem2 function, with the library's own words.
Failure library_failure(const Library &library, int result);

// The Failure for an errno.
Failure errno_failure(const std::string &call, int number);

}  // namespace pmdk
