#include "kernels/cpu/image_sampler.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "kernels/common/philox.h"
#include "kernels/cpu/network.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/sample_table.h"
#include "kernels/cpu/texture.h"
#include "kernels/random.h"

namespace doppel {
namespace {

constexpr int64_t kBlockRows = 128, kPreferredBlocks = 16;
constexpr int64_t kRowsOfNormals = 64;  // are drawn at a time

// What a word falls on, by the upper ends of intervals.
size_t draw(const double* ends, size_t count, uint32_t word) {
  const double place = static_cast<double>(word) * 0x1p-32 * ends[count - 1];
  return std::min(static_cast<size_t>(std::upper_bound(ends, ends + count, place) - ends), count - 1);
}

class CpuImageSampler : public PreparedImageSampler {
 public:
  explicit CpuImageSampler(const ImageSampler& sampler);
  void sample(uint64_t seed, uint64_t first_row, int64_t rows, uint8_t* images, int32_t* labels) override;
  int64_t preferred_rows() const override { return kPreferredBlocks * rows_; }

 private:
  int32_t draw_row(uint64_t seed, uint64_t row, const float* normals, float* latents) const;
  void draw_block(uint64_t seed, uint64_t first_row);

  int64_t rows_, latent_, levels_, outputs_;
  PixelLikelihood likelihood_;
  float temperature_;
  std::vector<int64_t> first_;
  std::vector<float> mean_;
  LatentDraws draws_;
  std::unique_ptr<PreparedNetwork> decoder_;
  std::optional<TextureSampler> texture_;
  int64_t blocks_;  // of normals, with block 0, without the texture's noise
  // Of a block.
  std::vector<float> normals_;  // [blocks_, 4, rows]
  std::vector<float> latents_, decoded_;
  std::vector<float> means_;  // [rows, levels], where there is a texture
  std::vector<int32_t> labels_;
  std::vector<uint8_t> images_;
};

CpuImageSampler::CpuImageSampler(const ImageSampler& sampler)
    : rows_(sampler.block_rows > 0 ? (sampler.block_rows + kRowsOfNormals - 1) / kRowsOfNormals * kRowsOfNormals
                                   : kBlockRows),
      latent_(sampler.members.latent),
      levels_(sampler.levels()),
      outputs_(sampler.decoder.outputs()),
      likelihood_(sampler.likelihood),
      temperature_(static_cast<float>(sampler.temperature)),
      first_(sampler.members.first),
      mean_(sampler.members.mean),
      draws_(prepare_draws(sampler)),
      decoder_(prepare_network_on_cpu(sampler.decoder, sampler.precision)),
      blocks_(1 + normal_blocks(latent_) + (sampler.texture ? normal_blocks(sampler.texture->directions) : 0)),
      normals_(static_cast<size_t>(4 * rows_ * blocks_)),
      latents_(static_cast<size_t>(rows_ * latent_)),
      decoded_(static_cast<size_t>(rows_ * outputs_)),
      labels_(static_cast<size_t>(rows_)),
      images_(static_cast<size_t>(rows_ * levels_)) {
  if (!sampler.texture) return;
  texture_.emplace(sampler.texture);
  means_.resize(images_.size());
}

// Latents of a row from normals that lie rows_ apart; returns its label.
int32_t CpuImageSampler::draw_row(uint64_t seed, uint64_t row, const float* normals, float* latents) const {
  const auto choice = philox_words(seed, row, 0, Stream::kRows);
  const size_t label = draw(draws_.labels_up_to.data(), draws_.labels_up_to.size(), choice[0]);
  const auto first = static_cast<size_t>(first_[label]), last = static_cast<size_t>(first_[label + 1]);
  const size_t member = first + draw(draws_.members_up_to.data() + first, last - first, choice[1]);
  const auto n = static_cast<size_t>(latent_);
  std::copy_n(mean_.data() + member * n, n, latents);
  const float* column = draws_.factor_columns.data() + member * n * n;
  for (size_t k = 0; k < n; ++k, column += n) {
    const float normal = temperature_ * normals[static_cast<int64_t>(k) * rows_];
    for (size_t i = 0; i < n; ++i) latents[i] += column[i] * normal;  // 0 above the diagonal
  }
  return static_cast<int32_t>(label);
}

void CpuImageSampler::draw_block(uint64_t seed, uint64_t first_row) {
  // Those of block 0, too, whose words choose: they are not looked at.
  instruction_sets().front().normals(seed, first_row, rows_, static_cast<int32_t>(blocks_), normals_.data());
  for (int64_t row = 0; row < rows_; ++row)
    labels_[static_cast<size_t>(row)] = draw_row(seed, first_row + static_cast<uint64_t>(row),
                                                 normals_.data() + 4 * rows_ + row, latents_.data() + row * latent_);
  const onednn::OneThread one_thread;  // its sums do not depend on how many there are
  decoder_->run(latents_.data(), labels_.data(), rows_, decoded_.data());
  const int64_t count = rows_ * levels_;
  if (!texture_) return levels_of_outputs(likelihood_, decoded_.data(), count, images_.data());
  means_of_outputs(likelihood_, decoded_.data(), count, means_.data());
  texture_->make({seed, first_row, rows_, means_.data(), labels_.data(),
                  normals_.data() + 4 * rows_ * (1 + normal_blocks(latent_)), blocks_, temperature_},
                 images_.data());
}

void CpuImageSampler::sample(uint64_t seed, uint64_t first_row, int64_t rows, uint8_t* images, int32_t* labels) {
  while (rows > 0) {
    const auto skipped = static_cast<int64_t>(first_row % static_cast<uint64_t>(rows_));
    const int64_t some = std::min(rows, rows_ - skipped);
    draw_block(seed, first_row - static_cast<uint64_t>(skipped));
    images = std::copy_n(images_.begin() + skipped * levels_, some * levels_, images);
    if (labels) labels = std::copy_n(labels_.begin() + skipped, some, labels);
    first_row += static_cast<uint64_t>(some);
    rows -= some;
  }
}

}  // namespace

void levels_of_outputs(PixelLikelihood likelihood, const float* outputs, int64_t count, uint8_t* levels) {
  if (likelihood == PixelLikelihood::kBernoulli) return levels_of_logits(outputs, count, levels);
  for (int64_t i = 0; i < count; ++i)
    levels[i] = static_cast<uint8_t>(255 * std::clamp(outputs[2 * i], 0.0f, 1.0f) + 0.5f);
}

std::unique_ptr<PreparedImageSampler> prepare_image_sampler_on_cpu(const ImageSampler& sampler) {
  check_image_sampler(sampler);
  return std::make_unique<CpuImageSampler>(sampler);
}

}  // namespace doppel
