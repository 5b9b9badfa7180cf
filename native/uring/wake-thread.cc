// See wake-thread.h. Signals are left to the runtime's own threads.
#include "wake-thread.h"

#include <cerrno>
#include <csignal>
#include <cstdint>

#include <unistd.h>

namespace uring {

std::unique_ptr<WakeThread> WakeThread::Start(int event_descriptor, Callback callback, void* argument) {
  std::unique_ptr<WakeThread> started(new WakeThread(event_descriptor, callback, argument));
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto run = [](void* self) -> void* {
    static_cast<WakeThread*>(self)->Run();
    return nullptr;
  };
  started->is_running_ = pthread_create(&started->thread_, nullptr, run, started.get()) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!started->is_running_) return nullptr;
  return started;
}

WakeThread::~WakeThread() {
  if (!is_running_) return;
  is_stopping_.store(true);
  const std::uint64_t one = 1;
  while (write(event_descriptor_, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  pthread_join(thread_, nullptr);
}

void WakeThread::Run() {
  std::uint64_t count = 0;
  while (true) {
    const ssize_t length = read(event_descriptor_, &count, sizeof(count));
    if (is_stopping_.load()) return;
    if (length == sizeof(count)) {
      if (!callback_(argument_)) return;
    } else if (errno != EINTR) {
      return;
    }
  }
}

}  // namespace uring
