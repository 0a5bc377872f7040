#include "kernels/cuda/device_group.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <string>

#include "kernels/common/error.h"
#include "kernels/common/mixture.h"
#include "kernels/common/nearest.h"

namespace doppel::cuda {
namespace {

// A contiguous part of rows, the k-th of `parts` nearly equal ones.
struct Part {
  int64_t first, rows;
};
Part part_of(int64_t rows, size_t k, size_t parts) {
  const auto boundary = [&](size_t i) { return rows * static_cast<int64_t>(i) / static_cast<int64_t>(parts); };
  return {boundary(k), boundary(k + 1) - boundary(k)};
}

class DeviceGroup : public Backend {
 public:
  explicit DeviceGroup(std::vector<GroupedDevice> devices) : devices_(std::move(devices)) {}

  // "cuda:0,1 (2 x NVIDIA H100 80GB HBM3)", or with the name of each.
  std::string description() const override {
    std::string numbers, names;
    for (const GroupedDevice& device : devices_) {
      numbers.append(numbers.empty() ? "" : ",").append(std::to_string(device.number));
      names.append(names.empty() ? "" : ", ").append(device.name);
    }
    const std::string several = std::to_string(devices_.size()) + " x " + devices_.front().name;
    return "cuda:" + numbers + " (" + (unlike() == nullptr ? several : names) + ")";
  }

  std::unique_ptr<PreparedTableSampler> prepare_table_sampler(const TableSampler& sampler) const override {
    return next().prepare_table_sampler(sampler);
  }
  std::unique_ptr<PreparedTableSampler> prepare_table_decoder(const TableDecoder& decoder) const override {
    return next().prepare_table_decoder(decoder);
  }
  std::unique_ptr<PreparedTableSampler> prepare_bounded_sampler(const BoundedSampler& sampler) const override {
    return next().prepare_bounded_sampler(sampler);
  }
  std::unique_ptr<PreparedImageSampler> prepare_image_sampler(const ImageSampler& sampler) const override {
    check_alike();
    return next().prepare_image_sampler(sampler);
  }
  std::unique_ptr<PreparedNetwork> prepare_network(const TrainedNetwork& network, Precision precision,
                                                   int64_t block_rows) const override {
    check_alike();
    return next().prepare_network(network, precision, block_rows);
  }
  std::unique_ptr<PreparedTrainer> prepare_trainer(const TrainableNetwork& network, int64_t batch_rows) const override {
    return first().prepare_trainer(network, batch_rows);
  }
  void accumulate_co_moments(const MaskedMatrix& values, CoMoments& moments) const override {
    first().accumulate_co_moments(values, moments);
  }
  SymmetricEigen symmetric_eigen(std::span<const double> matrix, int64_t order) const override {
    return first().symmetric_eigen(matrix, order);
  }
  std::unique_ptr<PreparedPositions<int64_t>> prepare_positions(std::span<const int64_t> sorted) const override {
    return next().prepare_positions(sorted);
  }
  std::unique_ptr<PreparedPositions<double>> prepare_positions(std::span<const double> sorted) const override {
    return next().prepare_positions(sorted);
  }
  // Sums are by the order of rows.
  std::unique_ptr<PreparedMixtureRows> prepare_mixture_rows(const MixtureRows& rows, int32_t variables,
                                                            int32_t latents) const override {
    return first().prepare_mixture_rows(rows, variables, latents);
  }
  std::unique_ptr<PreparedFactorRows> prepare_factor_rows(const MixtureRows& rows, int32_t variables,
                                                          int32_t latents) const override {
    return first().prepare_factor_rows(rows, variables, latents);
  }
  std::unique_ptr<PreparedScores> prepare_scores(const MixtureScores& mixture) const override {
    return next().prepare_scores(mixture);
  }
  void sort_ascending(std::span<int64_t> values) const override { next().sort_ascending(values); }
  std::unique_ptr<PreparedPairCounts> prepare_pair_counts(const CodedColumns& columns) const override {
    return next().prepare_pair_counts(columns);
  }
  std::unique_ptr<PreparedProducts> prepare_products(const ProductMatrices& matrices) const override {
    check_alike();
    return next().prepare_products(matrices);
  }
  std::vector<float> nearest_distances(const Points& queries, const Points& references) const override {
    check_nearest(queries, references);
    const auto parts = on_each_device<std::vector<float>>(queries.rows, [&](const Backend& device, Part part) {
      return device.nearest_distances({part.rows, queries.columns,
                                       queries.values.subspan(static_cast<size_t>(part.first * queries.columns),
                                                              static_cast<size_t>(part.rows * queries.columns))},
                                      references);
    });
    std::vector<float> distances;
    for (const std::vector<float>& part : parts) distances.insert(distances.end(), part.begin(), part.end());
    return distances;
  }

 private:
  const Backend& first() const { return *devices_.front().backend; }
  const Backend& next() const { return *devices_[turn_++ % devices_.size()].backend; }
  const GroupedDevice* unlike() const {  // a device of another kind than the first
    const auto found = std::find_if(devices_.begin(), devices_.end(),
                                    [&](const GroupedDevice& device) { return device.name != devices_.front().name; });
    return found == devices_.end() ? nullptr : &*found;
  }
  void check_alike() const {
    const GroupedDevice* other = unlike();
    if (other == nullptr) return;
    const GroupedDevice& one = devices_.front();
    throw UsageError("cuda:" + std::to_string(one.number) + " (" + one.name +
                     ") and cuda:" + std::to_string(other->number) + " (" + other->name +
                     ") are of two kinds, which round a network's sums differently: name devices of one kind");
  }

  // What take(device, part) gives for each device's part of rows, in the order of rows. Throws what the first of them
  // threw, after all have ended.
  template <class Result, class Take>
  std::vector<Result> on_each_device(int64_t rows, const Take& take) const {
    std::vector<std::future<Result>> running;
    for (size_t k = 1; k < devices_.size(); ++k)
      running.push_back(std::async(std::launch::async,
                                   [&, k] { return take(*devices_[k].backend, part_of(rows, k, devices_.size())); }));
    std::vector<Result> results;
    results.push_back(take(first(), part_of(rows, 0, devices_.size())));
    for (std::future<Result>& result : running) results.push_back(result.get());
    return results;
  }

  std::vector<GroupedDevice> devices_;
  mutable std::atomic<size_t> turn_{0};
};

}  // namespace

std::unique_ptr<Backend> make_device_group(std::vector<GroupedDevice> devices) {
  return std::make_unique<DeviceGroup>(std::move(devices));
}

}  // namespace doppel::cuda
