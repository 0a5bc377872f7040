// Rows from a model: what the host's scheduler drives. The generator is immutable; each worker owns a RowSampler.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/batch.h"

namespace doppel {

class RowSampler {
 public:
  virtual ~RowSampler() = default;
  // What must be read in the order of the rows is read here: a job calls this before `sample` with the same rows, one
  // thread at a time, in the order of its batches. Without it `sample` reads for itself,
  // which is for one sampler at a time.
  virtual void fetch(uint64_t /*first_row*/, int64_t /*rows*/) {}
  // Fills batch with rows [first_row, first_row + rows), rows <= batch.capacity(). Same bytes whatever the split (row law).
  virtual void sample(uint64_t first_row, int64_t rows, Batch& batch) = 0;

  // A batch in memory that `sample` fills fastest, and how many bytes of rows are best sampled at a time
  // (kernels/table.h).
  virtual Batch make_batch(const OutputSchema& schema, int64_t capacity) const { return Batch(schema, capacity); }
  virtual size_t preferred_bytes() const { return kCacheBytes; }
};

class Generator {
 public:
  virtual ~Generator() = default;
  virtual const OutputSchema& schema() const = 0;
  virtual uint64_t seed() const = 0;
  virtual std::unique_ptr<RowSampler> make_sampler() const = 0;  // one per worker thread; called before the work starts
  // About what a sampler holds while it makes batches of so many rows, beside the batch.
  virtual int64_t sampler_bytes(int64_t /*rows*/) const { return 0; }
};

}  // namespace doppel
