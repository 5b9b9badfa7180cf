// Opens, locks, maps and unmaps.
#include "mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <mutex>

namespace pmdk {

namespace {

// The library keeps a list of all mappings of the process, and its map_delete unmaps before it takes the mapping off the
// list: a thread that is given the same address in between finds it taken (EEXIST). So one maps or unmaps at a time.
std::mutex mapping_mutex;

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
  if (options.forced) {
    map_forced(options, source.get());
  } else {
    pmem2_config *raw_config = nullptr;
    result = library_.config_new(&raw_config);
    if (result != 0) throw library_failure(library_, result);
    const auto delete_config = [this](pmem2_config *config) { library_.config_delete(&config); };
    const std::unique_ptr<pmem2_config, decltype(delete_config)> config(raw_config, delete_config);
    // The coarsest is asked for, so that the caller learns what there is and can say so.
    library_.config_set_required_store_granularity(config.get(), PMEM2_GRANULARITY_PAGE);
    library_.config_set_offset(config.get(), options.offset);
    library_.config_set_length(config.get(), options.length);
    result = library_.map_new(&map_, config.get(), source.get());
    if (result != 0) throw library_failure(library_, result);
    address_ = static_cast<uint8_t *>(library_.map_get_address(map_));
    length_ = library_.map_get_size(map_);
  }
  granularity_ = library_.map_get_store_granularity(map_);
  persist_ = library_.get_persist_fn(map_);
}

void Mapping::map_forced(const MappingOptions &options, pmem2_source *source) {
  size_t size = 0;
  int result = library_.source_size(source, &size);
  if (result != 0) throw library_failure(library_, result);
  if (options.offset > size || options.length > size - options.offset) {
    throw Failure("MAP_RANGE", "the range is outside of the file");
  }
  void *address = mmap(nullptr, options.length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_,
                       static_cast<off_t>(options.offset));
  if (address == MAP_FAILED) throw errno_failure("mmap", errno);
  address_ = static_cast<uint8_t *>(address);
  length_ = options.length;
  forced_ = true;
  result = library_.map_from_existing(&map_, source, address, options.length, *options.forced);
  if (result != 0) throw library_failure(library_, result);
}

void Mapping::zero(size_t offset, size_t length) const {
  library_.get_memset_fn(map_)(address_ + offset, 0, length, PMEM2_F_MEM_NONTEMPORAL);
}

void Mapping::deep_flush(size_t offset, size_t length) const {
  // Memory that only pretends has nothing deeper to flush.
  if (forced_) return;
  const int result = library_.deep_flush(map_, address_ + offset, length);
  if (result != 0) throw library_failure(library_, result);
}

void Mapping::close() {
  const std::lock_guard<std::mutex> guard(mapping_mutex);
  // Of a forced mapping this forgets the range only.
  if (map_ != nullptr) library_.map_delete(&map_);
  map_ = nullptr;
  if (forced_ && address_ != nullptr) munmap(address_, length_);
  address_ = nullptr;
  length_ = 0;
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace pmdk
