#include "engine/models/image/image_pca_coder.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "engine/image/image_schema.h"
#include "engine/models/triangular.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr double kRounding = 1.0 / 12;  // variance of what rounding to whole levels adds

// The density of a label's images: a Gaussian of covariance factor factor^T + noise, by Woodbury's identity.
struct LabelDensity {
  std::vector<double> precision;  // [levels] 1 / variance of the noise
  std::vector<double> inner;      // [components, components] Cholesky factor of I + factor^T noise^-1 factor
  double constant = 0;            // -log density at the mean
};

class ImagePcaCoder : public Coder {
 public:
  ImagePcaCoder(std::shared_ptr<const ImageGaussians> model, const Backend& backend)
      : model_(std::move(model)), backend_(backend), rows_(make_image_schema(model_->shape, model_->label_names)) {
    for (const OutputColumn& column : rows_.columns) schema_.columns.push_back(column.schema);
    for (const double variance : model_->eigenvalues) deviation_.push_back(std::sqrt(std::max(variance, 0.0)));
  }
  int64_t width() const override { return model_->components; }
  Storage storage() const override { return Storage::kFloat32; }
  const TableSchema& schema() const override { return schema_; }
  const OutputSchema& rows() const override { return rows_; }
  int64_t worker_bytes() const override {
    const int64_t levels = model_->shape.size(), components = model_->components;
    return static_cast<int64_t>(sizeof(double)) * (model_->labels * (levels + components * components) +
                                                   3 * levels * components + 4 * kProductRows * (levels + components));
  }
  std::unique_ptr<CoderWorker> make_worker() const override { return std::make_unique<Worker>(*this); }

 private:
  class Worker : public CoderWorker {
   public:
    explicit Worker(const ImagePcaCoder& all)
        : model_(*all.model_),
          deviation_(all.deviation_),
          levels_(static_cast<size_t>(model_.shape.size())),
          components_(static_cast<size_t>(model_.components)),
          products_(all.backend_.prepare_products(
              {nullptr, model_.factor.data(), model_.labels, model_.shape.size(), model_.components})),
          density_(static_cast<size_t>(model_.labels)),
          from_mean_(kProductRows * levels_),
          around_mean_(kProductRows * levels_),
          code_(kProductRows * components_),
          projected_(kProductRows * components_),
          image_(levels_) {}

    void encode(const Images& images, int64_t first, int64_t rows, double* codes) override {
      for_blocks(labels_of(images, first), rows, [&](size_t label, std::span<const int64_t> block) {
        encode_block(images, first, label, block);
        for (size_t i = 0; i < block.size(); ++i)
          std::copy_n(&code_[i * components_], components_, codes + block[i] * model_.components);
      });
    }

    void score(const Images& images, int64_t first, int64_t rows, ImageScore* scores) override {
      for_blocks(labels_of(images, first), rows, [&](size_t label, std::span<const int64_t> block) {
        encode_block(images, first, label, block);
        decode_block(label, block.size());
        for (size_t i = 0; i < block.size(); ++i) {
          round_levels(i, label, image_.data());
          scores[block[i]].error =
              root_mean_square_difference(images.image(first + block[i]), image_.data(), model_.shape.size());
        }
        find_nats(label, block, scores);
      });
    }

    void decode(const double* codes, const int32_t* labels, int64_t rows, Batch& batch) override {
      const bool has_labels = !model_.label_names.empty();
      if (has_labels) std::copy_n(labels, rows, static_cast<int32_t*>(batch.buffer(0).values));
      for_blocks(has_labels ? labels : nullptr, rows, [&](size_t label, std::span<const int64_t> block) {
        for (size_t i = 0; i < block.size(); ++i)
          std::copy_n(codes + block[i] * model_.components, components_, &code_[i * components_]);
        decode_block(label, block.size());
        for (size_t i = 0; i < block.size(); ++i)
          round_levels(i, label, batch.images() + block[i] * model_.shape.size());
      });
    }

   private:
    const int32_t* labels_of(const Images& images, int64_t first) const {
      return model_.label_names.empty() ? nullptr : images.labels.data() + first;
    }

    // Calls take(label, rows) for at most kProductRows of a label's rows at a time.
    template <class Take>
    void for_blocks(const int32_t* labels, int64_t rows, const Take& take) {
      order_.resize(static_cast<size_t>(rows));
      std::iota(order_.begin(), order_.end(), 0);
      const auto label_of = [&](int64_t row) { return labels == nullptr ? 0 : labels[row]; };
      std::stable_sort(order_.begin(), order_.end(), [&](int64_t a, int64_t b) { return label_of(a) < label_of(b); });
      for (size_t begin = 0; begin < order_.size();) {
        const int32_t label = label_of(order_[begin]);
        size_t end = begin + 1;
        while (end < order_.size() && end < begin + kProductRows && label_of(order_[end]) == label) ++end;
        take(static_cast<size_t>(label), std::span(order_).subspan(begin, end - begin));
        begin = end;
      }
    }

    const float* mean_of(size_t label) const {
      return model_.mean.data() + label * static_cast<size_t>(model_.shape.size());
    }
    const float* factor_of(size_t label) const {
      return model_.factor.data() + label * static_cast<size_t>(model_.shape.size() * model_.components);
    }
    const double* deviation_of(size_t label) const {
      return deviation_.data() + label * static_cast<size_t>(model_.components);
    }

    // from_mean_ and code_ of a block: z_k = sum_j factor_jk (x_j - mean_j) / deviation_k.
    void encode_block(const Images& images, int64_t first, size_t label, std::span<const int64_t> block) {
      const float* mean = mean_of(label);
      for (size_t i = 0; i < block.size(); ++i) {
        const uint8_t* image = images.image(first + block[i]);
        double* from_mean = &from_mean_[i * levels_];
        for (size_t j = 0; j < levels_; ++j)
          from_mean[j] = static_cast<double>(image[j]) - static_cast<double>(mean[j]);
      }
      products_->multiply(static_cast<int64_t>(label), from_mean_.data(), static_cast<int64_t>(block.size()),
                          code_.data());
      divide_by_deviations(label, block.size(), code_.data());
    }

    void divide_by_deviations(size_t label, size_t rows, double* values) const {
      const double* deviation = deviation_of(label);
      for (size_t i = 0; i < rows; ++i, values += components_)
        for (size_t k = 0; k < components_; ++k) values[k] = deviation[k] > 0 ? values[k] / deviation[k] : 0;
    }

    // around_mean_ of code_.
    void decode_block(size_t label, size_t rows) {
      std::copy_n(code_.data(), rows * components_, projected_.data());
      divide_by_deviations(label, rows, projected_.data());
      products_->multiply_transposed(static_cast<int64_t>(label), projected_.data(), static_cast<int64_t>(rows),
                                     around_mean_.data());
    }

    // Of the i-th row of a block that was decoded.
    void round_levels(size_t i, size_t label, uint8_t* to) const {
      const float* mean = mean_of(label);
      for (size_t j = 0; j < levels_; ++j) {
        const double level = static_cast<double>(mean[j]) + around_mean_[i * levels_ + j];
        to[j] = static_cast<uint8_t>(std::nearbyint(std::clamp(level, 0.0, 255.0)));
      }
    }

    const LabelDensity& density_of(size_t label) {
      LabelDensity& density = density_[label];
      if (!density.precision.empty()) return density;
      const auto levels = static_cast<size_t>(model_.shape.size()), components = static_cast<size_t>(model_.components);
      const float* residual = model_.residual.data() + label * levels;
      double log_determinant = 0;
      for (size_t j = 0; j < levels; ++j) {
        const double variance =
            std::max(static_cast<double>(residual[j]) * static_cast<double>(residual[j]), kRounding);
        density.precision.push_back(1 / variance);
        log_determinant += std::log(variance);
      }
      std::vector<double> plain(levels * components), weighted(levels * components);
      for (size_t j = 0; j < levels; ++j)
        for (size_t k = 0; k < components; ++k) {
          plain[j * components + k] = static_cast<double>(factor_of(label)[j * components + k]);
          weighted[j * components + k] = density.precision[j] * plain[j * components + k];
        }
      density.inner.resize(components * components);
      for (size_t k = 0; k < components; ++k) density.inner[k * (components + 1)] = 1;
      cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(components), static_cast<int>(components),
                  static_cast<int>(levels), 1, weighted.data(), static_cast<int>(components), plain.data(),
                  static_cast<int>(components), 1, density.inner.data(), static_cast<int>(components));
      if (!factorise(density.inner, components)) throw Error("a covariance of images is not positive definite");
      for (size_t k = 0; k < components; ++k) log_determinant += 2 * std::log(density.inner[k * (components + 1)]);
      density.constant = 0.5 * (log_determinant + static_cast<double>(levels) * std::log(2 * std::numbers::pi));
      return density;
    }

    // Of a block that was encoded. With d = x - mean and b = factor^T noise^-1 d the exponent is
    // d^T noise^-1 d - b^T inner^-1 b.
    void find_nats(size_t label, std::span<const int64_t> block, ImageScore* scores) {
      const LabelDensity& density = density_of(label);
      std::vector<double>& weighted = around_mean_;
      for (size_t i = 0; i < block.size(); ++i) {
        double square = 0;
        for (size_t j = 0; j < levels_; ++j) {
          const double from_mean = from_mean_[i * levels_ + j];
          weighted[i * levels_ + j] = density.precision[j] * from_mean;
          square += weighted[i * levels_ + j] * from_mean;
        }
        scores[block[i]].nats = density.constant + 0.5 * square;
      }
      products_->multiply(static_cast<int64_t>(label), weighted.data(), static_cast<int64_t>(block.size()),
                          projected_.data());
      for (size_t i = 0; i < block.size(); ++i) {
        const std::span along(&projected_[i * components_], components_);
        cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, static_cast<int>(components_),
                    density.inner.data(), static_cast<int>(components_), along.data(), 1);
        double explained = 0;
        for (const double length : along) explained += length * length;
        scores[block[i]].nats -= 0.5 * explained;
      }
    }

    const ImageGaussians& model_;
    const std::vector<double>& deviation_;  // [labels, components]
    size_t levels_, components_;
    std::unique_ptr<PreparedProducts> products_;  // of the labels' factors
    std::vector<LabelDensity> density_;           // [labels] made when asked for
    std::vector<int64_t> order_;
    // Of a block of one label's rows.
    std::vector<double> from_mean_, around_mean_;  // [kProductRows, levels]
    std::vector<double> code_, projected_;         // [kProductRows, components]
    std::vector<uint8_t> image_;
  };

  std::shared_ptr<const ImageGaussians> model_;
  const Backend& backend_;
  OutputSchema rows_;
  TableSchema schema_;
  std::vector<double> deviation_;
};

}  // namespace

std::shared_ptr<const Coder> make_image_pca_coder(std::shared_ptr<const ImageGaussians> model, const Backend& backend) {
  if (model->components == 0)
    throw UsageError("the model has no components, and so no codes: fit it with --components");
  return std::make_shared<ImagePcaCoder>(std::move(model), backend);
}

}  // namespace doppel
