#include "engine/models/image_pca_coder.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <numbers>
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
  explicit ImagePcaCoder(std::shared_ptr<const ImageGaussians> model)
      : model_(std::move(model)), rows_(make_image_schema(model_->shape, model_->label_names)) {
    for (const OutputColumn& column : rows_.columns) schema_.columns.push_back(column.schema);
    for (const double variance : model_->eigenvalues) deviation_.push_back(std::sqrt(std::max(variance, 0.0)));
  }
  int64_t width() const override { return model_->components; }
  Storage storage() const override { return Storage::kFloat32; }
  const TableSchema& schema() const override { return schema_; }
  const OutputSchema& rows() const override { return rows_; }
  int64_t worker_bytes() const override {
    const int64_t levels = model_->shape.size(), components = model_->components;
    return static_cast<int64_t>(sizeof(double)) *
           (model_->labels * (levels + components * components) + 2 * levels * components);
  }
  std::unique_ptr<CoderWorker> make_worker() const override { return std::make_unique<Worker>(*this); }

 private:
  class Worker : public CoderWorker {
   public:
    explicit Worker(const ImagePcaCoder& all)
        : model_(*all.model_),
          deviation_(all.deviation_),
          density_(static_cast<size_t>(model_.labels)),
          scaled_(static_cast<size_t>(model_.components)),
          levels_(static_cast<size_t>(model_.shape.size())) {}

    void encode(const Images& images, int64_t first, int64_t rows, double* codes) override {
      for (int64_t row = 0; row < rows; ++row)
        encode_image(images.image(first + row), label_of(images.labels, first + row), codes + row * model_.components);
    }

    void score(const Images& images, int64_t first, int64_t rows, ImageScore* scores) override {
      std::vector<double> code(static_cast<size_t>(model_.components));
      for (int64_t row = 0; row < rows; ++row) {
        const uint8_t* image = images.image(first + row);
        const size_t label = label_of(images.labels, first + row);
        encode_image(image, label, code.data());
        decode_image(code.data(), label, levels_.data());
        scores[row] = {nats(image, label), root_mean_square_difference(image, levels_.data(), model_.shape.size())};
      }
    }

    void decode(const double* codes, const int32_t* labels, int64_t rows, Batch& batch) override {
      for (int64_t row = 0; row < rows; ++row) {
        const size_t label = model_.label_names.empty() ? 0 : static_cast<size_t>(labels[row]);
        decode_image(codes + row * model_.components, label, batch.images() + row * model_.shape.size());
        if (!model_.label_names.empty()) static_cast<int32_t*>(batch.buffer(0).values)[row] = labels[row];
      }
    }

   private:
    size_t label_of(const std::vector<int32_t>& labels, int64_t image) const {
      return model_.label_names.empty() ? 0 : static_cast<size_t>(labels[static_cast<size_t>(image)]);
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

    // z_k = sum_j factor_jk (x_j - mean_j) / deviation_k.
    void encode_image(const uint8_t* image, size_t label, double* code) const {
      const auto components = static_cast<size_t>(model_.components);
      const float *mean = mean_of(label), *factor = factor_of(label);
      std::fill_n(code, components, 0.0);
      for (int64_t j = 0; j < model_.shape.size(); ++j, factor += components) {
        const double from_mean = static_cast<double>(image[j]) - static_cast<double>(mean[j]);
        for (size_t k = 0; k < components; ++k) code[k] += static_cast<double>(factor[k]) * from_mean;
      }
      const double* deviation = deviation_of(label);
      for (size_t k = 0; k < components; ++k) code[k] = deviation[k] > 0 ? code[k] / deviation[k] : 0;
    }

    void decode_image(const double* code, size_t label, uint8_t* levels) {
      const auto components = static_cast<size_t>(model_.components);
      const float *mean = mean_of(label), *factor = factor_of(label);
      const double* deviation = deviation_of(label);
      for (size_t k = 0; k < components; ++k) scaled_[k] = deviation[k] > 0 ? code[k] / deviation[k] : 0;
      for (int64_t j = 0; j < model_.shape.size(); ++j, factor += components) {
        auto level = static_cast<double>(mean[j]);
        for (size_t k = 0; k < components; ++k) level += static_cast<double>(factor[k]) * scaled_[k];
        levels[j] = static_cast<uint8_t>(std::nearbyint(std::clamp(level, 0.0, 255.0)));
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

    // With d = x - mean and b = factor^T noise^-1 d the exponent is d^T noise^-1 d - b^T inner^-1 b.
    double nats(const uint8_t* image, size_t label) {
      const LabelDensity& density = density_of(label);
      const auto components = static_cast<size_t>(model_.components);
      const float *mean = mean_of(label), *factor = factor_of(label);
      std::fill(scaled_.begin(), scaled_.end(), 0.0);
      double square = 0;
      for (int64_t j = 0; j < model_.shape.size(); ++j, factor += components) {
        const double from_mean = static_cast<double>(image[j]) - static_cast<double>(mean[j]);
        const double weighted = density.precision[static_cast<size_t>(j)] * from_mean;
        square += weighted * from_mean;
        for (size_t k = 0; k < components; ++k) scaled_[k] += static_cast<double>(factor[k]) * weighted;
      }
      cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, static_cast<int>(components),
                  density.inner.data(), static_cast<int>(components), scaled_.data(), 1);
      for (const double along : scaled_) square -= along * along;
      return density.constant + 0.5 * square;
    }

    const ImageGaussians& model_;
    const std::vector<double>& deviation_;  // [labels, components]
    std::vector<LabelDensity> density_;     // [labels] made when asked for
    std::vector<double> scaled_;            // [components] of one image
    std::vector<uint8_t> levels_;
  };

  std::shared_ptr<const ImageGaussians> model_;
  OutputSchema rows_;
  TableSchema schema_;
  std::vector<double> deviation_;
};

}  // namespace

std::shared_ptr<const Coder> make_image_pca_coder(std::shared_ptr<const ImageGaussians> model) {
  if (model->components == 0)
    throw UsageError("the model has no components, and so no codes: fit it with --components");
  return std::make_shared<ImagePcaCoder>(std::move(model));
}

}  // namespace doppel
