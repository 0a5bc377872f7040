// Progress of a long job on standard error: a bar on a terminal, a line every few seconds otherwise.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

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

// Progress of a job in stages of which only the share done is known: a bar on a terminal, a line every few seconds
// otherwise. Driven by one thread.
class StageProgress {
 public:
  explicit StageProgress(Progress::Style style) : style_(style) {}
  ~StageProgress() { finish(); }
  StageProgress(const StageProgress&) = delete;
  StageProgress& operator=(const StageProgress&) = delete;

  // `share` in [0, 1] of the stage is done; a name other than the last begins a stage. A comma ends the name; what follows
  // is for people, as `rate` is: "training, 73.5 nats a row held out", "80 MB/s".
  void update(const std::string& stage, double share, const std::string& rate = "");
  void finish();  // ends the last stage and erases the bar
  double seconds_in_stage() const;

  struct Stage {
    std::string name;
    double seconds = 0;
  };
  const std::vector<Stage>& stages() const { return stages_; }  // in order; the last is still going before finish()

 private:
  using Clock = std::chrono::steady_clock;
  Progress::Style style_;
  std::vector<Stage> stages_;
  bool is_going_ = false, is_shown_ = false;
  Clock::time_point stage_start_, last_shown_ = Clock::now();
};

// For people: "12.5 M", "3.20 GB" (powers of 1000), "1 h 20 min".
std::string format_count(double value);
std::string format_bytes(double bytes);
std::string format_duration(double seconds);

}  // namespace doppel
