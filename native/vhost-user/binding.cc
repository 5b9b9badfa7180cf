// Node-API surface of the vhost-user client; addon.ts has the types and the meaning of each function.
//
// A handle owns a Session until `destroy` or the end of its environment, whichever comes first (a Worker may be terminated
// at any moment): both end the session's thread before anything it uses goes. The pool's memory lives until its ArrayBuffer
// and the session are gone. Finalizers only free memory. There is no state outside of handles.
#include <node_api.h>

#include <string.h>

#include <memory>
#include <new>
#include <string>
#include <utility>

#include "session.h"
#include "shared-pool.h"

namespace {

using vhost_user::Description;
using vhost_user::Failure;
using vhost_user::HugePages;
using vhost_user::Session;
using vhost_user::Settings;
using vhost_user::SharedPool;

constexpr size_t kPageBytes = 4096;
constexpr uint32_t kMaxSpinNs = 1000 * 1000;
// Tells a handle from other external values.
constexpr napi_type_tag kHandleTag = {0x64616f7376686f73, 0x742d757365722d31};

// Commands and completions, exchanged without a copy.
struct Mailbox {
  double commands[vhost_user::kMaxQueues * vhost_user::kMaxDepth * vhost_user::kCommandDoubles];
  uint32_t completions[vhost_user::kMaxQueues * vhost_user::kMaxDepth * 2];
};

struct Handle {
  napi_env env = nullptr;
  std::unique_ptr<Session> session;
  std::shared_ptr<Mailbox> mailbox;
  napi_threadsafe_function wake = nullptr;
  bool hooked = false;
  // The external value and the thread-safe function: the last to be finalized frees the handle.
  int owners = 2;

  // Ends the thread, then what it could call.
  void close(napi_threadsafe_function_release_mode mode) {
    session.reset();
    if (wake != nullptr) napi_release_threadsafe_function(wake, mode);
    wake = nullptr;
  }
};

void at_end_of_environment(void* data) {
  Handle* handle = static_cast<Handle*>(data);
  handle->hooked = false;
  handle->close(napi_tsfn_abort);
}

void unhook(Handle* handle) {
  if (handle->hooked) napi_remove_env_cleanup_hook(handle->env, at_end_of_environment, handle);
  handle->hooked = false;
}

void let_go(Handle* handle) {
  handle->owners -= 1;
  if (handle->owners == 0) delete handle;
}

// Its listener keeps a handle that was not destroyed, so this comes after `destroy` or the end of the environment.
void finalize_handle(napi_env, void* data, void*) {
  Handle* handle = static_cast<Handle*>(data);
  unhook(handle);
  handle->mailbox.reset();
  let_go(handle);
}

void finalize_wake(napi_env, void*, void* context) { let_go(static_cast<Handle*>(context)); }

// Calls the listener with the events since the last call.
void call_listener(napi_env env, napi_value listener, void* context, void*) {
  if (env == nullptr || listener == nullptr) return;
  Handle* handle = static_cast<Handle*>(context);
  if (handle->session == nullptr) return;
  napi_value events, undefined;
  if (napi_create_uint32(env, handle->session->take_events(), &events) != napi_ok) return;
  if (napi_get_undefined(env, &undefined) != napi_ok) return;
  napi_call_function(env, undefined, listener, 1, &events, nullptr);
}

napi_value fail_with(napi_env env, const char* code, const std::string& message) {
  napi_throw_error(env, code, message.c_str());
  return nullptr;
}

napi_value named(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  napi_get_named_property(env, object, name, &value);
  return value;
}

uint32_t number_of(napi_env env, napi_value object, const char* name) {
  uint32_t number = 0;
  napi_get_value_uint32(env, named(env, object, name), &number);
  return number;
}

std::string text_of(napi_env env, napi_value object, const char* name) {
  char text[512] = {};
  size_t length = 0;
  napi_get_value_string_utf8(env, named(env, object, name), text, sizeof text, &length);
  return std::string(text, length);
}

void set(napi_env env, napi_value object, const char* name, napi_value value) {
  napi_set_named_property(env, object, name, value);
}

void set_number(napi_env env, napi_value object, const char* name, double number) {
  napi_value value;
  if (napi_create_double(env, number, &value) == napi_ok) set(env, object, name, value);
}

void set_flag(napi_env env, napi_value object, const char* name, bool flag) {
  napi_value value;
  if (napi_get_boolean(env, flag, &value) == napi_ok) set(env, object, name, value);
}

// An ArrayBuffer over memory that `owner` keeps; null with an exception pending when there can be none.
template <typename Owner>
napi_value external_buffer(napi_env env, void* bytes, size_t size, const std::shared_ptr<Owner>& owner) {
  auto* kept = new (std::nothrow) std::shared_ptr<Owner>(owner);
  if (kept == nullptr) return fail_with(env, "ENOMEM", "no memory left");
  const auto let_go = [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<Owner>*>(hint); };
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, bytes, size, let_go, kept, &buffer) == napi_ok) return buffer;
  delete kept;
  return fail_with(env, "ENOTSUP", "this runtime takes no external ArrayBuffer");
}

// The handle in the first of `count` arguments; null with an exception pending when it is none or destroyed.
Handle* arguments(napi_env env, napi_callback_info info, size_t count, napi_value* values) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, values, nullptr, nullptr) != napi_ok || given < count) {
    fail_with(env, "EINVAL", "too few arguments");
    return nullptr;
  }
  void* data = nullptr;
  bool tagged = false;
  if (napi_check_object_type_tag(env, values[0], &kHandleTag, &tagged) != napi_ok || !tagged ||
      napi_get_value_external(env, values[0], &data) != napi_ok) {
    fail_with(env, "EINVAL", "the first argument is no handle");
    return nullptr;
  }
  Handle* handle = static_cast<Handle*>(data);
  if (handle->session == nullptr) {
    fail_with(env, "EBADF", "the handle is destroyed");
    return nullptr;
  }
  return handle;
}

bool start_session(napi_env env, Handle* handle, std::shared_ptr<SharedPool> pool, Settings settings,
                   napi_value listener) {
  napi_value name;
  if (napi_create_string_utf8(env, "vhost-user", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env, listener, nullptr, name, 0, 1, nullptr, finalize_wake, handle,
                                      call_listener, &handle->wake) != napi_ok) {
    handle->owners -= 1;
    fail_with(env, "EINVAL", "the listener is no function");
    return false;
  }
  const auto notify = [handle] { napi_call_threadsafe_function(handle->wake, nullptr, napi_tsfn_nonblocking); };
  handle->session = std::make_unique<Session>(std::move(pool), std::move(settings), notify);
  int error = 0;
  if (handle->session->start(error)) return true;
  handle->close(napi_tsfn_release);
  fail_with(env, "EAGAIN", strerror(error));
  return false;
}

// Bound to its handle: it is called for every batch of requests, and looking the handle up would cost as much as the rest.
napi_value exchange(napi_env env, napi_callback_info info) {
  napi_value values[2];
  size_t given = 2;
  void* data = nullptr;
  if (napi_get_cb_info(env, info, &given, values, nullptr, &data) != napi_ok || given < 2) {
    return fail_with(env, "EINVAL", "too few arguments");
  }
  Handle* handle = static_cast<Handle*>(data);
  if (handle->session == nullptr) return fail_with(env, "EBADF", "the handle is destroyed");
  uint32_t count = 0, spin_ns = 0;
  napi_get_value_uint32(env, values[0], &count);
  napi_get_value_uint32(env, values[1], &spin_ns);
  int collected = vhost_user::kWrongCommand;
  if (count <= vhost_user::kMaxQueues * vhost_user::kMaxDepth && spin_ns <= kMaxSpinNs) {
    collected = handle->session->exchange(handle->mailbox->commands, count, spin_ns, handle->mailbox->completions);
  }
  napi_value result = nullptr;
  napi_create_int32(env, collected, &result);
  return result;
}

// create(settings, listener): see addon.ts.
napi_value create(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value values[2];
  if (napi_get_cb_info(env, info, &count, values, nullptr, nullptr) != napi_ok || count < 2) {
    return fail_with(env, "EINVAL", "too few arguments");
  }
  Settings settings = {text_of(env, values[0], "socketPath"), number_of(env, values[0], "queues"),
                       number_of(env, values[0], "depth"), number_of(env, values[0], "timeoutMs")};
  const uint32_t depth = settings.depth;
  if (settings.queues < 1 || settings.queues > vhost_user::kMaxQueues || depth < 2 || depth > vhost_user::kMaxDepth ||
      (depth & (depth - 1)) != 0) {
    return fail_with(env, "EINVAL", "queues and depth are out of range");
  }
  const size_t front_bytes = Session::ring_bytes(settings.queues, depth);
  const size_t pool_bytes = size_t{number_of(env, values[0], "poolPages")} * kPageBytes;
  const auto huge_pages = static_cast<HugePages>(number_of(env, values[0], "hugePages"));
  if (pool_bytes <= front_bytes) return fail_with(env, "EINVAL", "the pool is smaller than its rings");
  int error = 0;
  std::string failed_call;
  std::shared_ptr<SharedPool> pool = SharedPool::create(pool_bytes, huge_pages, error, failed_call);
  if (pool == nullptr) return fail_with(env, "ENOMEM", failed_call + ": " + strerror(error));

  auto handle = std::make_unique<Handle>();
  handle->env = env;
  handle->mailbox = std::make_shared<Mailbox>();
  Mailbox* mailbox = handle->mailbox.get();
  napi_value result, external, bound;
  const napi_value memory = external_buffer(env, pool->data(), pool->size_bytes(), pool);
  if (memory == nullptr) return nullptr;
  const napi_value commands = external_buffer(env, mailbox->commands, sizeof mailbox->commands, handle->mailbox);
  if (commands == nullptr) return nullptr;
  const napi_value completions =
      external_buffer(env, mailbox->completions, sizeof mailbox->completions, handle->mailbox);
  if (completions == nullptr) return nullptr;
  if (napi_create_object(env, &result) != napi_ok ||
      napi_create_external(env, handle.get(), finalize_handle, nullptr, &external) != napi_ok) {
    return fail_with(env, "ENOMEM", "no memory left");
  }
  Handle* owned = handle.release();  // Its finalizers free it from now on.
  napi_type_tag_object(env, external, &kHandleTag);
  if (napi_create_function(env, "exchange", NAPI_AUTO_LENGTH, exchange, owned, &bound) != napi_ok) return nullptr;
  set(env, bound, "handle", external);  // Keeps it for as long as the function lives.
  if (!start_session(env, owned, pool, std::move(settings), values[1])) return nullptr;
  owned->hooked = napi_add_env_cleanup_hook(env, at_end_of_environment, owned) == napi_ok;
  set(env, result, "handle", external);
  set(env, result, "exchange", bound);
  set(env, result, "memory", memory);
  set(env, result, "commands", commands);
  set(env, result, "completions", completions);
  set_number(env, result, "ringBytes", static_cast<double>(front_bytes));
  set_flag(env, result, "hugePages", pool->huge());
  return result;
}

napi_value connect(napi_env env, napi_callback_info info) {
  napi_value values[1];
  if (Handle* handle = arguments(env, info, 1, values)) handle->session->connect();
  return nullptr;
}

napi_value resume(napi_env env, napi_callback_info info) {
  napi_value values[1];
  if (Handle* handle = arguments(env, info, 1, values)) handle->session->resume();
  return nullptr;
}

napi_value abandon(napi_env env, napi_callback_info info) {
  napi_value values[1];
  if (Handle* handle = arguments(env, info, 1, values)) handle->session->abandon();
  return nullptr;
}

napi_value refresh(napi_env env, napi_callback_info info) {
  napi_value values[1];
  if (Handle* handle = arguments(env, info, 1, values)) handle->session->refresh();
  return nullptr;
}

napi_value disconnect(napi_env env, napi_callback_info info) {
  napi_value values[1];
  if (Handle* handle = arguments(env, info, 1, values)) handle->session->disconnect();
  return nullptr;
}

napi_value destroy(napi_env env, napi_callback_info info) {
  napi_value values[1];
  Handle* handle = arguments(env, info, 1, values);
  if (handle == nullptr) return nullptr;
  unhook(handle);
  handle->close(napi_tsfn_abort);
  return nullptr;
}

napi_value arm(napi_env env, napi_callback_info info) {
  napi_value values[1];
  Handle* handle = arguments(env, info, 1, values);
  if (handle == nullptr) return nullptr;
  napi_value result = nullptr;
  napi_get_boolean(env, handle->session->arm(), &result);
  return result;
}

napi_value describe(napi_env env, napi_callback_info info) {
  napi_value values[1];
  Handle* handle = arguments(env, info, 1, values);
  if (handle == nullptr) return nullptr;
  const Description description = handle->session->description();
  napi_value result;
  if (napi_create_object(env, &result) != napi_ok) return nullptr;
  set_number(env, result, "capacityBytes", static_cast<double>(description.capacity_bytes));
  set_number(env, result, "blockBytes", description.block_bytes);
  set_number(env, result, "segmentBytes", description.segment_bytes);
  set_number(env, result, "maxSegments", description.max_segments);
  set_number(env, result, "maxDiscardSectors", description.max_discard_sectors);
  set_number(env, result, "queues", description.queues);
  set_flag(env, result, "flush", description.has(vhost_user::kFeatureFlush));
  set_flag(env, result, "readOnly", description.has(vhost_user::kFeatureReadOnly));
  set_flag(env, result, "eventIndex", description.has(vhost_user::kFeatureEventIndex));
  return result;
}

napi_value failure(napi_env env, napi_callback_info info) {
  napi_value values[1];
  Handle* handle = arguments(env, info, 1, values);
  if (handle == nullptr) return nullptr;
  const Failure failure = handle->session->failure();
  napi_value result, text;
  if (napi_create_object(env, &result) != napi_ok) return nullptr;
  if (napi_create_string_utf8(env, failure.text.c_str(), failure.text.size(), &text) != napi_ok) return nullptr;
  set_number(env, result, "kind", static_cast<double>(failure.kind));
  set(env, result, "text", text);
  return result;
}

napi_value initialize(napi_env env, napi_value exports) {
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {{"create", create},   {"connect", connect},       {"resume", resume},     {"abandon", abandon},
                   {"refresh", refresh},
                   {"arm", arm},         {"disconnect", disconnect}, {"destroy", destroy},
                   {"describe", describe}, {"failure", failure}};
  for (const auto& entry : functions) {
    napi_value value;
    if (napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &value) != napi_ok) continue;
    set(env, exports, entry.name, value);
  }
  return exports;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, initialize)
