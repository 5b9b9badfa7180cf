// What JavaScript sees of the ring, the pages and the device file; the types are in addon.ts. Checks whatever could make
// native code touch memory that is not its own, and leaves words to the TypeScript around it: failures are errnos.
//
// Rings belong to the environment (the thread) that opened them. When an environment ends with I/O in flight, each of
// its rings is awaited first, since the kernel still works on memory that is about to go.
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <node_api.h>
#include <sys/file.h>
#include <unistd.h>

#include "device-file.h"
#include "pages.h"
#include "ring.h"
#include "wake-thread.h"

namespace {

// A device that hangs for longer is left alone with its registered memory when its thread ends.
constexpr std::uint32_t kTearDownPatienceMs = 10'000;
constexpr std::size_t kMostPathBytes = 4096;

struct OpenRing {
  std::unique_ptr<uring::Ring> ring;
  int descriptor = -1;
  uring::Shared shared;
  void* shared_pages = nullptr;
  std::size_t shared_bytes = 0;
  napi_ref shared_reference = nullptr;
  napi_threadsafe_function wake = nullptr;
  std::unique_ptr<uring::WakeThread> thread;
};

// Index: the ring's id. Closed rings leave an empty place that the next one takes.
using Rings = std::vector<std::unique_ptr<OpenRing>>;

napi_value Throw(napi_env env, const char* message) {
  napi_throw_type_error(env, nullptr, message);
  return nullptr;
}

napi_value Number(napi_env env, double value) {
  napi_value number = nullptr;
  napi_create_double(env, value, &number);
  return number;
}

napi_value Integer(napi_env env, std::int32_t value) {
  napi_value number = nullptr;
  napi_create_int32(env, value, &number);
  return number;
}

void SetNumber(napi_env env, napi_value object, const char* name, double value) {
  napi_set_named_property(env, object, name, Number(env, value));
}

template <std::size_t Count>
bool Arguments(napi_env env, napi_callback_info info, napi_value (&values)[Count]) {
  std::size_t count = Count;
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok && count == Count;
}

OpenRing* FindRing(napi_env env, napi_value value) {
  std::uint32_t id = 0;
  void* rings = nullptr;
  if (napi_get_value_uint32(env, value, &id) != napi_ok) return nullptr;
  if (napi_get_instance_data(env, &rings) != napi_ok || rings == nullptr) return nullptr;
  auto& places = *static_cast<Rings*>(rings);
  return id < places.size() ? places[id].get() : nullptr;
}

OpenRing* RingArgument(napi_env env, napi_callback_info info) {
  napi_value values[1];
  OpenRing* open = Arguments(env, info, values) ? FindRing(env, values[0]) : nullptr;
  if (open == nullptr) Throw(env, "expected an open ring");
  return open;
}

// The lock of OpenDeviceFile ends now, even if the kernel holds the open file for a moment longer.
int CloseDescriptor(int descriptor) {
  flock(descriptor, LOCK_UN);
  return close(descriptor) == 0 ? 0 : errno;
}

bool Wake(void* argument) {
  auto* open = static_cast<OpenRing*>(argument);
  const napi_status status = napi_call_threadsafe_function(open->wake, nullptr, napi_tsfn_nonblocking);
  return status != napi_closing;
}

void UnmapExternal(napi_env, void* address, void* hint) {
  uring::UnmapPages(address, reinterpret_cast<std::size_t>(hint));
}

// Runs when the environment ends before the ring was closed. JavaScript is over: only the kernel is waited for.
void TearDown(void* argument) {
  auto* open = static_cast<OpenRing*>(argument);
  if (open->ring == nullptr) return;
  open->thread.reset();
  // What cannot be awaited is left to the process: its ring, and the registered pages that the kernel holds.
  if (!open->ring->AwaitAll(kTearDownPatienceMs)) open->ring.release();
  open->ring.reset();
  CloseDescriptor(open->descriptor);
}

// An external ArrayBuffer over new pages; null, with nothing thrown, when there is no memory.
napi_value MapArrayBuffer(napi_env env, std::size_t size_bytes, void** pages, std::size_t* mapped_bytes) {
  const std::size_t unit = uring::kPagesUnitBytes;
  const std::size_t rounded_bytes = (size_bytes + unit - 1) / unit * unit;
  *pages = uring::MapPages(rounded_bytes);
  if (*pages == nullptr) return nullptr;
  *mapped_bytes = rounded_bytes;
  napi_value buffer = nullptr;
  const auto hint = reinterpret_cast<void*>(rounded_bytes);
  if (napi_create_external_arraybuffer(env, *pages, rounded_bytes, UnmapExternal, hint, &buffer) != napi_ok) {
    uring::UnmapPages(*pages, rounded_bytes);
    return nullptr;
  }
  return buffer;
}

// openFile(path) -> what device-file.h says.
napi_value OpenFile(napi_env env, napi_callback_info info) {
  napi_value values[1];
  char path[kMostPathBytes];
  std::size_t length = 0;
  if (!Arguments(env, info, values) ||
      napi_get_value_string_utf8(env, values[0], path, sizeof(path), &length) != napi_ok || length + 1 >= sizeof(path)) {
    return Throw(env, "expected a path");
  }
  const uring::DeviceFile file = uring::OpenDeviceFile(std::string(path, length));
  napi_value result = nullptr;
  napi_create_object(env, &result);
  SetNumber(env, result, "descriptor", file.descriptor);
  SetNumber(env, result, "isBlockDevice", file.is_block_device ? 1 : 0);
  SetNumber(env, result, "sizeBytes", static_cast<double>(file.size_bytes));
  SetNumber(env, result, "blockBytes", file.block_bytes);
  SetNumber(env, result, "memoryAlignmentBytes", file.memory_alignment_bytes);
  SetNumber(env, result, "error", file.error);
  SetNumber(env, result, "failedStep", static_cast<int>(file.failed_step));
  SetNumber(env, result, "isMounted", file.is_mounted ? 1 : 0);
  return result;
}

// closeFile(descriptor) -> 0 or an errno. For a file that no ring was opened on.
napi_value CloseFile(napi_env env, napi_callback_info info) {
  napi_value values[1];
  std::int32_t descriptor = -1;
  if (!Arguments(env, info, values) || napi_get_value_int32(env, values[0], &descriptor) != napi_ok) {
    return Throw(env, "expected a descriptor");
  }
  return Integer(env, CloseDescriptor(descriptor));
}

// probe() -> 0 when the kernel gives this process a ring, else an errno.
napi_value Probe(napi_env env, napi_callback_info) {
  struct io_uring ring;
  const int result = io_uring_queue_init(2, &ring, 0);
  if (result == 0) io_uring_queue_exit(&ring);
  return Integer(env, -result);
}

bool CreateWake(napi_env env, napi_value callback, napi_threadsafe_function* wake) {
  napi_value name = nullptr;
  napi_create_string_utf8(env, "uring", NAPI_AUTO_LENGTH, &name);
  if (napi_create_threadsafe_function(env, callback, nullptr, name, 0, 1, nullptr, nullptr, nullptr, nullptr, wake) !=
      napi_ok) {
    return false;
  }
  // Only a ring that sleeps keeps the event loop alive.
  return napi_unref_threadsafe_function(env, *wake) == napi_ok;
}

std::uint32_t Keep(Rings* rings, std::unique_ptr<OpenRing> open) {
  for (std::size_t id = 0; id < rings->size(); ++id) {
    if ((*rings)[id] != nullptr) continue;
    (*rings)[id] = std::move(open);
    return static_cast<std::uint32_t>(id);
  }
  rings->push_back(std::move(open));
  return static_cast<std::uint32_t>(rings->size() - 1);
}

// openRing(descriptor, entries, wake) -> {id, shared}, or a positive errno. The descriptor is the ring's from now on, and
// closed when there is no ring.
napi_value OpenRingOn(napi_env env, napi_callback_info info) {
  napi_value values[3];
  std::int32_t descriptor = -1;
  std::uint32_t entries = 0;
  napi_valuetype type = napi_undefined;
  if (!Arguments(env, info, values) || napi_get_value_int32(env, values[0], &descriptor) != napi_ok ||
      napi_get_value_uint32(env, values[1], &entries) != napi_ok || napi_typeof(env, values[2], &type) != napi_ok ||
      type != napi_function) {
    return Throw(env, "expected a descriptor, a count of entries and a function");
  }
  void* rings = nullptr;
  napi_get_instance_data(env, &rings);
  uring::Ring* ring = nullptr;
  const int result = uring::Ring::Open(descriptor, entries, &ring);
  if (result < 0) {
    CloseDescriptor(descriptor);
    return Integer(env, -result);
  }
  auto open = std::make_unique<OpenRing>();
  open->ring.reset(ring);
  open->descriptor = descriptor;
  const std::size_t shared_bytes = uring::Shared::SizeBytes(entries);
  napi_value shared = MapArrayBuffer(env, shared_bytes, &open->shared_pages, &open->shared_bytes);
  if (shared == nullptr || !CreateWake(env, values[2], &open->wake)) {
    open->ring.reset();
    CloseDescriptor(descriptor);
    return Integer(env, ENOMEM);
  }
  open->shared = uring::Shared(open->shared_pages, entries);
  napi_create_reference(env, shared, 1, &open->shared_reference);
  // After the function's own hook, so before it when the environment ends: the thread must not call into what is gone.
  napi_add_env_cleanup_hook(env, TearDown, open.get());
  napi_value opened = nullptr;
  napi_create_object(env, &opened);
  SetNumber(env, opened, "id", Keep(static_cast<Rings*>(rings), std::move(open)));
  napi_set_named_property(env, opened, "shared", shared);
  return opened;
}

// submit(id) -> 0 or a negative errno.
napi_value Submit(napi_env env, napi_callback_info info) {
  OpenRing* open = RingArgument(env, info);
  return open == nullptr ? nullptr : Integer(env, open->ring->Submit(open->shared));
}

// turn(id) -> count of completions, or a negative errno.
napi_value Turn(napi_env env, napi_callback_info info) {
  OpenRing* open = RingArgument(env, info);
  return open == nullptr ? nullptr : Integer(env, open->ring->Turn(open->shared));
}

// arm(id) -> 1 when the next completion will call `wake`, 0 when a turn is due, or no thread can be had.
napi_value Arm(napi_env env, napi_callback_info info) {
  OpenRing* open = RingArgument(env, info);
  if (open == nullptr) return nullptr;
  if (open->thread == nullptr) {
    open->thread = uring::WakeThread::Start(open->ring->event_descriptor(), Wake, open);
    if (open->thread == nullptr) return Integer(env, 0);
  }
  if (!open->ring->Arm()) return Integer(env, 0);
  napi_ref_threadsafe_function(env, open->wake);
  return Integer(env, 1);
}

// disarm(id). Only after an `arm` that answered 1.
napi_value Disarm(napi_env env, napi_callback_info info) {
  OpenRing* open = RingArgument(env, info);
  if (open == nullptr) return nullptr;
  open->ring->Disarm();
  napi_unref_threadsafe_function(env, open->wake);
  return nullptr;
}

// closeRing(id) -> 1, or 0 when requests are in flight. Closes the descriptor too.
napi_value CloseRing(napi_env env, napi_callback_info info) {
  OpenRing* open = RingArgument(env, info);
  if (open == nullptr) return nullptr;
  if (open->ring->in_flight() > 0) return Integer(env, 0);
  napi_remove_env_cleanup_hook(env, TearDown, open);
  open->thread.reset();
  open->ring.reset();
  CloseDescriptor(open->descriptor);
  napi_release_threadsafe_function(open->wake, napi_tsfn_abort);
  napi_delete_reference(env, open->shared_reference);
  void* rings = nullptr;
  napi_get_instance_data(env, &rings);
  for (auto& place : *static_cast<Rings*>(rings)) {
    if (place.get() == open) place.reset();
  }
  return Integer(env, 1);
}

// mapMemory(sizeBytes) -> ArrayBuffer of at least that size, or undefined when there is no memory.
napi_value MapMemory(napi_env env, napi_callback_info info) {
  napi_value values[1];
  double size_bytes = 0;
  if (!Arguments(env, info, values) || napi_get_value_double(env, values[0], &size_bytes) != napi_ok ||
      !(size_bytes >= 1 && size_bytes < 9007199254740992.0)) {
    return Throw(env, "expected a size");
  }
  void* pages = nullptr;
  std::size_t mapped_bytes = 0;
  return MapArrayBuffer(env, static_cast<std::size_t>(size_bytes), &pages, &mapped_bytes);
}

// addressOf(Uint8Array) -> its address.
napi_value AddressOf(napi_env env, napi_callback_info info) {
  napi_value values[1];
  napi_typedarray_type type = napi_uint8_array;
  std::size_t length = 0;
  void* address = nullptr;
  if (!Arguments(env, info, values) ||
      napi_get_typedarray_info(env, values[0], &type, &length, &address, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    return Throw(env, "expected a Uint8Array");
  }
  return Number(env, static_cast<double>(reinterpret_cast<std::uintptr_t>(address)));
}

// registerMemory(id, region, Uint8Array) -> 0 or an errno. An empty array forgets the region.
napi_value RegisterMemory(napi_env env, napi_callback_info info) {
  napi_value values[3];
  std::uint32_t region = 0;
  napi_typedarray_type type = napi_uint8_array;
  std::size_t length = 0;
  void* address = nullptr;
  if (!Arguments(env, info, values) || napi_get_value_uint32(env, values[1], &region) != napi_ok ||
      napi_get_typedarray_info(env, values[2], &type, &length, &address, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    return Throw(env, "expected a ring, a region and a Uint8Array");
  }
  OpenRing* open = FindRing(env, values[0]);
  if (open == nullptr) return Throw(env, "expected an open ring");
  return Integer(env, -open->ring->RegisterRegion(region, length == 0 ? nullptr : address, length));
}

// The end of the environment. Whether its hooks have run by now is the runtime's choice: what they may still look at stays.
void DeleteRings(napi_env, void* data, void*) {
  auto* rings = static_cast<Rings*>(data);
  for (auto& open : *rings) {
    if (open == nullptr) continue;
    TearDown(open.get());
    open.release();
  }
  delete rings;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_set_instance_data(env, new Rings(), DeleteRings, nullptr);
  const struct {
    const char* name;
    napi_callback callback;
  } functions[] = {
      {"probe", Probe},         {"openFile", OpenFile},   {"closeFile", CloseFile},
      {"openRing", OpenRingOn}, {"submit", Submit},       {"turn", Turn},          {"arm", Arm},
      {"disarm", Disarm},       {"closeRing", CloseRing}, {"mapMemory", MapMemory},
      {"addressOf", AddressOf}, {"registerMemory", RegisterMemory},
  };
  for (const auto& [name, callback] : functions) {
    napi_value function = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
  return exports;
}
