// The cells of a text column with more distinct texts than are kept: each cell is taken for what the column is thought
// to be, from those before.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/table/column_limits.h"
#include "engine/table/distinct_sample.h"
#include "engine/table/missing_cells.h"
#include "engine/table/text_inference.h"

namespace doppel {

struct Cell {
  std::string_view text;   // as in the file
  std::string_view value;  // without blanks around it
  uint64_t hash;           // of the text
};

class TextStream;

// What to do where some cell was not what a stream takes: another stream, or none: count texts again.
struct NextPass {
  bool is_needed = false;
  std::unique_ptr<TextStream> stream;
};

class TextStream {
 public:
  virtual ~TextStream() = default;
  // The same cell `count` times.
  void add(const Cell& cell, int64_t count);
  void add_nulls(int64_t count) { missing_.add_nulls(count); }
  virtual NextPass next_pass() const { return {}; }
  // False where the values do not fit the kind told.
  bool finish(ColumnSchema& schema, ColumnProfile& profile);

 protected:
  TextStream(const ColumnHints& hints, const ColumnLimits& limits, size_t sample_capacity)
      : hints_(hints), limits_(limits), sample_(sample_capacity) {}
  // False where the cell is no value of the stream's kind.
  virtual bool take(const Cell& cell, int64_t count) = 0;
  // A cell that is neither a value nor a marker.
  virtual void take_other(const Cell& cell, int64_t count) = 0;
  virtual bool describe(ColumnSchema& schema, ColumnProfile& profile) = 0;

  ColumnHints hints_;
  ColumnLimits limits_;
  MissingCells missing_;
  DistinctSample sample_;  // of the values' texts
  int64_t present_ = 0, trimmed_ = 0;
};

// For a column that has these texts, in the order of their rows, and more to come. Null where the kind told has no room
// for so many; where they are neither numbers nor dates, unless `takes_texts`.
std::unique_ptr<TextStream> make_text_stream(const std::vector<DistinctText>& texts, int64_t nulls,
                                             const ColumnHints& hints, const ColumnLimits& limits, bool takes_texts);
// Likewise, where it is known that they are neither.
std::unique_ptr<TextStream> make_stream_of_texts(const std::vector<DistinctText>& texts, int64_t nulls,
                                                 const ColumnHints& hints, const ColumnLimits& limits);

}  // namespace doppel
