#include "engine/table/given_rows.h"

#include <algorithm>
#include <utility>

#include "kernels/common/error.h"

namespace doppel {
namespace {

int64_t bytes_of(const RawChunk& chunk) {
  int64_t bytes = 0;
  for (const RawColumn& column : chunk.columns) {
    bytes += chunk.rows * static_cast<int64_t>(sizeof(int64_t) + (column.present != nullptr));
    if (column.text_offsets != nullptr) bytes += column.text_offsets[chunk.rows] - column.text_offsets[0];
  }
  return bytes;
}

}  // namespace

RawChunk rows_of(const RawChunk& chunk, int64_t first, int64_t rows) {
  RawChunk part = chunk;
  part.first_row += first;
  part.rows = rows;
  for (RawColumn& column : part.columns) {
    if (column.text_offsets != nullptr) column.text_offsets += first;
    if (column.integers != nullptr) column.integers += first;
    if (column.reals != nullptr) column.reals += first;
    if (column.present != nullptr) column.present += first;
  }
  return part;
}

GivenRows::GivenRows(std::unique_ptr<TableSource> source, int64_t most_kept_bytes)
    : source_(std::move(source)), fields_(source_->fields()), most_kept_bytes_(most_kept_bytes) {}

bool GivenRows::next(RawChunk& chunk) {
  if (!is_counted_ || !is_kept_) return read(chunk);
  if (next_kept_ == kept_.size()) return false;
  chunk = kept_[next_kept_++];
  return true;
}

void GivenRows::rewind() {
  next_kept_ = 0;
  passed_ = 0;
  if (is_counted_ && is_kept_) return;
  if (!is_counted_) {
    kept_.clear();
    is_kept_ = true;
    rows_ = bytes_ = largest_bytes_ = 0;
  }
  source_->rewind();
}

bool GivenRows::read(RawChunk& chunk) {
  const bool is_there = source_->next(chunk);
  if (is_there) passed_ += chunk.rows;
  if (is_counted_ && (is_there ? passed_ > rows_ : passed_ < rows_))
    throw InputError(name() + ": the rows changed while the file was read: let no other program write it");
  if (is_there && !is_counted_) count(chunk);
  is_counted_ = is_counted_ || !is_there;
  return is_there;
}

void GivenRows::count(const RawChunk& chunk) {
  const int64_t bytes = bytes_of(chunk);
  rows_ += chunk.rows;
  bytes_ += bytes;
  largest_bytes_ = std::max(largest_bytes_, bytes);
  is_kept_ = is_kept_ && bytes_ <= most_kept_bytes_;
  if (is_kept_)
    kept_.push_back(chunk);
  else
    kept_.clear();
}

void GivenRows::fetch(uint64_t first, int64_t rows, std::vector<RawChunk>& pieces) {
  pieces.clear();
  for (int64_t row = static_cast<int64_t>(first % static_cast<uint64_t>(rows_)); rows > 0;) {
    const RawChunk& chunk = chunk_of(row);
    const int64_t begin = row - chunk.first_row, count = std::min(rows, chunk.rows - begin);
    pieces.push_back(rows_of(chunk, begin, count));
    rows -= count;
    row = (row + count) % rows_;
  }
}

const RawChunk& GivenRows::chunk_of(int64_t row) {
  if (is_kept_) {
    const auto after = std::upper_bound(kept_.begin(), kept_.end(), row,
                                        [](int64_t at, const RawChunk& chunk) { return at < chunk.first_row; });
    return *std::prev(after);
  }
  // current_ has no rows before the first fetch.
  if (current_.rows == 0 || row < current_.first_row) {
    current_ = {};
    rewind();
  }
  while (row >= current_.first_row + current_.rows) {
    current_ = {};  // the source may use its memory again
    read(current_);
  }
  return current_;
}

int64_t GivenRows::fetched_bytes(int64_t rows) const {
  if (is_kept_) return 0;
  // Of the chunk at either end only a part; neighbours share it.
  return largest_bytes_ +
         static_cast<int64_t>(static_cast<double>(bytes_) / static_cast<double>(rows_) * static_cast<double>(rows));
}

}  // namespace doppel
