// A connection to a vhost-user-blk back-end with its rings, kept over any number of reconnects.
//
// Two threads: the owner's (submits and collects) and one of its own, which does the handshakes and sleeps on the socket
// and the call eventfd. The owner hears of events through `notify`, at most once until it takes them. Requests in flight
// survive a lost connection; `resume` places them again. Rings belong to the owner, the socket to the thread.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "channel.h"
#include "negotiation.h"
#include "ring.h"
#include "shared-pool.h"

namespace vhost_user {

// Bits of `take_events`.
enum Event : uint32_t {
  kCompletion = 1,     // Something completed while armed.
  kConnected = 2,      // A handshake succeeded: look at `description`, then `resume`.
  kConnectFailed = 4,  // A handshake failed: `failure` says why.
  kLost = 8,           // The connection broke: `failure` says why.
  kConfigRead = 16,    // The configuration was read again: `description` is new.
  kDisconnected = 32,  // What `disconnect` asked for has been done, politely or not.
  kConfigChanged = 64, // The back-end announced another configuration: call `refresh`.
};

// One command of the owner: five doubles, in the order of the fields.
constexpr uint32_t kCommandDoubles = 5;
enum CommandField : uint32_t { kSlot, kType, kSector, kOffset, kLength };

constexpr int kViolation = -1;      // The back-end broke the rules of the ring; nothing can be trusted any more.
constexpr int kWrongCommand = -2;   // A command is impossible: a bug of the caller.
constexpr uint32_t kMaxQueues = 8;
constexpr uint32_t kMaxDepth = 256;

struct Settings {
  std::string socket_path;
  uint32_t queues;  // 1 to kMaxQueues
  uint32_t depth;   // Of each queue: a power of two up to kMaxDepth
  uint32_t timeout_ms;
};

class Session {
 public:
  // Bytes that the rings take at the front of the pool: whole pages.
  static size_t ring_bytes(uint32_t queues, uint32_t depth);

  Session(std::shared_ptr<SharedPool> pool, Settings settings, std::function<void()> notify);
  // Ends the thread at once, whatever it does.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Makes descriptors and the thread; false with `error` when there are none left.
  bool start(int& error);

  // The owner's part. Only when not connected: empties the rings and begins a handshake.
  void connect();
  // After kConnected: places what is in flight, and from now on commands.
  void resume();
  // Submits commands (not while disconnected), kicks, collects pairs {slot, status}; when there are none, goes on looking for
  // `spin_ns`. Count of pairs, or a negative result.
  int exchange(const double* commands, uint32_t count, uint32_t spin_ns, uint32_t* completions);
  // True: kCompletion will be told. False: there are completions already.
  bool arm();
  // Only when not connected: forgets what is in flight, so that it is never submitted again.
  void abandon();
  void refresh() { tell(kCommandRefresh); }
  void disconnect() { tell(kCommandDisconnect); }

  uint32_t take_events() { return events_.exchange(0); }
  Description description();
  Failure failure();

 private:
  enum Command : uint32_t { kCommandConnect = 1, kCommandRefresh = 2, kCommandDisconnect = 4 };

  int collect(uint32_t* completions);
  int spin(uint32_t spin_ns, uint32_t* completions);
  void tell(uint32_t command);
  void post(uint32_t event);

  // The thread's part.
  static void* run(void* session);
  void loop();
  void obey(uint32_t commands);
  void do_connect();
  void do_refresh();
  void do_disconnect();
  void watch_socket(short events);
  void watch_call();
  void watch_back_end_channel(short events);
  void close_connection();
  void close_back_end_channel();
  void report(uint32_t event, Failure failure);

  const std::shared_ptr<SharedPool> pool_;
  const Settings settings_;
  const std::function<void()> notify_;
  std::vector<std::unique_ptr<Ring>> rings_;
  std::vector<int> kick_fds_;
  int call_fd_ = -1;
  int control_fd_ = -1;
  int cancel_fd_ = -1;
  pthread_t thread_ = {};
  bool started_ = false;

  // The owner's view of the connection.
  Description active_;
  bool resumed_ = false;

  std::atomic<uint32_t> commands_{0};
  std::atomic<uint32_t> events_{0};
  std::atomic<bool> armed_{false};
  std::mutex mutex_;  // Guards the two below.
  Description description_;
  Failure failure_;

  // The thread's own.
  std::unique_ptr<Channel> channel_;
  Description negotiated_;
  bool connected_ = false;
  int back_end_channel_ = -1;
};

}  // namespace vhost_user
