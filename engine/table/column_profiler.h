// The inference of one column: cells go in, chunk by chunk; its kind and distribution come out.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/table/column_limits.h"
#include "engine/table/profile.h"
#include "engine/table/text_inference.h"

namespace doppel {

class ColumnProfiler {
 public:
  virtual ~ColumnProfiler() = default;
  // Mixes each cell's hash into its row's.
  virtual void add(const RawColumn& column, int64_t rows, uint64_t* row_hashes) = 0;
  // True where the column must be read again before finish(): prepares for that.
  virtual bool start_second_pass() { return false; }
  // Sets all of the schema but its name, source and time zone. Returns false where the values do not fit the kind told.
  virtual bool finish(ColumnSchema& schema, ColumnProfile& profile) = 0;
};

// The hints' pointees outlive the profiler.
std::unique_ptr<ColumnProfiler> make_column_profiler(const RawField& field, const ColumnHints& hints,
                                                     const ColumnLimits& limits);

inline void mix_hash(uint64_t& row_hash, uint64_t cell_hash) {
  row_hash = (row_hash ^ cell_hash) * 0x9e3779b97f4a7c15ull;
  row_hash ^= row_hash >> 29;
}

}  // namespace doppel
