#include "host/readers/watched_table.h"

#include <mutex>

#include "host/interrupt.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

class WatchedTable : public TableSource {
 public:
  WatchedTable(std::unique_ptr<TableSource> source, std::function<void(int64_t, int64_t)> on_chunk)
      : source_(std::move(source)), on_chunk_(std::move(on_chunk)) {}
  const std::string& name() const override { return source_->name(); }
  const std::vector<RawField>& fields() const override { return source_->fields(); }
  bool next(RawChunk& chunk) override {
    throw_if_interrupted();
    if (on_chunk_) on_chunk_(source_->bytes_read(), source_->bytes_total());
    const std::lock_guard lock(mutex_);
    return source_->next(chunk);
  }
  void rewind() override {
    const std::lock_guard lock(mutex_);
    source_->rewind();
  }
  std::string locate(int64_t row, size_t column) override {
    const std::lock_guard lock(mutex_);
    return source_->locate(row, column);
  }
  int64_t bytes_read() const override { return source_->bytes_read(); }
  int64_t bytes_total() const override { return source_->bytes_total(); }

 private:
  std::mutex mutex_;
  std::unique_ptr<TableSource> source_;
  std::function<void(int64_t, int64_t)> on_chunk_;
};

}  // namespace

std::unique_ptr<TableSource> watch_table(std::unique_ptr<TableSource> source,
                                         std::function<void(int64_t, int64_t)> on_chunk) {
  return std::make_unique<WatchedTable>(std::move(source), std::move(on_chunk));
}

void throw_if_interrupted() {
  if (interrupted()) throw Error("no result was written", ExitStatus::kInterrupted);
}

}  // namespace doppel
