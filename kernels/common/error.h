// Errors of the whole program: thrown once, where the fault is known; caught once, at the top of `main`.
#pragma once

#include <stdexcept>
#include <string>

namespace doppel {

// Exit statuses of the command line (see README, "Exit status").
enum class ExitStatus { kDone = 0, kFailed = 1, kWrongUsage = 2, kBadInput = 3, kGateNotMet = 4, kInterrupted = 130 };

// What went wrong, where, and what to do about it, in one line.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ExitStatus status = ExitStatus::kFailed)
      : std::runtime_error(message), status_(status) {}
  ExitStatus status() const { return status_; }

 private:
  ExitStatus status_;
};

// The caller asked for something impossible (an unknown column, a negative row count).
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(message, ExitStatus::kWrongUsage) {}
};

// The data or model given cannot be read. The message begins with "file:line:column:" or "file:" where these are known.
class InputError : public Error {
 public:
  explicit InputError(const std::string& message) : Error(message, ExitStatus::kBadInput) {}
};

}  // namespace doppel
