// The tables that the CUDA samplers read, as one upload: what is prepared for the CPU (kernels/cpu/sample_table.h),
// rearranged.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/sample_table.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/sample_table.h"

namespace doppel::cuda {

// Bytes to upload; each table begins at a multiple of 16.
class Blob {
 public:
  template <class T>
  size_t put(const std::vector<T>& values) {
    const size_t offset = bytes_.size();
    bytes_.resize(offset + (values.size() * sizeof(T) + 15) / 16 * 16);
    if (!values.empty()) std::memcpy(bytes_.data() + offset, values.data(), values.size() * sizeof(T));
    return offset;
  }
  template <class T>
  uint32_t offset_of(const std::vector<T>& values) {  // whose range `upload` checks
    return static_cast<uint32_t>(put(values));
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// Throws Error for more bytes than offsets reach. Returns when they are there.
DeviceBuffer<std::byte> upload(const Blob& blob, cudaStream_t stream);

// ---- columns

// But for their scores, which a group or the whole row numbers, and their places in the output.
std::vector<SampleColumn> make_columns(Blob& blob, const PreparedTable& table);

struct ColumnTables {
  size_t column = 0;       // where the columns lie
  uint32_t row_bytes = 0;  // of a row's values
  int32_t bitmaps = 0;
};
ColumnTables put_columns(Blob& blob, std::vector<SampleColumn> columns);
// Of columns whose scores and missing scores are latents, all of which are there.
ColumnTables put_columns_of_latents(Blob& blob, const TableSampler& sampler, const PreparedTable& table);
// But for the output and the rows.
ColumnArguments column_arguments(const ColumnTables& tables, std::byte* uploaded);

// ---- scores

// The columns in their order, and for each group of them the latents that they need: at most eight, a column's two in
// one group. A latent that columns of several groups share is computed in each.
struct GroupPlan {
  int32_t first_column = 0, columns = 0;
  std::vector<int32_t> latents;

  size_t missing(int32_t first, int32_t second) const {  // how many of the two would have to be added
    const auto absent = [this](int32_t latent) {
      return latent >= 0 && std::find(latents.begin(), latents.end(), latent) == latents.end();
    };
    return static_cast<size_t>(absent(first)) + static_cast<size_t>(second != first && absent(second));
  }
  int8_t score_of(int32_t latent) {  // -1: none
    if (latent < 0) return -1;
    auto found = std::find(latents.begin(), latents.end(), latent);
    if (found == latents.end()) found = latents.insert(latents.end(), latent);
    return static_cast<int8_t>(found - latents.begin());
  }
};

// Where in the upload a mixture's tables lie.
struct MixtureTables {
  size_t member = 0, member_pairs = 0, member_nodes = 0, entries = 0, variable = 0, sobol = 0;
  SampleMixture numbers{};  // but for the pointers
};

struct ScoreTables {
  int32_t groups = 0;
  size_t factor = 0, group = 0, noise = 0;
  MixtureTables mixture;
};
// All latents by eights, for no columns.
std::vector<GroupPlan> plan_latents(int32_t latents);
ScoreTables put_scores(Blob& blob, const TableSampler& sampler, const PreparedTable& table,
                       const std::vector<GroupPlan>& plans);

// But for seed, rows and scratch.
ScoreArguments score_arguments(const ScoreTables& tables, const TableSampler& sampler, std::byte* uploaded);

// What computes scores on one device: the arguments but for seed and rows, and how many blocks share the tiles.
struct Scorer {
  ScoreArguments arguments{};
  int blocks = 0;
  DeviceBuffer<float> scratch;
};
Scorer make_scorer(const ScoreTables& tables, const TableSampler& sampler, std::byte* uploaded, int multiprocessors,
                   cudaStream_t stream);

}  // namespace doppel::cuda
