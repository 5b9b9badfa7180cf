// The addon's face: numbers and strings in, plain objects and one ArrayBuffer for each mapping out.
//
// Mappings are known by a slot number. The bytes are an external ArrayBuffer: `close` detaches it before it unmaps, so
// that no view can reach memory that is gone; a buffer that cannot be detached keeps its mapping until it is collected.
// Each environment has its own slots and unmaps what it left open when it ends, be it a Worker terminated at any moment.
#define NAPI_VERSION 8
#include <node_api.h>

#include <memory>
#include <vector>

#include "mapping.h"
#include "source.h"

namespace {

using pmdk::Failure;
using pmdk::Mapping;

struct Instance {
  // A closed mapping leaves its slot empty for the next one. The buffer's finalizer shares the ownership.
  std::vector<std::shared_ptr<Mapping>> slots;

  ~Instance() {
    for (const auto &mapping : slots) {
      if (mapping) mapping->close();
    }
  }
};

constexpr const char *GRANULARITY_NAMES[] = {"byte", "cache_line", "page"};
constexpr size_t MAX_ARGUMENTS = 4;
constexpr size_t MAX_HEAD_BYTES = 1024 * 1024;

struct Call {
  napi_value arguments[MAX_ARGUMENTS]{};
  size_t count = MAX_ARGUMENTS;
  Instance *instance = nullptr;

  Call(napi_env env, napi_callback_info info) {
    void *data = nullptr;
    napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
    instance = static_cast<Instance *>(data);
  }
};

napi_value throw_failure(napi_env env, const Failure &failure) {
  napi_throw_error(env, failure.code.c_str(), failure.what());
  return nullptr;
}

double number(napi_env env, napi_value value) {
  double result = 0;
  if (napi_get_value_double(env, value, &result) != napi_ok) throw Failure("EINVAL", "a number is missing");
  return result;
}

size_t size(napi_env env, napi_value value) {
  const double result = number(env, value);
  if (!(result >= 0 && result <= 9007199254740991.0)) throw Failure("EINVAL", "a size is out of range");
  return static_cast<size_t>(result);
}

std::string text(napi_env env, napi_value value) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    throw Failure("EINVAL", "a string is missing");
  }
  std::string result(length + 1, '\0');
  napi_get_value_string_utf8(env, value, result.data(), result.size(), &length);
  result.resize(length);
  if (result.find('\0') != std::string::npos) throw Failure("EINVAL", "a string holds a zero byte");
  return result;
}

napi_value number_value(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

napi_value text_value(napi_env env, const std::string &value) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, value.data(), value.size(), &result);
  return result;
}

void set(napi_env env, napi_value object, const char *name, napi_value value) {
  napi_set_named_property(env, object, name, value);
}

// The open mapping of the slot, whose range [offset, offset + length) is checked.
Mapping &mapping_of(napi_env env, const Call &call, double &offset, double &length) {
  const size_t slot = size(env, call.arguments[0]);
  if (slot >= call.instance->slots.size() || !call.instance->slots[slot]) throw Failure("EBADF", "it is closed");
  Mapping &mapping = *call.instance->slots[slot];
  offset = number(env, call.arguments[1]);
  length = number(env, call.arguments[2]);
  if (!mapping.contains(offset, length)) throw Failure("EINVAL", "the range is outside of the mapping");
  return mapping;
}

Mapping &persistent_mapping_of(napi_env env, const Call &call, double &offset, double &length) {
  Mapping &mapping = mapping_of(env, call, offset, length);
  if (mapping.granularity() == PMEM2_GRANULARITY_PAGE) throw Failure("NOSUPP", "its granularity is a page");
  return mapping;
}

void release_mapping(napi_env, void *, void *hint) { delete static_cast<std::shared_ptr<Mapping> *>(hint); }

// map(path, offset, length, forced granularity or -1) -> { slot, bytes, granularity }
napi_value map(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  try {
    pmdk::MappingOptions options{
        text(env, call.arguments[0]), size(env, call.arguments[1]), size(env, call.arguments[2]), std::nullopt};
    const double forced = number(env, call.arguments[3]);
    if (forced >= 0 && forced <= 2) options.forced = static_cast<pmem2_granularity>(static_cast<int>(forced));
    auto mapping = std::make_shared<Mapping>(options);
    napi_value buffer = nullptr;
    auto *owner = new std::shared_ptr<Mapping>(mapping);
    const napi_status status = napi_create_external_arraybuffer(env, mapping->address(), mapping->length(),
                                                                release_mapping, owner, &buffer);
    if (status != napi_ok) {
      delete owner;
      throw Failure("ENOMEM", "the runtime takes no buffer of this size");
    }
    auto &slots = call.instance->slots;
    size_t slot = 0;
    while (slot < slots.size() && slots[slot]) slot += 1;
    if (slot == slots.size()) slots.emplace_back();
    slots[slot] = mapping;
    napi_value result = nullptr;
    napi_create_object(env, &result);
    set(env, result, "slot", number_value(env, static_cast<double>(slot)));
    set(env, result, "bytes", buffer);
    set(env, result, "granularity", text_value(env, GRANULARITY_NAMES[mapping->granularity()]));
    return result;
  } catch (const Failure &failure) {
    return throw_failure(env, failure);
  }
}

// persist(slot, offset, length)
napi_value persist(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  try {
    double offset = 0;
    double length = 0;
    Mapping &mapping = persistent_mapping_of(env, call, offset, length);
    mapping.persist(static_cast<size_t>(offset), static_cast<size_t>(length));
  } catch (const Failure &failure) {
    return throw_failure(env, failure);
  }
  return nullptr;
}

// zero(slot, offset, length)
napi_value zero(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  try {
    double offset = 0;
    double length = 0;
    Mapping &mapping = persistent_mapping_of(env, call, offset, length);
    mapping.zero(static_cast<size_t>(offset), static_cast<size_t>(length));
  } catch (const Failure &failure) {
    return throw_failure(env, failure);
  }
  return nullptr;
}

// deepFlush(slot, offset, length)
napi_value deep_flush(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  try {
    double offset = 0;
    double length = 0;
    Mapping &mapping = mapping_of(env, call, offset, length);
    mapping.deep_flush(static_cast<size_t>(offset), static_cast<size_t>(length));
  } catch (const Failure &failure) {
    return throw_failure(env, failure);
  }
  return nullptr;
}

// close(slot, bytes)
napi_value close_mapping(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  try {
    const size_t slot = size(env, call.arguments[0]);
    if (slot >= call.instance->slots.size() || !call.instance->slots[slot]) throw Failure("EBADF", "it is closed");
    void *address = nullptr;
    size_t length = 0;
    const std::shared_ptr<Mapping> mapping = call.instance->slots[slot];
    if (napi_get_arraybuffer_info(env, call.arguments[1], &address, &length) != napi_ok ||
        address != mapping->address()) {
      throw Failure("EINVAL", "these are not its bytes");
    }
    call.instance->slots[slot].reset();
    // Without views nobody can touch the memory; otherwise the buffer's finalizer unmaps it.
    if (napi_detach_arraybuffer(env, call.arguments[1]) == napi_ok) mapping->close();
  } catch (const Failure &failure) {
    return throw_failure(env, failure);
  }
  return nullptr;
}

// kindOf(path)
napi_value kind_of(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  try {
    return text_value(env, pmdk::kind_of(text(env, call.arguments[0])));
  } catch (const Failure &failure) {
    return throw_failure(env, failure);
  }
}

napi_value bad_blocks_value(napi_env env, const std::vector<pmdk::BadBlock> &blocks) {
  napi_value list = nullptr;
  napi_create_array_with_length(env, blocks.size(), &list);
  for (size_t index = 0; index < blocks.size(); index += 1) {
    napi_value block = nullptr;
    napi_create_object(env, &block);
    set(env, block, "offset", number_value(env, static_cast<double>(blocks[index].offset)));
    set(env, block, "length", number_value(env, static_cast<double>(blocks[index].length)));
    napi_set_element(env, list, static_cast<uint32_t>(index), block);
  }
  return list;
}

// inspect(path)
napi_value inspect(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  try {
    const pmdk::Source source = pmdk::inspect(text(env, call.arguments[0]));
    napi_value result = nullptr;
    napi_create_object(env, &result);
    set(env, result, "sizeBytes", number_value(env, static_cast<double>(source.size)));
    set(env, result, "alignmentBytes", number_value(env, static_cast<double>(source.alignment)));
    if (source.numa_node) set(env, result, "numaNode", number_value(env, *source.numa_node));
    if (source.device_id) set(env, result, "deviceId", text_value(env, *source.device_id));
    if (source.unsafe_shutdowns) {
      set(env, result, "unsafeShutdowns", number_value(env, static_cast<double>(*source.unsafe_shutdowns)));
    }
    if (source.bad_blocks) set(env, result, "badBlocks", bad_blocks_value(env, *source.bad_blocks));
    napi_value unavailable = nullptr;
    napi_create_array_with_length(env, source.unavailable.size(), &unavailable);
    for (size_t index = 0; index < source.unavailable.size(); index += 1) {
      napi_set_element(env, unavailable, static_cast<uint32_t>(index), text_value(env, source.unavailable[index]));
    }
    set(env, result, "unavailable", unavailable);
    return result;
  } catch (const Failure &failure) {
    return throw_failure(env, failure);
  }
}

// readHead(path, length) -> ArrayBuffer
napi_value read_head(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  try {
    const std::string path = text(env, call.arguments[0]);
    const size_t length = size(env, call.arguments[1]);
    if (length > MAX_HEAD_BYTES) throw Failure("EINVAL", "the head is too long");
    void *bytes = nullptr;
    napi_value buffer = nullptr;
    if (napi_create_arraybuffer(env, length, &bytes, &buffer) != napi_ok) throw Failure("ENOMEM", "out of memory");
    pmdk::read_head(path, bytes, length);
    return buffer;
  } catch (const Failure &failure) {
    return throw_failure(env, failure);
  }
}

void end_instance(void *data) { delete static_cast<Instance *>(data); }

}  // namespace

NAPI_MODULE_INIT() {
  try {
    pmdk::library();
  } catch (const Failure &failure) {
    return throw_failure(env, failure);
  }
  auto *instance = new Instance();
  napi_add_env_cleanup_hook(env, end_instance, instance);
  const struct {
    const char *name;
    napi_callback function;
  } functions[] = {
      {"map", map},         {"persist", persist},      {"zero", zero},      {"deepFlush", deep_flush},
      {"inspect", inspect}, {"close", close_mapping}, {"kindOf", kind_of},
      {"readHead", read_head},
  };
  for (const auto &entry : functions) {
    napi_value function = nullptr;
    napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, instance, &function);
    set(env, exports, entry.name, function);
  }
  return exports;
}
