// A generator that needs no model, and faults to order.
#pragma once

#include <atomic>
#include <memory>
#include <stdexcept>

#include "engine/generator.h"

namespace doppel {

// Two columns: "row" holds the row number, "mix" a hash of (seed, row).
class FakeGenerator : public Generator {
 public:
  explicit FakeGenerator(uint64_t seed = 1, int64_t fails_at_row = -1) : seed_(seed), fails_at_row_(fails_at_row) {
    for (const char* name : {"row", "mix"}) {
      OutputColumn column;
      column.schema.name = name;
      column.schema.kind = ColumnKind::kInteger;
      column.storage = Storage::kInt64;
      schema_.columns.push_back(column);
    }
  }
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return seed_; }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }

  static int64_t mix(uint64_t seed, uint64_t row) {
    uint64_t x = (row + 1) * 0x9E3779B97F4A7C15u ^ seed * 0xBF58476D1CE4E5B9u;
    x ^= x >> 31;
    return static_cast<int64_t>(x * 0x94D049BB133111EBu >> 1);
  }

 private:
  class Sampler : public RowSampler {
   public:
    explicit Sampler(const FakeGenerator& generator) : generator_(generator) {}
    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      const auto fails_at = generator_.fails_at_row_;
      if (fails_at >= static_cast<int64_t>(first_row) && fails_at < static_cast<int64_t>(first_row) + rows) {
        throw std::runtime_error("sampler fault");
      }
      auto* row = static_cast<int64_t*>(batch.buffer(0).values);
      auto* mixed = static_cast<int64_t*>(batch.buffer(1).values);
      for (int64_t i = 0; i < rows; ++i) {
        row[i] = static_cast<int64_t>(first_row) + i;
        mixed[i] = mix(generator_.seed_, first_row + static_cast<uint64_t>(i));
      }
    }

   private:
    const FakeGenerator& generator_;
  };

  uint64_t seed_;
  int64_t fails_at_row_;
  OutputSchema schema_;
};

}  // namespace doppel
