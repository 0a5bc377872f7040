#include "engine/models/image/image_vae_coder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/image/augment.h"
#include "engine/image/image_schema.h"
#include "engine/nn/likelihoods.h"
#include "kernels/cpu/image_sampler.h"
#include "kernels/cpu/onednn.h"

namespace doppel {
namespace {

constexpr uint32_t kUseScore = 0xb0000000u;  // and the draw: of Stream::kFit, whose seed is the block's number

class ImageVaeCoder : public Coder {
 public:
  ImageVaeCoder(std::shared_ptr<const ImageVae> vae, const Backend& backend)
      : vae_(std::move(vae)), backend_(backend), rows_(make_image_schema(vae_->shape().image, vae_->label_names())) {
    for (const OutputColumn& column : rows_.columns) schema_.columns.push_back(column.schema);
  }
  int64_t width() const override { return vae_->shape().latent; }
  Storage storage() const override { return Storage::kFloat32; }
  const TableSchema& schema() const override { return schema_; }
  const OutputSchema& rows() const override { return rows_; }
  int64_t worker_bytes() const override { return vae_->working_bytes(); }
  std::unique_ptr<CoderWorker> make_worker() const override { return std::make_unique<Worker>(*vae_, backend_); }

 private:
  // Works on whole blocks of kImageBlockRows on one thread, so that what a row gets does not depend on how many are
  // asked for at a time.
  class Worker : public CoderWorker {
   public:
    Worker(const ImageVae& vae, const Backend& backend)
        : vae_(vae),
          network_(vae.trained(kImageBlockRows, backend)),
          has_labels_(vae.shape().classes > 0),
          size_(vae.shape().image.size()) {}

    void encode(const Images& images, int64_t first, int64_t rows, double* codes) override {
      const int64_t latent = network_.shape().latent;
      for_each_block(first, rows, [&](int64_t block, int64_t begin, int64_t end) {
        const float* heads = encode_block(images, block);
        for (int64_t row = begin; row < end; ++row) codes = std::copy_n(heads + row * 2 * latent, latent, codes);
      });
    }

    void score(const Images& images, int64_t first, int64_t rows, ImageScore* scores) override {
      for_each_block(first, rows, [&](int64_t block, int64_t begin, int64_t end) {
        score_block(images, block);
        scores = std::copy(scores_.begin() + begin, scores_.begin() + end, scores);
      });
    }

    void decode(const double* codes, const int32_t* labels, int64_t rows, Batch& batch) override {
      const int64_t latent = network_.shape().latent;
      latents_.resize(static_cast<size_t>(kImageBlockRows * latent));
      labels_.assign(static_cast<size_t>(kImageBlockRows), 0);
      for (int64_t first = 0; first < rows; first += kImageBlockRows) {
        const int64_t some = std::min(kImageBlockRows, rows - first);
        std::transform(codes + first * latent, codes + (first + some) * latent, latents_.begin(),
                       [](double value) { return static_cast<float>(value); });
        if (has_labels_) {
          std::copy_n(labels + first, some, labels_.begin());
          std::copy_n(labels + first, some, static_cast<int32_t*>(batch.buffer(0).values) + first);
        }
        levels_of_outputs(network_.shape().likelihood, decode_block(), some * size_, batch.images() + first * size_);
      }
    }

   private:
    // take(block, begin, end): rows [begin, end) of a block are asked for.
    template <class Take>
    static void for_each_block(int64_t first, int64_t rows, const Take& take) {
      while (rows > 0) {
        const int64_t begin = first % kImageBlockRows, some = std::min(rows, kImageBlockRows - begin);
        take(first / kImageBlockRows, begin, begin + some);
        first += some, rows -= some;
      }
    }

    // Heads [kImageBlockRows, 2 latent]. A block beyond the images' end repeats the last one.
    const float* encode_block(const Images& images, int64_t block) {
      vae_.require_encoder();
      levels_.resize(static_cast<size_t>(kImageBlockRows * size_));
      labels_.resize(static_cast<size_t>(kImageBlockRows));
      for (int64_t row = 0; row < kImageBlockRows; ++row) {
        const int64_t image = std::min(block * kImageBlockRows + row, images.count() - 1);
        levels_of(images.image(image), size_, levels_.data() + row * size_);
        labels_[static_cast<size_t>(row)] = has_labels_ ? images.labels[static_cast<size_t>(image)] : 0;
      }
      const onednn::OneThread one_thread;
      return network_.encode(levels_.data(), labels_.data(), kImageBlockRows);
    }

    const float* decode_block() {
      const onednn::OneThread one_thread;
      return network_.decode(latents_.data(), labels_.data(), kImageBlockRows);
    }

    // Unless it was the last one: a job's plan asks for the first images again and again. They stay as they are.
    void score_block(const Images& images, int64_t block) {
      if (scored_ == std::pair(images.pixels.data(), block)) return;
      scored_ = {images.pixels.data(), block};
      const int64_t latent = network_.shape().latent;
      const float* given = encode_block(images, block);
      heads_.assign(given, given + kImageBlockRows * 2 * latent);
      latents_.resize(static_cast<size_t>(kImageBlockRows * latent));
      noise_.resize(latents_.size());
      scores_.assign(static_cast<size_t>(kImageBlockRows), {});
      for (int64_t row = 0; row < kImageBlockRows; ++row)
        scores_[static_cast<size_t>(row)].nats = kl_divergence(heads_.data() + row * 2 * latent, 1, latent);
      for (int64_t draw = 0; draw < kScoreDraws; ++draw) {
        fill_with_normals(static_cast<uint64_t>(block), kUseScore + static_cast<uint32_t>(draw), 1, noise_);
        forward_gaussian(heads_.data(), noise_.data(), kImageBlockRows, latent, latents_.data());
        add_reconstruction(decode_block());
      }
      for (int64_t row = 0; row < kImageBlockRows; ++row)
        std::copy_n(heads_.begin() + row * 2 * latent, latent, latents_.begin() + row * latent);
      find_errors(images, block, decode_block());
    }

    void add_reconstruction(const float* outputs) {
      const ImageVaeShape& shape = network_.shape();
      for (int64_t row = 0; row < kImageBlockRows; ++row) {
        const float *of_row = outputs + row * size_ * shape.heads(), *levels = levels_.data() + row * size_;
        const double nats = shape.likelihood == PixelLikelihood::kBernoulli ? bernoulli_loss(of_row, levels, size_)
                                                                            : logistic_loss(of_row, levels, size_);
        scores_[static_cast<size_t>(row)].nats += nats / kScoreDraws;
      }
    }

    void find_errors(const Images& images, int64_t block, const float* outputs) {
      decoded_.resize(static_cast<size_t>(kImageBlockRows * size_));
      levels_of_outputs(network_.shape().likelihood, outputs, kImageBlockRows * size_, decoded_.data());
      const int64_t rows = std::min(kImageBlockRows, images.count() - block * kImageBlockRows);
      for (int64_t row = 0; row < rows; ++row)
        scores_[static_cast<size_t>(row)].error = root_mean_square_difference(
            images.image(block * kImageBlockRows + row), decoded_.data() + row * size_, size_);
    }

    const ImageVae& vae_;
    TrainedVae network_;
    bool has_labels_;
    int64_t size_;  // of an image
    // Of a block:
    std::vector<float> levels_, heads_, latents_, noise_;
    std::vector<int32_t> labels_;
    std::vector<uint8_t> decoded_;
    std::vector<ImageScore> scores_;
    std::pair<const uint8_t*, int64_t> scored_;  // whose these are
  };

  std::shared_ptr<const ImageVae> vae_;
  const Backend& backend_;
  OutputSchema rows_;
  TableSchema schema_;
};

}  // namespace

std::shared_ptr<const Coder> make_image_vae_coder(std::shared_ptr<const ImageVae> vae, const Backend& backend) {
  return std::make_shared<ImageVaeCoder>(std::move(vae), backend);
}

}  // namespace doppel
