// A backend: one implementation of every numerical operation the engine uses.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/bounded_sampler.h"
#include "kernels/decoder.h"
#include "kernels/factor_mixture.h"
#include "kernels/image_sampler.h"
#include "kernels/mixture.h"
#include "kernels/nearest.h"
#include "kernels/network.h"
#include "kernels/pair_counts.h"
#include "kernels/positions.h"
#include "kernels/product.h"
#include "kernels/row_scores.h"
#include "kernels/statistics.h"
#include "kernels/table.h"
#include "kernels/trainer.h"

namespace doppel {

class Backend {
 public:
  virtual ~Backend() = default;
  // "cpu (AVX-512, 2 threads)" or "cuda:0 (NVIDIA H100 80GB HBM3)": said at start and in JSON reports.
  virtual std::string description() const = 0;
  virtual std::unique_ptr<PreparedTableSampler> prepare_table_sampler(const TableSampler& sampler) const = 0;
  virtual std::unique_ptr<PreparedTableSampler> prepare_table_decoder(const TableDecoder& decoder) const = 0;
  virtual std::unique_ptr<PreparedTableSampler> prepare_bounded_sampler(const BoundedSampler& sampler) const = 0;
  virtual std::unique_ptr<PreparedImageSampler> prepare_image_sampler(const ImageSampler& sampler) const = 0;
  // block_rows: how many rows it is mostly run with at a time. Both throw UsageError for a precision that this backend
  // has no fast instructions for.
  virtual std::unique_ptr<PreparedNetwork> prepare_network(const TrainedNetwork& network, Precision precision,
                                                           int64_t block_rows) const = 0;
  // Null where the caller's own layers (engine/nn) are what trains networks: on the CPU.
  virtual std::unique_ptr<PreparedTrainer> prepare_trainer(const TrainableNetwork& network,
                                                           int64_t batch_rows) const = 0;
  // Statistics (statistics.h).
  virtual void accumulate_co_moments(const MaskedMatrix& values, CoMoments& moments) const = 0;
  virtual SymmetricEigen symmetric_eigen(std::span<const double> matrix, int64_t order) const = 0;
  // Positions among sorted numbers (positions.h); the numbers must outlive what is prepared.
  virtual std::unique_ptr<PreparedPositions<int64_t>> prepare_positions(std::span<const int64_t> sorted) const = 0;
  virtual std::unique_ptr<PreparedPositions<double>> prepare_positions(std::span<const double> sorted) const = 0;
  // Learning a mixture (mixture.h, factor_mixture.h). The rows must outlive what is prepared.
  virtual std::unique_ptr<PreparedMixtureRows> prepare_mixture_rows(const MixtureRows& rows, int32_t variables,
                                                                    int32_t latents) const = 0;
  virtual std::unique_ptr<PreparedFactorRows> prepare_factor_rows(const MixtureRows& rows, int32_t variables,
                                                                  int32_t latents) const = 0;
  // Rows under a mixture (row_scores.h). Null where the caller's own loops (engine/models) score them: on the CPU, and
  // on CUDA where covariances of low rank have more than kMostFactors factors.
  virtual std::unique_ptr<PreparedScores> prepare_scores(const MixtureScores& mixture) const = 0;
  // Tables compared by column and pair (pair_counts.h); the codes must outlive what is prepared.
  virtual void sort_ascending(std::span<int64_t> values) const = 0;
  virtual std::unique_ptr<PreparedPairCounts> prepare_pair_counts(const CodedColumns& columns) const = 0;
  // Codes (product.h).
  virtual std::unique_ptr<PreparedProducts> prepare_products(const ProductMatrices& matrices) const = 0;
  // Nearest neighbours (nearest.h).
  virtual std::vector<float> nearest_distances(const Points& queries, const Points& references) const = 0;
};

// name: "auto", "cpu", "cuda", "cuda:N", "cuda:N,N" or "cuda:all" (several devices as one). Throws UsageError for a
// name it does not know, Error for a device that is not there. "auto" is the first CUDA device where this build has
// CUDA and one answers, otherwise the CPU.
std::unique_ptr<Backend> make_backend(const std::string& name);

}  // namespace doppel
