#include "engine/models/pca/pca_coder.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "engine/density.h"
#include "engine/models/mixture/mixture_view.h"
#include "engine/models/score_axis.h"
#include "engine/models/triangular.h"
#include "engine/put_value.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kBlockRows = 4 * kProductRows;
constexpr int64_t kMostPatternBytes = 32 << 20;  // of what rows that lack the same latents share

// E[z | low <= z < high].
double mean_score(double low, double high) {
  const double boundaries[] = {low, high};
  return mean_scores(boundaries)[0];
}

// A column that has values, or gaps that follow a latent.
struct CodedColumn {
  int32_t column = 0;               // of the table
  int32_t latent = -1;              // -1: it has but one value, or none that codes say of
  std::vector<double> level_score;  // [levels] of categories; NaN: never seen
  int32_t gap_latent = -1;
  double missing_score = 0, present_score = 0;
};

class PcaCoder : public Coder {
 public:
  PcaCoder(std::shared_ptr<const TableRecipe> recipe, std::vector<double> vectors, std::vector<double> eigenvalues,
           int64_t components, const Backend& backend)
      : recipe_(std::move(recipe)),
        backend_(backend),
        vectors_(std::move(vectors)),
        components_(static_cast<size_t>(components)) {
    latents_ = eigenvalues.size();
    if (latents_ != static_cast<size_t>(recipe_->sampler.latents))
      throw InputError("model file: its components are of another number of latents than its columns");
    add_columns();
    for (size_t j = 0; j < latents_; ++j) {
      double explained = 0;
      for (size_t k = 0; k < components_; ++k) {
        const double weight = vectors_[j * components_ + k] * std::sqrt(std::max(eigenvalues[k], 0.0));
        factor_.push_back(weight);
        explained += weight * weight;
      }
      noise_.push_back(std::max(1 - explained, kLeastNoise));
      if (!std::isfinite(explained)) throw InputError("model file: a component is not finite");
    }
  }
  int64_t width() const override { return static_cast<int64_t>(components_); }
  Storage storage() const override { return Storage::kFloat64; }
  const TableSchema& schema() const override { return recipe_->schema; }
  const OutputSchema& rows() const override { return rows_; }
  int64_t worker_bytes() const override {
    return kMostPatternBytes +
           static_cast<int64_t>(sizeof(double) * (components_ * components_ + (kBlockRows + kProductRows) * latents_));
  }
  std::unique_ptr<CoderWorker> make_worker() const override;

 private:
  class Worker;

  void add_columns() {
    const TableSampler& sampler = recipe_->sampler;
    plain_ = sampler.columns;
    std::vector<bool> is_taken(latents_);
    for (size_t i = 0; i < plain_.size(); ++i) {
      ColumnSampler& column = plain_[i];
      const ColumnSchema& schema = recipe_->schema.columns[static_cast<size_t>(recipe_->sampled[i])];
      CodedColumn coded;
      coded.column = recipe_->sampled[i];
      if (column.missing_latent >= 0) {
        coded.gap_latent = column.missing_latent;
        coded.missing_score = mean_score(-kInfinity, static_cast<double>(column.missing_threshold));
        coded.present_score = mean_score(static_cast<double>(column.missing_threshold), kInfinity);
        column.missing_latent = -1;
      }
      // A column of one value takes latent 0 without having it.
      const auto latent = static_cast<size_t>(column.latent);
      if ((is_numeric(schema.kind) || is_discrete(schema.kind)) && !is_taken[latent]) {
        coded.latent = column.latent;
        is_taken[latent] = true;
        if (is_discrete(schema.kind)) coded.level_score = score_levels(column, schema.levels.size());
      }
      columns_.push_back(std::move(coded));
      if (has_values(schema.kind)) {
        rows_.columns.push_back({schema, column.storage, nullptr});
        decoded_.push_back(i);
        if (columns_.back().gap_latent < 0) rows_.columns.back().schema.has_missing = false;
      }
    }
    for (const ColumnSampler& column : plain_) {
      const bool has_segments = column.transform == Transform::kSegments && !column.lower.empty();
      axes_.push_back(has_segments ? std::optional<MixtureColumn>(column) : std::nullopt);
    }
  }

  static std::vector<double> score_levels(const ColumnSampler& column, size_t levels) {
    std::vector<double> scores(levels, std::nan(""));
    for (size_t segment = 0; segment < column.base.size(); ++segment) {
      const double low = segment > 0 ? static_cast<double>(column.lower[segment]) : -kInfinity;
      const double high =
          segment + 1 < column.lower.size() ? static_cast<double>(column.lower[segment + 1]) : kInfinity;
      scores.at(static_cast<size_t>(column.base[segment])) = mean_score(low, high);
    }
    return scores;
  }

  std::shared_ptr<const TableRecipe> recipe_;
  const Backend& backend_;
  std::vector<double> vectors_;  // [latents, components]
  std::vector<double> factor_;   // likewise, times the components' deviations
  std::vector<double> noise_;    // [latents] variances
  size_t components_, latents_ = 0;
  std::vector<CodedColumn> columns_;                // of the sampler
  std::vector<ColumnSampler> plain_;                // likewise, without gaps
  std::vector<std::optional<MixtureColumn>> axes_;  // likewise, of those that have segments
  OutputSchema rows_;
  std::vector<size_t> decoded_;  // [columns of rows_] number among columns_
};

class PcaCoder::Worker : public CoderWorker {
 public:
  explicit Worker(const PcaCoder& all)
      : all_(all),
        products_(all.backend_.prepare_products({all.vectors_.data(), nullptr, 1, static_cast<int64_t>(all.latents_),
                                                 static_cast<int64_t>(all.components_)})),
        block_(kBlockRows * all.latents_),
        known_(all.latents_),
        latent_(all.components_) {}

  void encode(const Table& table, std::span<const Knowledge> knowledge, int64_t first, int64_t rows,
              double* codes) override {
    for_blocks(rows, [&](int64_t begin, int64_t count) {
      for (int64_t row = 0; row < count; ++row) {
        scores_ = of_block(row);
        find_scores(table, knowledge, first + begin + row);
        if (std::find(known_.begin(), known_.end(), '\0') != known_.end()) complete_scores();
      }
      products_->multiply(0, block_.data(), count, codes + static_cast<size_t>(begin) * all_.components_);
    });
  }

  void decode(const double* codes, const int32_t*, int64_t rows, Batch& batch) override {
    for (size_t i = 0; i < all_.decoded_.size(); ++i)
      if (batch.buffer(i).validity != nullptr)
        std::memset(batch.buffer(i).validity, 0, static_cast<size_t>(rows + 7) / 8);
    for_blocks(rows, [&](int64_t begin, int64_t count) {
      products_->multiply_transposed(0, codes + static_cast<size_t>(begin) * all_.components_, count, block_.data());
      for (int64_t row = 0; row < count; ++row) {
        scores_ = of_block(row);
        for (size_t i = 0; i < all_.decoded_.size(); ++i) put_value(i, begin + row, batch);
      }
    });
  }

 private:
  // Calls take(first, count) for blocks of rows.
  template <class Take>
  static void for_blocks(int64_t rows, const Take& take) {
    for (int64_t first = 0; first < rows; first += kBlockRows) take(first, std::min(kBlockRows, rows - first));
  }
  std::span<double> of_block(int64_t row) {
    return std::span(block_).subspan(static_cast<size_t>(row) * all_.latents_, all_.latents_);
  }

  // The latents that a row has.
  void find_scores(const Table& table, std::span<const Knowledge> knowledge, int64_t row) {
    std::fill(known_.begin(), known_.end(), '\0');
    for (size_t i = 0; i < all_.columns_.size(); ++i) {
      const CodedColumn& coded = all_.columns_[i];
      if (knowledge[static_cast<size_t>(coded.column)] == Knowledge::kNone) continue;
      const Column& column = table.columns[static_cast<size_t>(coded.column)];
      const bool is_missing = column.is_missing(row);
      if (coded.gap_latent >= 0) know(coded.gap_latent, is_missing ? coded.missing_score : coded.present_score);
      if (coded.latent >= 0 && !is_missing) know(coded.latent, score_of(i, column, row));
    }
    for (size_t j = 0; j < known_.size(); ++j)
      if (known_[j] == '\0') scores_[j] = 0;
  }

  void know(int32_t latent, double score) {
    if (std::isnan(score)) return;
    scores_[static_cast<size_t>(latent)] = score;
    known_[static_cast<size_t>(latent)] = '\1';
  }

  // NaN where the model has never seen the level.
  double score_of(size_t i, const Column& column, int64_t row) const {
    const CodedColumn& coded = all_.columns_[i];
    const SampledValue value = value_of(all_.recipe_->schema.columns[static_cast<size_t>(coded.column)], column, row);
    if (!coded.level_score.empty())
      return value.integer == kUnseenCode ? std::nan("") : coded.level_score[static_cast<size_t>(value.integer)];
    if (all_.axes_[i]) return all_.axes_[i]->score_of(value);
    const ColumnSampler& sampler = all_.plain_[i];
    const double number = is_integer(sampler.storage) ? static_cast<double>(value.integer) : value.real;
    return sampler.deviation > 0 ? (number - sampler.mean) / sampler.deviation : 0;
  }

  // E[s | those known]: with s = F e + noise, e given them has mean A^-1 F_K^T noise_K^-1 s_K, A = I + F_K^T noise_K^-1
  // F_K.
  void complete_scores() {
    const size_t n = all_.components_;
    const std::vector<double>& lower = find_pattern();
    std::fill(latent_.begin(), latent_.end(), 0.0);
    for (size_t j = 0; j < all_.latents_; ++j)
      if (known_[j] != '\0')
        for (size_t k = 0; k < n; ++k) latent_[k] += all_.factor_[j * n + k] * (scores_[j] / all_.noise_[j]);
    for (const CBLAS_TRANSPOSE side : {CblasNoTrans, CblasTrans})
      cblas_dtrsv(CblasRowMajor, CblasLower, side, CblasNonUnit, static_cast<int>(n), lower.data(), static_cast<int>(n),
                  latent_.data(), 1);
    for (size_t j = 0; j < all_.latents_; ++j)
      if (known_[j] == '\0')
        scores_[j] = cblas_ddot(static_cast<int>(n), all_.factor_.data() + j * n, 1, latent_.data(), 1);
  }

  // The Cholesky factor of A.
  const std::vector<double>& find_pattern() {
    if (const auto found = patterns_.find(known_); found != patterns_.end()) return found->second;
    const size_t n = all_.components_, bytes = n * n * sizeof(double) + known_.size();
    if (static_cast<int64_t>((patterns_.size() + 1) * bytes) > kMostPatternBytes) patterns_.clear();
    std::vector<double> known_factor, weighted;
    for (size_t j = 0; j < all_.latents_; ++j) {
      if (known_[j] == '\0') continue;
      for (size_t k = 0; k < n; ++k) {
        known_factor.push_back(all_.factor_[j * n + k]);
        weighted.push_back(all_.factor_[j * n + k] / all_.noise_[j]);
      }
    }
    std::vector<double> matrix(n * n);
    for (size_t k = 0; k < n; ++k) matrix[k * (n + 1)] = 1;
    if (!weighted.empty())
      cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(n), static_cast<int>(n),
                  static_cast<int>(weighted.size() / n), 1, weighted.data(), static_cast<int>(n), known_factor.data(),
                  static_cast<int>(n), 1, matrix.data(), static_cast<int>(n));
    if (!factorise(matrix, n)) throw Error("a covariance of the model's latents is not positive definite");
    return patterns_.emplace(known_, std::move(matrix)).first->second;
  }

  void put_value(size_t i, int64_t row, Batch& batch) const {
    const size_t at = all_.decoded_[i];
    const CodedColumn& coded = all_.columns_[at];
    const ColumnSampler& sampler = all_.plain_[at];
    SampledValue value;
    value.is_missing = coded.gap_latent >= 0 &&
                       scores_[static_cast<size_t>(coded.gap_latent)] < static_cast<double>(sampler.missing_threshold);
    if (!value.is_missing) {
      const double score = coded.latent >= 0 ? scores_[static_cast<size_t>(coded.latent)] : 0;
      value = all_.axes_[at] ? all_.axes_[at]->value_at(static_cast<float>(score)) : linear_value(sampler, score);
    }
    doppel::put_value(all_.rows_.columns[i], batch.buffer(i), row, value);
  }

  static SampledValue linear_value(const ColumnSampler& column, double score) {
    const double number = std::clamp(column.mean + column.deviation * score, column.minimum, column.maximum);
    SampledValue value;
    if (is_integer(column.storage))
      value.integer = static_cast<int64_t>(std::nearbyint(number));
    else
      value.real = number;
    return value;
  }

  const PcaCoder& all_;
  std::unique_ptr<PreparedProducts> products_;                 // of the vectors
  std::vector<double> block_;                                  // [kBlockRows, latents]
  std::span<double> scores_;                                   // [latents] of a row of it
  std::vector<char> known_;                                    // likewise
  std::vector<double> latent_;                                 // [components]
  std::map<std::vector<char>, std::vector<double>> patterns_;  // by the latents known
};

std::unique_ptr<CoderWorker> PcaCoder::make_worker() const {
  return std::make_unique<Worker>(*this);
}

}  // namespace

std::shared_ptr<const Coder> make_pca_coder(std::shared_ptr<const TableRecipe> recipe, std::vector<double> vectors,
                                            std::vector<double> eigenvalues, int64_t components,
                                            const Backend& backend) {
  if (components == 0) throw UsageError("the model has no components, and so no codes: no column of its table varies");
  return std::make_shared<PcaCoder>(std::move(recipe), std::move(vectors), std::move(eigenvalues), components, backend);
}

}  // namespace doppel
