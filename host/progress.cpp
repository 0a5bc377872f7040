#include "host/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "host/interrupt.h"

namespace doppel {
namespace {

constexpr auto kBarInterval = std::chrono::milliseconds(200);
constexpr auto kLineInterval = std::chrono::seconds(5);

std::string scaled(double value, const char* separator) {
  constexpr std::array<const char*, 6> kPrefixes = {"", "k", "M", "G", "T", "P"};
  size_t power = 0;
  while (value >= 999.5 && power + 1 < kPrefixes.size()) value /= 1000, ++power;
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", power == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2, value);
  std::string result = text;
  if (result.find('.') != std::string::npos) {
    result.erase(result.find_last_not_of('0') + 1);
    if (result.back() == '.') result.pop_back();
  }
  return result + (power > 0 || *separator == '\0' ? separator : "") + kPrefixes[power];
}

int terminal_width() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void draw_bar(double share, const std::string& text) {
  const int width = std::clamp(terminal_width() - static_cast<int>(text.size()) - 4, 0, 40);
  const int filled = static_cast<int>(share * width);
  const std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
  std::fprintf(stderr, "\r\033[K[%s] %s", bar.c_str(), text.c_str());
  std::fflush(stderr);
}

}  // namespace

std::string format_count(double value) {
  return scaled(value, " ");
}
std::string format_bytes(double bytes) {
  const std::string text = scaled(bytes, " ");
  return text + (bytes < 999.5 ? " B" : "B");
}
std::string format_duration(double seconds) {
  char text[48];
  if (seconds < 0.0995) {
    std::snprintf(text, sizeof(text), "%.*f ms", seconds < 0.00995 ? 1 : 0, seconds * 1000);
  } else if (seconds < 59.5) {
    std::snprintf(text, sizeof(text), seconds < 9.95 ? "%.1f s" : "%.0f s", seconds);
  } else {
    const auto minutes = static_cast<long long>(std::min(std::ceil(seconds / 60), 1e9));
    if (minutes < 60) {
      std::snprintf(text, sizeof(text), "%lld min", minutes);
    } else if (minutes < 48 * 60) {
      std::snprintf(text, sizeof(text), "%lld h %lld min", minutes / 60, minutes % 60);
    } else {
      std::snprintf(text, sizeof(text), "%lld days", minutes / (24 * 60));
    }
  }
  return text;
}

Progress::Style Progress::style_for(bool quiet) {
  if (quiet) return Style::kNone;
  return isatty(STDERR_FILENO) ? Style::kBar : Style::kLines;
}

Progress::Progress(int64_t total_rows, Style style) : total_rows_(total_rows), style_(style) {
  if (style_ == Style::kNone) return;
  const BlockSignals block;
  thread_ = std::thread([this] { report(); });
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_one();
  thread_.join();
  if (style_ == Style::kBar) std::fputs("\r\033[K", stderr);
}

std::string Progress::line() const {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const auto rows = static_cast<double>(rows_.load(std::memory_order_relaxed));
  const auto bytes = static_cast<double>(bytes_.load(std::memory_order_relaxed));
  const double rate = seconds > 0 ? rows / seconds : 0;
  std::string text = format_count(rows) + " of " + format_count(static_cast<double>(total_rows_)) + " rows, " +
                     format_count(rate) + " rows/s";
  if (bytes > 0) text += ", " + format_bytes(bytes / seconds) + "/s";
  if (rate > 0) text += ", " + format_duration((static_cast<double>(total_rows_) - rows) / rate) + " left";
  return text;
}

void Progress::report() {
  std::unique_lock lock(mutex_);
  while (!stopped_.wait_for(lock, style_ == Style::kBar ? std::chrono::milliseconds(kBarInterval) : kLineInterval,
                            [this] { return stop_; })) {
    const std::string text = line();
    if (style_ == Style::kLines) {
      std::fprintf(stderr, "doppel: %s\n", text.c_str());
      continue;
    }
    draw_bar(total_rows_ > 0 ? static_cast<double>(rows_) / static_cast<double>(total_rows_) : 1, text);
  }
}

double StageProgress::seconds_in_stage() const {
  return is_going_ ? std::chrono::duration<double>(Clock::now() - stage_start_).count() : 0;
}

void StageProgress::update(const std::string& stage, double share, const std::string& rate) {
  const std::string name = stage.substr(0, stage.find(','));
  if (!is_going_ || stages_.back().name != name) {
    if (is_going_) stages_.back().seconds = seconds_in_stage();
    stages_.push_back({name});
    stage_start_ = Clock::now();
    is_going_ = true;
  }
  const auto interval =
      style_ == Progress::Style::kBar ? Clock::duration(kBarInterval) : Clock::duration(kLineInterval);
  if (style_ == Progress::Style::kNone || Clock::now() - last_shown_ < interval) return;
  last_shown_ = Clock::now();
  char percent[16];
  std::snprintf(percent, sizeof percent, "%.0f %%", 100 * std::clamp(share, 0.0, 1.0));
  const std::string text = stage + ", " + percent + (rate.empty() ? "" : ", " + rate);
  if (style_ == Progress::Style::kLines) {
    std::fprintf(stderr, "doppel: %s\n", text.c_str());
  } else {
    draw_bar(std::clamp(share, 0.0, 1.0), text);
    is_shown_ = true;
  }
}

void StageProgress::finish() {
  if (is_going_) stages_.back().seconds = seconds_in_stage();
  is_going_ = false;
  if (is_shown_) std::fputs("\r\033[K", stderr);
  is_shown_ = false;
}

}  // namespace doppel
