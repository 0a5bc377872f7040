#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <utility>

#include "kernels/common/error.h"
#include "kernels/cpu/sample_table.h"

namespace doppel {
namespace {

constexpr size_t kMaximumBuckets = 4096;

int32_t bucket_of(const PreparedColumn& column, float z) {
  return static_cast<int32_t>(std::fma(z, column.bucket_scale, column.bucket_offset));
}

// Four buckets a segment, so that most hold no more than one boundary.
void prepare_search(const ColumnSampler& from, PreparedColumn& to) {
  const size_t buckets = std::min(kMaximumBuckets, std::bit_ceil(4 * from.lower.size()));
  to.bucket_scale = static_cast<float>(buckets) / (2 * kScoreLimit);
  to.bucket_offset = static_cast<float>(buckets) / 2;
  std::vector<int32_t> begun(buckets + 2, 0);  // segments that begin in bucket - 1
  for (float lower : from.lower) ++begun[static_cast<size_t>(bucket_of(to, lower)) + 1];
  const int32_t most = *std::max_element(begun.begin(), begun.end());
  to.first.resize(buckets + 1);
  int32_t before = 0;
  for (size_t bucket = 0; bucket <= buckets; ++bucket) {
    before += begun[bucket];
    to.first[bucket] = std::max(before - 1, 0);
  }
  while ((int32_t{1} << to.search_steps) <= most) ++to.search_steps;
  to.lower = from.lower;
  to.lower.resize(from.lower.size() + (size_t{1} << to.search_steps), std::numeric_limits<float>::infinity());
}

template <class To, class From>
std::vector<To> converted(const std::vector<From>& from) {
  std::vector<To> to(from.size());
  std::transform(from.begin(), from.end(), to.begin(), [](From value) { return static_cast<To>(value); });
  return to;
}

void prepare_segments(const ColumnSampler& from, PreparedColumn& to) {
  prepare_search(from, to);
  std::vector<int64_t> width_less_one = from.width;
  for (int64_t& width : width_less_one) --width;
  switch (from.storage) {
    case Storage::kInt32:
      to.base_i = converted<int32_t>(from.base);
      to.scale = converted<float>(from.scale);
      to.width_less_one = converted<float>(width_less_one);
      break;
    case Storage::kInt64:
      to.base_l = from.base;
      to.scale_d = from.scale;
      to.width_less_one_d = converted<double>(width_less_one);
      break;
    case Storage::kFloat32:
      to.base_f = converted<float>(from.real_base);
      to.top_f = converted<float>(from.real_top);
      to.slope_f = converted<float>(from.real_slope);
      break;
    case Storage::kFloat64:
      to.base_d = from.real_base;
      to.top_d = from.real_top;
      to.slope_d = from.real_slope;
      break;
  }
}

PreparedColumn prepare_column(const ColumnSampler& from) {
  PreparedColumn to;
  to.storage = from.storage;
  to.transform = from.transform;
  to.latent = from.latent;
  to.missing_latent = from.missing_latent;
  to.missing_threshold = from.missing_threshold;
  to.mean = from.mean;
  to.deviation = from.deviation;
  to.minimum = from.minimum;
  to.maximum = from.maximum;
  if (from.transform == Transform::kSegments) prepare_segments(from, to);
  return to;
}

// Latents first .. first + 3; those past the last have no weights.
LatentGroup prepare_group(const TableSampler& sampler, int32_t first) {
  LatentGroup group;
  const int32_t latents = std::min(4, sampler.latents - first);
  for (int32_t draw = 0; draw < sampler.components; ++draw) {
    LatentGroup::Term term{draw, {0, 0, 0, 0}};
    bool used = false;
    for (int32_t latent = 0; latent < latents; ++latent) {
      const size_t row = static_cast<size_t>(first + latent);
      term.weight[latent] = effective_weight(sampler.factor[row * static_cast<size_t>(sampler.components) + draw]);
      used = used || term.weight[latent] != 0;
    }
    if (used) group.terms.push_back(term);
  }
  return group;
}

}  // namespace

PreparedTable prepare_table(const TableSampler& sampler) {
  check_table_sampler(sampler);
  PreparedTable table;
  for (int32_t latent = 0; latent < sampler.latents; latent += 4)
    table.groups.push_back(prepare_group(sampler, latent));
  int32_t draws = sampler.components;
  for (int32_t latent = 0; latent < sampler.latents; ++latent) {
    LatentGroup& group = table.groups[latent / 4];
    group.residual[latent % 4] = effective_weight(sampler.residual[latent]);
    if (group.residual[latent % 4] > 0) group.residual_draw[latent % 4] = draws++;
  }
  table.blocks = (draws + 3) / 4;
  for (const ColumnSampler& column : sampler.columns) table.columns.push_back(prepare_column(column));
  // Normals and scores of a tile in the 32 KiB of an L1 cache, as far as 64 rows or more can be.
  const size_t bytes_per_row = sizeof(float) * 4 * (static_cast<size_t>(table.blocks) + table.groups.size());
  table.tile_rows = 256;
  while (table.tile_rows > 64 && static_cast<size_t>(table.tile_rows) * bytes_per_row > (32 << 10))
    table.tile_rows /= 2;
  return table;
}

TileScratch::TileScratch(const PreparedTable& table) : memory_(nullptr, [](std::byte* memory) { std::free(memory); }) {
  const size_t rows = static_cast<size_t>(table.tile_rows);
  const size_t normal_bytes = 16 * static_cast<size_t>(table.blocks) * rows;
  const size_t score_bytes = 16 * table.groups.size() * rows;
  const size_t bytes = normal_bytes + score_bytes + rows * (sizeof(int32_t) + sizeof(float) + sizeof(double));
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, bytes)));
  if (memory_ == nullptr) throw std::bad_alloc();
  std::byte* next = memory_.get();
  const auto take = [&next](size_t size) { return std::exchange(next, next + size); };
  normals = reinterpret_cast<float*>(take(normal_bytes));
  scores = reinterpret_cast<float*>(take(score_bytes));
  segments = reinterpret_cast<int32_t*>(take(rows * sizeof(int32_t)));
  offsets = reinterpret_cast<float*>(take(rows * sizeof(float)));
  values = take(rows * sizeof(double));
}

namespace {

class CpuTableSampler : public PreparedTableSampler {
 public:
  CpuTableSampler(const TableSampler& sampler, const InstructionSet& instructions)
      : table_(prepare_table(sampler)), scratch_(table_), sample_(instructions.sample) {}

  void sample(uint64_t seed, uint64_t first_row, int64_t rows, std::span<const ColumnBuffer> columns) override {
    if (columns.size() != table_.columns.size()) throw Error("table sampler: buffers and columns differ in number");
    for (size_t column = 0; column < columns.size(); ++column) {
      if (columns[column].values == nullptr && rows > 0) throw Error("table sampler: a column without a buffer");
      if (table_.columns[column].missing_latent >= 0 && columns[column].validity == nullptr)
        throw Error("table sampler: a column with missing values and no validity buffer");
    }
    sample_(table_, scratch_, seed, first_row, rows, columns);
  }

 private:
  PreparedTable table_;
  TileScratch scratch_;
  decltype(InstructionSet::sample) sample_;
};

}  // namespace

std::unique_ptr<PreparedTableSampler> prepare_cpu_table_sampler(const TableSampler& sampler,
                                                                const InstructionSet& instructions) {
  return std::make_unique<CpuTableSampler>(sampler, instructions);
}

}  // namespace doppel
