// The table sampler and the table decoder compiled for each instruction set, and the choice among them.
#include "kernels/cpu/sample_table.h"

#include <cstring>

#define DOPPEL_SIMD
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sample_table.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/highway_lanes-inl.h"
#include "kernels/cpu/plain_lanes.h"

#if DOPPEL_HAS_LANES  // the scalar path stands in for the others
#include "kernels/cpu/bounded_sampler-inl.h"
#include "kernels/cpu/decode_table-inl.h"
#endif

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {

#if DOPPEL_HAS_LANES
void sample(const PreparedTable& table, TileScratch& scratch, uint64_t seed, uint64_t first_row, int64_t rows,
            std::span<const ColumnBuffer> columns) {
  sample_rows<HighwayLanes, PlainCpuLanes>(table, scratch, seed, first_row, rows, columns);
}

void normals(uint64_t seed, uint64_t first_row, int64_t rows, int32_t blocks, float* out) {
  fill_normals<HighwayLanes, PlainCpuLanes>(seed, first_row, rows, blocks, out, rows);
}

void normals_of_row(uint64_t seed, uint64_t row, int64_t first_block, int64_t blocks, float* out) {
  fill_normals_of_row<HighwayLanes>(seed, row, first_block, blocks, out);
}

void decode(const PreparedDecoder& decoder, DecoderScratch& scratch, uint64_t seed, uint64_t first_row, int64_t rows,
            std::span<const ColumnBuffer> columns) {
  decode_rows<HighwayLanes, PlainCpuLanes>(decoder, scratch, seed, first_row, rows, columns);
}

void bounded(const PreparedBounded& sampler, BoundedScratch& scratch, uint64_t seed, uint64_t first_row, int64_t rows,
             std::span<const ColumnBuffer> columns) {
  bounded_rows<HighwayLanes>(sampler, scratch, seed, first_row, rows, columns);
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace doppel {
namespace {

std::vector<InstructionSet> find_instruction_sets() {
  [[maybe_unused]] const int64_t supported = hwy::SupportedTargets();
  std::vector<InstructionSet> sets;
#if HWY_TARGETS & HWY_AVX3
  if (supported & HWY_AVX3) sets.push_back({"AVX-512", N_AVX3::sample, N_AVX3::normals, N_AVX3::normals_of_row, N_AVX3::decode,
                                              N_AVX3::bounded});
#endif
#if HWY_TARGETS & HWY_AVX2
  if (supported & HWY_AVX2) sets.push_back({"AVX2", N_AVX2::sample, N_AVX2::normals, N_AVX2::normals_of_row, N_AVX2::decode,
                                              N_AVX2::bounded});
#endif
#if HWY_TARGETS & HWY_NEON
  if (supported & HWY_NEON) sets.push_back({"NEON", N_NEON::sample, N_NEON::normals, N_NEON::normals_of_row, N_NEON::decode,
                                              N_NEON::bounded});
#endif
  sets.push_back(kScalarInstructions);
  return sets;
}

}  // namespace

const std::vector<InstructionSet>& instruction_sets() {
  static const std::vector<InstructionSet> sets = find_instruction_sets();
  return sets;
}

}  // namespace doppel
#endif
