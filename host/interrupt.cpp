#include "host/interrupt.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>

#include "kernels/common/error.h"

namespace doppel {
namespace {

std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void on_signal(int) {
  if (requested.exchange(true)) _exit(static_cast<int>(ExitStatus::kInterrupted));
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action = {};
  action.sa_handler = on_signal;  // no SA_RESTART: a blocked write must return
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
  sigaction(SIGXFSZ, &action, nullptr);
}

bool interrupted() {
  return requested.load(std::memory_order_relaxed);
}
void clear_interrupt() {
  requested = false;
}

BlockSignals::BlockSignals() {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &before_);
}
BlockSignals::~BlockSignals() {
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace doppel
