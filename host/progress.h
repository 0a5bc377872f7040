// Progress of a long job on standard error: a bar on a terminal, a line every few seconds otherwise.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace doppel {

class Progress {
 public:
  enum class Style { kNone, kLines, kBar };
  static Style style_for(bool quiet);  // by whether standard error is a terminal

  Progress(int64_t total_rows, Style style);
  ~Progress();  // erases the bar
  void add(int64_t rows, int64_t bytes) {
    rows_.fetch_add(rows, std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }
  std::string line() const;  // "12.5 M of 1 G rows, 3.2 M rows/s, 410 MB/s, 5 min left"

 private:
  void report();

  const int64_t total_rows_;
  const Style style_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::atomic<int64_t> rows_{0}, bytes_{0};
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;
  std::thread thread_;
};

// For people: "12.5 M", "3.20 GB" (powers of 1000), "1 h 20 min".
std::string format_count(double value);
std::string format_bytes(double bytes);
std::string format_duration(double seconds);

}  // namespace doppel
