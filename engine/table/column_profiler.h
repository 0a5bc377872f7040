// The inference of one column: cells go in, chunk by chunk; its kind and distribution come out.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/table/profile.h"
#include "engine/table/text_inference.h"

namespace doppel {

// Per column, so that a table of any width and length fits the memory.
struct ProfileLimits {
  size_t exact_distinct = kExactDistinct;
  size_t text_bytes = size_t{8} << 20;  // of distinct texts
  size_t sketch_capacity = 1 << 15;
};

class ColumnProfiler {
 public:
  virtual ~ColumnProfiler() = default;
  // Mixes each cell's hash into its row's.
  virtual void add(const RawColumn& column, int64_t rows, uint64_t* row_hashes) = 0;
  // Sets all of the schema but its name, source and time zone. Returns false where the values do not fit the kind told.
  virtual bool finish(ColumnSchema& schema, ColumnProfile& profile) = 0;
};

// The hints' pointees outlive the profiler.
std::unique_ptr<ColumnProfiler> make_column_profiler(const RawField& field, const ColumnHints& hints,
                                                     const ProfileLimits& limits);

inline void mix_hash(uint64_t& row_hash, uint64_t cell_hash) {
  row_hash = (row_hash ^ cell_hash) * 0x9e3779b97f4a7c15ull;
  row_hash ^= row_hash >> 29;
}

}  // namespace doppel
