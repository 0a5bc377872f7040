// A table whose rows are asked for by their numbers, for several workers, again and again: kept in memory where it is
// small, otherwise read from its source when they are asked for. Rows are fetched for one worker at a time
// (RowSampler::fetch); what was fetched is read by all at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/table/source.h"

namespace doppel {

// Limits of memory where rows are given.
struct GivenLimits {
  int64_t table_bytes = int64_t{128} << 20;    // of a table that is kept
  int64_t profile_bytes = int64_t{384} << 20;  // ProfileOptions::distinct_bytes
  int64_t worker_bytes = int64_t{64} << 20;    // of what a DensityWorker keeps
};

// Rows [first, first + rows) of a chunk.
RawChunk rows_of(const RawChunk& chunk, int64_t first, int64_t rows);

// As a source it hands on the source's chunks. The first pass must be whole before rows are fetched; passes and
// fetching do not mix. Throws InputError where a later pass has other rows.
class GivenRows : public TableSource {
 public:
  // Keeps chunks of up to `most_kept_bytes` in all.
  GivenRows(std::unique_ptr<TableSource> source, int64_t most_kept_bytes);
  const std::string& name() const override { return source_->name(); }
  const std::vector<RawField>& fields() const override { return fields_; }
  bool next(RawChunk& chunk) override;
  void rewind() override;
  // On any thread if the source does.
  std::string locate(int64_t row, size_t column) override { return source_->locate(row, column); }
  int64_t bytes_read() const override { return source_->bytes_read(); }
  int64_t bytes_total() const override { return source_->bytes_total(); }

  int64_t rows() const { return rows_; }
  // Rows first, first + 1, ... modulo rows(), as pieces of chunks in that order, in the place of those that are there.
  // Rows before those fetched last cost a pass from the start to them, and rows behind them all between.
  void fetch(uint64_t first, int64_t rows, std::vector<RawChunk>& pieces);
  // About how much memory the pieces of so many rows take.
  int64_t fetched_bytes(int64_t rows) const;

 private:
  bool read(RawChunk& chunk);
  void count(const RawChunk& chunk);
  const RawChunk& chunk_of(int64_t row);

  std::unique_ptr<TableSource> source_;
  std::vector<RawField> fields_;  // the source makes its own anew in every pass
  int64_t most_kept_bytes_;
  bool is_counted_ = false;                           // the first pass is over
  bool is_kept_ = true;                               // all chunks so far
  int64_t rows_ = 0, bytes_ = 0, largest_bytes_ = 0;  // of all chunks, and of one
  std::vector<RawChunk> kept_;
  size_t next_kept_ = 0;
  int64_t passed_ = 0;  // rows of the current pass
  RawChunk current_;    // the one fetched from last
};

// One worker's rows of its batches.
class GivenReader {
 public:
  explicit GivenReader(GivenRows& rows) : rows_(rows) {}

  void fetch(uint64_t first, int64_t rows) {
    rows_.fetch(first, rows, pieces_);
    first_ = first, fetched_ = rows;
  }

  // consume(piece, at) for pieces of at most kPieceRows; `at` is the place of a piece's first row among these rows.
  // Fetches where other rows were fetched last. Chunks are let go by the next fetch, one worker at a time, as the
  // source may then use their memory again.
  template <class Consume>
  void for_each(uint64_t first, int64_t rows, const Consume& consume) {
    if (fetched_ != rows || first_ != first) fetch(first, rows);
    int64_t at = 0;
    for (const RawChunk& chunk : pieces_)
      for (int64_t begin = 0; begin < chunk.rows; begin += kPieceRows) {
        const int64_t count = std::min(kPieceRows, chunk.rows - begin);
        consume(rows_of(chunk, begin, count), at);
        at += count;
      }
  }

 private:
  static constexpr int64_t kPieceRows = 1024;  // stay in a core's cache once converted

  GivenRows& rows_;
  std::vector<RawChunk> pieces_;
  uint64_t first_ = 0;
  int64_t fetched_ = 0;
};

}  // namespace doppel
