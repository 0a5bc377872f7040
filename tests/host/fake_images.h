// A generator of images that needs no model: level j of the image of row i is a function of (seed, i, j).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/generator.h"
#include "engine/image/image_schema.h"

namespace doppel {

class FakeImages : public Generator {
 public:
  FakeImages(const ImageShape& shape, const std::vector<std::string>& labels, uint64_t seed = 1)
      : schema_(make_image_schema(shape, labels)), seed_(seed) {}
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return seed_; }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }

  uint8_t level(int64_t row, int64_t at) const {
    return static_cast<uint8_t>(static_cast<uint64_t>(row) * 31 + static_cast<uint64_t>(at) * 7 + seed_);
  }
  int32_t label(int64_t row) const {
    return static_cast<int32_t>((row + row / 3) % static_cast<int64_t>(schema_.columns[0].schema.levels.size()));
  }

 private:
  class Sampler : public RowSampler {
   public:
    explicit Sampler(const FakeImages& images) : images_(images) {}
    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      const int64_t size = images_.schema_.image.size();
      for (int64_t row = 0; row < rows; ++row) {
        const auto number = static_cast<int64_t>(first_row) + row;
        for (int64_t at = 0; at < size; ++at) batch.images()[row * size + at] = images_.level(number, at);
        if (batch.columns() > 0) static_cast<int32_t*>(batch.buffer(0).values)[row] = images_.label(number);
      }
    }

   private:
    const FakeImages& images_;
  };

  OutputSchema schema_;
  uint64_t seed_;
};

}  // namespace doppel
