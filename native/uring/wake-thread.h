// A thread that sleeps on an event descriptor and calls one function each time it becomes readable. It is there so that
// a JavaScript thread can sleep in its own event loop while I/O is in flight; it never touches the ring.
#pragma once

#include <atomic>
#include <memory>

#include <pthread.h>

namespace uring {

class WakeThread {
 public:
  // Returns false when it must not be called any more: then the thread ends.
  using Callback = bool (*)(void* argument);

  // Null when the machine gives no thread. Does not own the descriptor, which must outlive it.
  static std::unique_ptr<WakeThread> Start(int event_descriptor, Callback callback, void* argument);
  // Stops and joins the thread: after it no call is running and none will come.
  ~WakeThread();
  WakeThread(const WakeThread&) = delete;
  WakeThread& operator=(const WakeThread&) = delete;

 private:
  WakeThread(int event_descriptor, Callback callback, void* argument)
      : event_descriptor_(event_descriptor), callback_(callback), argument_(argument) {}
  void Run();

  const int event_descriptor_;
  const Callback callback_;
  void* const argument_;
  std::atomic<bool> is_stopping_{false};
  bool is_running_ = false;
  pthread_t thread_ = {};
};

}  // namespace uring
