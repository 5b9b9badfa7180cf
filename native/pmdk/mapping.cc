// Opens, locks, maps and unmaps.
#include "mapping.h"

#include <fcntl.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <mutex>

namespace pmdk {

namespace {

// The library keeps a list of all mappings of the process, and its map_delete unmaps before it takes the mapping off the
// list: a thread that is given the same address in between finds it taken (EEXIST). So one maps or unmaps at a time.
std::mutex mapping_mutex;

void *map_shared(int descriptor, const MappingOptions &options, int flags) {
  return mmap(nullptr, options.length, PROT_READ | PROT_WRITE, flags, descriptor, static_cast<off_t>(options.offset));
}

// Whether the range can be mapped with MAP_SYNC, which is what makes it persistent memory.
bool can_sync(int descriptor, const MappingOptions &options) {
  void *address = map_shared(descriptor, options, MAP_SHARED_VALIDATE | MAP_SYNC);
  if (address != MAP_FAILED) {
    munmap(address, options.length);
    return true;
  }
  if (errno == EINVAL || errno == EOPNOTSUPP) return false;
  throw errno_failure("mmap", errno);
}

// The library's answer for a range without MAP_SYNC: a page, unless its variable says otherwise.
pmem2_granularity granularity_without_sync() {
  const char *forced = std::getenv("PMEM2_FORCE_GRANULARITY");
  if (forced == nullptr) return PMEM2_GRANULARITY_PAGE;
  if (strcasecmp(forced, "byte") == 0) return PMEM2_GRANULARITY_BYTE;
  const bool line = strcasecmp(forced, "cache_line") == 0 || strcasecmp(forced, "cacheline") == 0;
  return line ? PMEM2_GRANULARITY_CACHE_LINE : PMEM2_GRANULARITY_PAGE;
}

}  // namespace

Mapping::Mapping(const MappingOptions &options) : library_(library()) {
  try {
    open_locked(options);
    map(options);
  } catch (...) {
    close();
    throw;
  }
}

Mapping::~Mapping() { close(); }

void Mapping::open_locked(const MappingOptions &options) {
  descriptor_ = open(options.path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor_ < 0) throw errno_failure("open", errno);
  // The lock belongs to this open file, not to the process: two targets of one engine exclude each other as well.
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(options.offset);
  lock.l_len = static_cast<off_t>(options.length);
  if (fcntl(descriptor_, F_OFD_SETLK, &lock) == 0) return;
  if (errno == EAGAIN || errno == EACCES) throw Failure("BUSY", "another engine or target has it mapped");
  throw errno_failure("lock", errno);
}

void Mapping::map(const MappingOptions &options) {
  const std::lock_guard<std::mutex> guard(mapping_mutex);
  pmem2_source *raw_source = nullptr;
  int result = library_.source_from_fd(&raw_source, descriptor_);
  if (result != 0) throw library_failure(library_, result);
  const auto delete_source = [this](pmem2_source *source) { library_.source_delete(&source); };
  const std::unique_ptr<pmem2_source, decltype(delete_source)> source(raw_source, delete_source);
  require_range(options, source.get());
  // The library reserves addresses and maps the file over them, first with MAP_SYNC. Where that fails, the kernel may have
  // dropped the reservation already (ext4 without -o dax): another thread can be given the addresses, and the library's
  // second attempt (MAP_FIXED) replaces that thread's memory. So the library maps only what MAP_SYNC works for.
  if (options.forced) {
    map_here(options, source.get(), *options.forced);
  } else if (can_sync(descriptor_, options)) {
    map_by_library(options, source.get());
  } else {
    map_here(options, source.get(), granularity_without_sync());
  }
  pretended_ = options.forced.has_value();
  granularity_ = library_.map_get_store_granularity(map_);
  persist_ = library_.get_persist_fn(map_);
}

void Mapping::require_range(const MappingOptions &options, pmem2_source *source) const {
  size_t size = 0;
  size_t alignment = 0;
  int result = library_.source_size(source, &size);
  if (result == 0) result = library_.source_alignment(source, &alignment);
  if (result != 0) throw library_failure(library_, result);
  if (options.offset > size || options.length > size - options.offset) {
    throw Failure("MAP_RANGE", "the range is outside of the file");
  }
  if (options.forced) return;
  const std::string multiple = " is not a multiple of " + std::to_string(alignment);
  if (options.offset % alignment != 0) throw Failure("OFFSET_UNALIGNED", "the offset" + multiple);
  if (options.length % alignment != 0) throw Failure("LENGTH_UNALIGNED", "the length" + multiple);
}

void Mapping::map_by_library(const MappingOptions &options, pmem2_source *source) {
  pmem2_config *raw_config = nullptr;
  int result = library_.config_new(&raw_config);
  if (result != 0) throw library_failure(library_, result);
  const auto delete_config = [this](pmem2_config *config) { library_.config_delete(&config); };
  const std::unique_ptr<pmem2_config, decltype(delete_config)> config(raw_config, delete_config);
  // The coarsest is asked for, so that the caller learns what there is and can say so.
  library_.config_set_required_store_granularity(config.get(), PMEM2_GRANULARITY_PAGE);
  library_.config_set_offset(config.get(), options.offset);
  library_.config_set_length(config.get(), options.length);
  result = library_.map_new(&map_, config.get(), source);
  if (result != 0) throw library_failure(library_, result);
  address_ = static_cast<uint8_t *>(library_.map_get_address(map_));
  length_ = library_.map_get_size(map_);
}

void Mapping::map_here(const MappingOptions &options, pmem2_source *source, pmem2_granularity granularity) {
  void *address = map_shared(descriptor_, options, MAP_SHARED);
  if (address == MAP_FAILED) throw errno_failure("mmap", errno);
  address_ = static_cast<uint8_t *>(address);
  length_ = options.length;
  mapped_here_ = true;
  const int result = library_.map_from_existing(&map_, source, address, options.length, granularity);
  if (result != 0) throw library_failure(library_, result);
}

void Mapping::zero(size_t offset, size_t length) const {
  library_.get_memset_fn(map_)(address_ + offset, 0, length, PMEM2_F_MEM_NONTEMPORAL);
}

void Mapping::deep_flush(size_t offset, size_t length) const {
  // Memory that only pretends has nothing deeper to flush.
  if (pretended_) return;
  const int result = library_.deep_flush(map_, address_ + offset, length);
  if (result != 0) throw library_failure(library_, result);
}

void Mapping::close() {
  const std::lock_guard<std::mutex> guard(mapping_mutex);
  // Of a range that was mapped here this forgets the range only.
  if (map_ != nullptr) library_.map_delete(&map_);
  map_ = nullptr;
  if (mapped_here_ && address_ != nullptr) munmap(address_, length_);
  address_ = nullptr;
  length_ = 0;
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace pmdk
