// The table decoder on CUDA against the CPU's, to the byte; that one is tested against the naive reference
// (tests/kernels).
#include "kernels/cuda/decode_table.h"

#include "kernels/common/error.h"
#include "tests/cuda/device_under_test.h"
#include "tests/kernels/decoder_cases.h"

namespace doppel {
namespace {

using cuda::kDenseHalf;
using cuda::kDenseRows;
using cuda::kTileRows;

class CudaDecodeTable : public OnCuda {
 protected:
  void expect_cpu_bytes(const TableDecoder& decoder, uint64_t seed, uint64_t first_row, int64_t rows) {
    const auto on_cuda = cuda().prepare_table_decoder(decoder);
    expect_cpu_bytes(*on_cuda, decoder, seed, first_row, rows);
  }
  void expect_cpu_bytes(PreparedTableSampler& on_cuda, const TableDecoder& decoder, uint64_t seed, uint64_t first_row,
                        int64_t rows) {
    const auto on_cpu = make_backend("cpu")->prepare_table_decoder(decoder);
    expect_same_bytes(on_cuda, *on_cpu, decoder.table, seed, first_row, rows);
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaDecodeTable, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaDecodeTable, RowsAtEverySizeBoundary) {
  const TableDecoder decoder = random_decoder({}, 1);
  const auto on_cuda = cuda().prepare_table_decoder(decoder);
  for (int64_t rows : {0, 1, 3, 4, 5, 31, 32, 33, kDenseRows - 1, kDenseRows, kDenseRows + 1, kTileRows - 1, kTileRows,
                       kTileRows + 1, 3 * kTileRows + 3})
    expect_cpu_bytes(*on_cuda, decoder, 42, 1000, rows);
}

// Latents on both sides of a chunk and of a group, outputs on both sides of a tile and of half a tile.
TEST_P(CudaDecodeTable, LayersAtEverySizeBoundary) {
  for (int32_t latent : {1, 7, 8, 9, 17})
    expect_cpu_bytes(random_decoder({.latent = latent, .hidden = {3}, .variables = 2, .axes = 2}, 2), 7, 3, 70);
  for (int32_t width :
       {1, 8, 9, kDenseHalf - 1, kDenseHalf, kDenseHalf + 1, 2 * kDenseHalf, 2 * kDenseHalf + 1, 3 * kDenseHalf + 1})
    expect_cpu_bytes(random_decoder({.latent = 3, .hidden = {width}, .variables = 2, .axes = 2}, 3), 7, 3, 70);
}

TEST_P(CudaDecodeTable, AnyNumberOfLayers) {
  for (const std::vector<int32_t>& hidden : {std::vector<int32_t>{}, {70}, {70, 5}, {5, 70, 20}, {130, 5, 8, 70}})
    expect_cpu_bytes(random_decoder({.hidden = hidden}, 4), 8, 0, 140);
}

TEST_P(CudaDecodeTable, ManyOutcomes) {
  const TableDecoder decoder = random_decoder({.hidden = {20}, .variables = 12, .axes = 5, .more_bins = 50}, 5);
  ASSERT_GT(decoder.layers.back().outputs, 7 * 2 * kDenseHalf);
  expect_cpu_bytes(decoder, 9, 5, 100);
}

TEST_P(CudaDecodeTable, AxesOfOneBin) {
  expect_cpu_bytes(random_decoder({.axes = 9, .more_bins = 0}, 6), 10, 0, 70);
}

TEST_P(CudaDecodeTable, NoVariablesOrNoAxes) {
  expect_cpu_bytes(random_decoder({.variables = 0, .axes = 3}, 7), 11, 0, 300);
  expect_cpu_bytes(random_decoder({.variables = 5, .axes = 0}, 8), 12, 0, 300);
}

TEST_P(CudaDecodeTable, MoreAxesThanAGroupOfLatentsHas) {
  expect_cpu_bytes(random_decoder({.variables = 1, .axes = 19, .more_bins = 1}, 9), 13, 0, 100);
}

TEST_P(CudaDecodeTable, ValuesMissingByAScore) {
  TableDecoder decoder = random_decoder({.variables = 0, .axes = 5}, 10);
  for (size_t c = 0; c < decoder.table.columns.size(); c += 2) {
    decoder.table.columns[c].missing_latent = static_cast<int32_t>(c % 5);
    decoder.table.columns[c].missing_threshold = 0.3f;
  }
  expect_cpu_bytes(decoder, 14, 9, 333);
}

TEST_P(CudaDecodeTable, PriorTooLargeForSharedMemory) {
  constexpr int32_t kLatent = 41;
  ASSERT_FALSE(cuda::mixture_fits_shared(kLatent, 0));
  expect_cpu_bytes(random_decoder({.latent = kLatent, .hidden = {10}}, 11), 15, 0, kTileRows + 9);
}

TEST_P(CudaDecodeTable, RowNumbersAcrossTheLowWord) {
  const TableDecoder decoder = random_decoder({}, 12);
  const auto on_cuda = cuda().prepare_table_decoder(decoder);
  for (uint64_t first :
       {(uint64_t{1} << 32) - 201, (uint64_t{1} << 32) - 6, uint64_t{1} << 32, (uint64_t{0xFFFFFFFF} << 32) + 3})
    expect_cpu_bytes(*on_cuda, decoder, 0xFEDCBA9876543210, first, 210);
}

TEST_P(CudaDecodeTable, NothingToDecode) {
  TableDecoder decoder = random_decoder({}, 13);
  expect_cpu_bytes(decoder, 1, 0, 0);
  decoder.table.columns.clear();
  cuda().prepare_table_decoder(decoder)->sample(1, 0, 100, {});
}

TEST_P(CudaDecodeTable, ContradictionsAreErrors) {
  TableDecoder decoder = random_decoder({}, 14);
  const auto on_cuda = cuda().prepare_table_decoder(decoder);
  EXPECT_THROW(on_cuda->sample(1, 0, 100, {}), Error);
  decoder.layers.pop_back();
  EXPECT_THROW(cuda().prepare_table_decoder(decoder), Error);
}

}  // namespace
}  // namespace doppel
