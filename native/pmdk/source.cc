// Asks the file system and libpmem2 about a source.
#include "source.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "library.h"

namespace pmdk {

namespace {

// A character device is a devdax device when its subsystem in sysfs is `dax`.
bool is_devdax(dev_t device) {
  const std::string link =
      "/sys/dev/char/" + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + "/subsystem";
  char target[PATH_MAX];
  if (realpath(link.c_str(), target) == nullptr) return false;
  const char *name = strrchr(target, '/');
  return name != nullptr && strcmp(name + 1, "dax") == 0;
}

class OpenSource {
 public:
  OpenSource(const std::string &path, int access)
      : library_(library()), descriptor_(open(path.c_str(), access | O_CLOEXEC)) {
    if (descriptor_ < 0) throw errno_failure("open", errno);
    const int result = library_.source_from_fd(&source_, descriptor_);
    if (result == 0) return;
    ::close(descriptor_);
    throw library_failure(library_, result);
  }
  ~OpenSource() {
    library_.source_delete(&source_);
    ::close(descriptor_);
  }
  OpenSource(const OpenSource &) = delete;
  OpenSource &operator=(const OpenSource &) = delete;

  void read_head(void *bytes, size_t length) {
    size_t size = 0;
    check(library_.source_size(source_, &size));
    if (size < length) throw Failure("MAP_RANGE", "it ends before byte " + std::to_string(length));
    check(library_.source_pread_mcsafe(source_, bytes, length, 0));
  }

  Source describe() {
    Source found;
    check(library_.source_size(source_, &found.size));
    check(library_.source_alignment(source_, &found.alignment));
    int node = 0;
    if (told(found, "NUMA node", library_.source_numa_node(source_, &node))) found.numa_node = node;
    uint64_t count = 0;
    if (told(found, "unsafe shutdown count", library_.source_device_usc(source_, &count))) {
      found.unsafe_shutdowns = count;
    }
    describe_device(found);
    describe_bad_blocks(found);
    return found;
  }

 private:
  void check(int result) {
    if (result != 0) throw library_failure(library_, result);
  }

  bool told(Source &found, const char *what, int result) {
    if (result == 0) return true;
    found.unavailable.push_back(std::string(what) + ": " + library_failure(library_, result).what());
    return false;
  }

  void describe_device(Source &found) {
    size_t length = 0;
    if (!told(found, "device id", library_.source_device_id(source_, nullptr, &length))) return;
    std::string id(length, '\0');
    if (!told(found, "device id", library_.source_device_id(source_, id.data(), &length))) return;
    id.resize(strnlen(id.data(), id.size()));
    found.device_id = id;
  }

  void describe_bad_blocks(Source &found) {
    pmem2_badblock_context *context = nullptr;
    if (!told(found, "bad blocks", library_.badblock_context_new(&context, source_))) return;
    std::vector<BadBlock> blocks;
    pmem2_badblock block{};
    int result = 0;
    while (blocks.size() < MAX_BAD_BLOCKS && (result = library_.badblock_next(context, &block)) == 0) {
      blocks.push_back({block.offset, block.length});
    }
    library_.badblock_context_delete(&context);
    if (result == 0 || result == PMEM2_E_NO_BAD_BLOCK_FOUND || told(found, "bad blocks", result)) {
      found.bad_blocks = std::move(blocks);
    }
  }

  const Library &library_;
  const int descriptor_;
  pmem2_source *source_ = nullptr;
};

}  // namespace

const char *kind_of(const std::string &path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return "absent";
    throw errno_failure("stat", errno);
  }
  if (S_ISDIR(status.st_mode)) return "folder";
  if (S_ISREG(status.st_mode)) return "file";
  if (S_ISBLK(status.st_mode)) return "block-device";
  return S_ISCHR(status.st_mode) && is_devdax(status.st_rdev) ? "devdax" : "other";
}

Source inspect(const std::string &path) { return OpenSource(path, O_RDONLY).describe(); }

// The library maps a devdax device for writing even when it only reads.
void read_head(const std::string &path, void *bytes, size_t length) {
  OpenSource(path, O_RDWR).read_head(bytes, length);
}

}  // namespace pmdk
