// Finds libpmem2 and its functions; names its errors.
#include "library.h"

#include <dlfcn.h>

#include <cstring>

namespace pmdk {

namespace {

constexpr const char *LIBRARY_NAME = "libpmem2.so.1";

template <typename Function>
void find(void *handle, const char *name, Function &place) {
  void *symbol = dlsym(handle, name);
  if (symbol == nullptr) {
    throw Failure("NO_LIBRARY", std::string(LIBRARY_NAME) + " has no " + name +
                                    ": install a newer libpmem2 (Debian package libpmem2, 1.12 or later)");
  }
  std::memcpy(&place, &symbol, sizeof place);
}

Library load() {
  void *handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    throw Failure("NO_LIBRARY", std::string("the library libpmem2 is not there: install the Debian package libpmem2 (") +
                                    dlerror() + ")");
  }
  Library library{};
  find(handle, "pmem2_source_from_fd", library.source_from_fd);
  find(handle, "pmem2_source_delete", library.source_delete);
  find(handle, "pmem2_source_size", library.source_size);
  find(handle, "pmem2_source_alignment", library.source_alignment);
  find(handle, "pmem2_source_numa_node", library.source_numa_node);
  find(handle, "pmem2_source_device_id", library.source_device_id);
  find(handle, "pmem2_source_device_usc", library.source_device_usc);
  find(handle, "pmem2_source_pread_mcsafe", library.source_pread_mcsafe);
  find(handle, "pmem2_badblock_context_new", library.badblock_context_new);
  find(handle, "pmem2_badblock_next", library.badblock_next);
  find(handle, "pmem2_badblock_context_delete", library.badblock_context_delete);
  find(handle, "pmem2_config_new", library.config_new);
  find(handle, "pmem2_config_delete", library.config_delete);
  find(handle, "pmem2_config_set_required_store_granularity", library.config_set_required_store_granularity);
  find(handle, "pmem2_config_set_offset", library.config_set_offset);
  find(handle, "pmem2_config_set_length", library.config_set_length);
  find(handle, "pmem2_map_new", library.map_new);
  find(handle, "pmem2_map_from_existing", library.map_from_existing);
  find(handle, "pmem2_map_delete", library.map_delete);
  find(handle, "pmem2_map_get_address", library.map_get_address);
  find(handle, "pmem2_map_get_size", library.map_get_size);
  find(handle, "pmem2_map_get_store_granularity", library.map_get_store_granularity);
  find(handle, "pmem2_get_persist_fn", library.get_persist_fn);
  find(handle, "pmem2_get_memset_fn", library.get_memset_fn);
  find(handle, "pmem2_deep_flush", library.deep_flush);
  find(handle, "pmem2_errormsg", library.errormsg);
  return library;
}

std::string result_name(int result) {
  switch (result) {
    case PMEM2_E_NOSUPP: return "NOSUPP";
    case PMEM2_E_INVALID_FILE_TYPE: return "INVALID_FILE_TYPE";
    case PMEM2_E_MAP_RANGE: return "MAP_RANGE";
    case PMEM2_E_GRANULARITY_NOT_SUPPORTED: return "GRANULARITY_NOT_SUPPORTED";
    case PMEM2_E_OFFSET_UNALIGNED: return "OFFSET_UNALIGNED";
    case PMEM2_E_LENGTH_UNALIGNED: return "LENGTH_UNALIGNED";
    case PMEM2_E_SOURCE_EMPTY: return "SOURCE_EMPTY";
    case PMEM2_E_DAX_REGION_NOT_FOUND: return "DAX_REGION_NOT_FOUND";
    case PMEM2_E_CANNOT_READ_BOUNDS: return "CANNOT_READ_BOUNDS";
    case PMEM2_E_MAPPING_EXISTS: return "MAPPING_EXISTS";
    case PMEM2_E_NO_ACCESS: return "NO_ACCESS";
    case PMEM2_E_IO_FAIL: return "IO_FAIL";
    default: return "UNKNOWN";
  }
}

}  // namespace

const Library &library() {
  // Filled once, by whichever thread comes first, and read-only from then on.
  static const Library loaded = load();
  return loaded;
}

Failure errno_failure(const std::string &call, int number) {
  const char *name = strerrorname_np(number);
  char text[128] = "unknown error";
  return Failure(name == nullptr ? "EIO" : name, call + " failed: " + strerror_r(number, text, sizeof text));
}

Failure library_failure(const Library &library, int result) {
  // Results above -100000 are negated error numbers.
  if (result < 0 && result > -100000) return errno_failure("libpmem2", -result);
  std::string message = library.errormsg();
  return Failure(result_name(result), message.empty() ? "libpmem2 returned " + std::to_string(result) : message);
}

}  // namespace pmdk
