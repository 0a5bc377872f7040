#include <cstring>

#include "kernels/cpu/plain_lanes.h"
#include "kernels/cpu/bounded_sampler-inl.h"
#include "kernels/cpu/decode_table-inl.h"

namespace doppel {
namespace {

void sample(const PreparedTable& table, TileScratch& scratch, uint64_t seed, uint64_t first_row, int64_t rows,
            std::span<const ColumnBuffer> columns) {
  portable::sample_rows<PlainCpuLanes, PlainCpuLanes>(table, scratch, seed, first_row, rows, columns);
}

void normals(uint64_t seed, uint64_t first_row, int64_t rows, int32_t blocks, float* out) {
  portable::fill_normals<PlainCpuLanes, PlainCpuLanes>(seed, first_row, rows, blocks, out, rows);
}

void normals_of_row(uint64_t seed, uint64_t row, int64_t first_block, int64_t blocks, float* out) {
  portable::fill_normals_of_row<PlainCpuLanes>(seed, row, first_block, blocks, out);
}

void decode(const PreparedDecoder& decoder, DecoderScratch& scratch, uint64_t seed, uint64_t first_row, int64_t rows,
            std::span<const ColumnBuffer> columns) {
  portable::decode_rows<PlainCpuLanes, PlainCpuLanes>(decoder, scratch, seed, first_row, rows, columns);
}

void bounded(const PreparedBounded& sampler, BoundedScratch& scratch, uint64_t seed, uint64_t first_row, int64_t rows,
             std::span<const ColumnBuffer> columns) {
  portable::bounded_rows<PlainCpuLanes>(sampler, scratch, seed, first_row, rows, columns);
}

}  // namespace

const InstructionSet kScalarInstructions = {"scalar", sample, normals, normals_of_row, decode, bounded};

}  // namespace doppel
