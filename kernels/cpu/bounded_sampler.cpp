#include "kernels/cpu/bounded_sampler.h"

#include <algorithm>

namespace doppel {
namespace {

std::vector<float> make_weights(const TableSampler& table, int32_t latent_vectors) {
  const int32_t latents = table.latents, components = table.components;
  std::vector<float> weights;
  const auto add = [&](int32_t first, auto weight_of) {
    for (int32_t l = first; l < first + kVectorLatents; ++l) weights.push_back(l < latents ? weight_of(l) : 0);
  };
  for (int64_t m = 0; m < table.members; ++m)
    for (int32_t first = 0; first < latent_vectors * kVectorLatents; first += kVectorLatents) {
      add(first, [&](int32_t l) { return table.mean[m * latents + l]; });
      for (int32_t k = 0; k < components; ++k)
        add(first, [&](int32_t l) { return table.factor[(m * latents + l) * components + k]; });
      add(first, [&](int32_t l) { return table.residual[m * latents + l]; });
    }
  return weights;
}

PreparedBounded prepare_bounded(const BoundedSampler& from) {
  const TableSampler& table = from.table;
  PreparedBounded sampler;
  sampler.records = make_bounded_records(from);
  sampler.table = prepare_table(table);
  sampler.latents = table.latents;
  sampler.latent_vectors = (table.latents + kVectorLatents - 1) / kVectorLatents;
  sampler.components = table.components;
  sampler.weights = make_weights(table, sampler.latent_vectors);
  for (const int32_t draw : residual_draws(table))
    sampler.noise.push_back(draw >= 0 ? static_cast<size_t>(draw) : 4 * size_t{sampler.records.numbers.words});
  return sampler;
}

class CpuBoundedSampler : public PreparedTableSampler {
 public:
  CpuBoundedSampler(const BoundedSampler& sampler, const InstructionSet& instructions)
      : sampler_(prepare_bounded(sampler)), scratch_(sampler_), sample_(instructions.bounded) {}

  void sample(uint64_t seed, uint64_t first_row, int64_t rows, std::span<const ColumnBuffer> columns) override {
    check_buffers(sampler_.table.columns, columns, rows);
    sample_(sampler_, scratch_, seed, first_row, rows, columns);
  }

 private:
  const PreparedBounded sampler_;
  BoundedScratch scratch_;
  decltype(InstructionSet::bounded) sample_;
};

}  // namespace

BoundedScratch::BoundedScratch(const PreparedBounded& sampler)
    : tile(sampler.table),
      normals(4 * size_t{sampler.records.numbers.words} + 1),
      bounded(static_cast<size_t>(std::max(sampler.records.most_bounds, 1))) {}

std::unique_ptr<PreparedTableSampler> prepare_bounded_sampler_on_cpu(const BoundedSampler& sampler,
                                                                     const InstructionSet& instructions) {
  return std::make_unique<CpuBoundedSampler>(sampler, instructions);
}

int64_t count_accepted_tries(const BoundedSampler& sampler, uint64_t seed, int64_t rows) {
  const BoundedRecords records = make_bounded_records(sampler);
  const BoundedTables tables = records.tables();
  std::vector<double> bounded(static_cast<size_t>(std::max(records.most_bounds, 1)));
  int64_t accepted = 0;
  for (uint64_t row = 0; row < static_cast<uint64_t>(rows); ++row) {
    const auto block_of = [&](uint32_t block, uint32_t* words) {
      std::ranges::copy(philox_words(seed, row, block, Stream::kWhere), words);
    };
    accepted += portable::try_cell(tables, block_of, 0, bounded.data(), 1).is_accepted;
  }
  return accepted;
}

}  // namespace doppel
