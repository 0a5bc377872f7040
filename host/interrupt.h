// SIGINT and SIGTERM as a request to stop in order: long loops ask interrupted() between batches and end by throwing
// Error(..., ExitStatus::kInterrupted). A second signal ends the process at once, with status 130.
#pragma once

#include <signal.h>

namespace doppel {

// Installs the two handlers, and ignores SIGPIPE and SIGXFSZ so that a closed pipe and a file over the size limit are
// errors of write (EPIPE, EFBIG) that can be reported. Called by the commands that ask interrupted(): to others a
// signal is the end.
void install_signal_handlers();

bool interrupted();
void clear_interrupt();  // for tests, which interrupt themselves more than once

// While it lives, SIGINT and SIGTERM are not delivered to this thread nor to threads started by it: the main thread,
// which may be blocked in a write, must be the one that a signal wakes.
class BlockSignals {
 public:
  BlockSignals();
  ~BlockSignals();
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace doppel
