// The table sampler on CUDA against the CPU's, to the byte; that one is tested against the naive reference
// (tests/kernels).
#include "kernels/cuda/sample_table.h"

#include "kernels/common/error.h"
#include "tests/cuda/device_under_test.h"
#include "tests/kernels/sampler_cases.h"

namespace doppel {
namespace {

using cuda::kTileRows;

class CudaSampleTable : public OnCuda {
 protected:
  // Samples [first_row, first_row + rows) on both backends.
  void expect_cpu_bytes(const TableSampler& sampler, uint64_t seed, uint64_t first_row, int64_t rows) {
    const auto on_cuda = cuda().prepare_table_sampler(sampler);
    expect_cpu_bytes(*on_cuda, sampler, seed, first_row, rows);
  }
  void expect_cpu_bytes(PreparedTableSampler& on_cuda, const TableSampler& sampler, uint64_t seed, uint64_t first_row,
                        int64_t rows) {
    const auto on_cpu = make_backend("cpu")->prepare_table_sampler(sampler);
    expect_same_bytes(on_cuda, *on_cpu, sampler, seed, first_row, rows);
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaSampleTable, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaSampleTable, EveryStorageAndTransformAtEverySizeBoundary) {
  const TableSampler sampler = every_kind_of_column(6, 5, 300, 1);
  const auto on_cuda = cuda().prepare_table_sampler(sampler);
  for (int64_t rows :
       {0, 1, 3, 4, 5, 7, 8, 9, 31, 32, 33, 127, 128, 129, kTileRows - 1, kTileRows, kTileRows + 1, 4 * kTileRows + 3})
    expect_cpu_bytes(*on_cuda, sampler, 42, 1000, rows);
}

TEST_P(CudaSampleTable, IntoPinnedMemoryAndBesidePageable) {
  const TableSampler sampler = every_kind_of_column(6, 5, 300, 9);
  const auto on_cuda = cuda().prepare_table_sampler(sampler);
  for (int64_t rows : {1, 33, kTileRows, 2 * kTileRows + 5})
    for (int every : {1, 2, 3}) {  // columns of which every so manieth is pinned
      bool kept = false, cpu_kept = false;
      int column = 0;
      const auto allocate = [&](size_t bytes) {
        return column++ % every == 0 ? on_cuda->allocate(bytes) : allocate_host_memory(bytes);
      };
      const SampledTable got = sample_with(*on_cuda, sampler, 5, 77, rows, kept, allocate);
      const auto on_cpu = make_backend("cpu")->prepare_table_sampler(sampler);
      EXPECT_EQ(got, sample_with(*on_cpu, sampler, 5, 77, rows, cpu_kept)) << rows << " rows, " << every;
      EXPECT_TRUE(kept) << "wrote outside its buffers, rows " << rows;
    }
}

TEST_P(CudaSampleTable, Shapes) {
  for (int32_t latents : {1, 7, 8, 9, 33})
    for (int32_t components : {0, 1, 4, 7, 30})
      expect_cpu_bytes(every_kind_of_column(latents, components, 20, 2), 7, 0, 70);
}

TEST_P(CudaSampleTable, TooLargeForSharedMemory) {
  ASSERT_FALSE(cuda::fits_shared(61, 2));
  expect_cpu_bytes(every_kind_of_column(9, 61, 40, 3), 11, 5, kTileRows + 9);
}

TEST_P(CudaSampleTable, RowNumbersAcrossTheLowWord) {
  const TableSampler sampler = every_kind_of_column(5, 4, 30, 4);
  const auto on_cuda = cuda().prepare_table_sampler(sampler);
  for (uint64_t first : {(uint64_t{1} << 32) - 201, (uint64_t{1} << 32) - 6, uint64_t{1} << 32,
                         (uint64_t{5} << 32) - 64, (uint64_t{0xFFFFFFFF} << 32) + 3})
    expect_cpu_bytes(*on_cuda, sampler, 0xFEDCBA9876543210, first, 210);
}

TEST_P(CudaSampleTable, LatentsSharedByColumnsOfSeveralGroups) {
  TableSampler sampler = every_kind_of_column(12, 6, 25, 5);
  for (size_t c = 0; c < sampler.columns.size(); ++c) {  // every column looks at latent 0, and at one of the twelve
    sampler.columns[c].latent = static_cast<int32_t>(c % 12);
    sampler.columns[c].missing_latent = 0;
    sampler.columns[c].missing_threshold = -0.3f;
  }
  expect_cpu_bytes(sampler, 3, 77, 300);
}

TEST_P(CudaSampleTable, MixturesAtEverySizeBoundary) {
  const TableSampler sampler = random_mixture({}, 21);
  const auto on_cuda = cuda().prepare_table_sampler(sampler);
  for (int64_t rows : {0, 1, 3, 4, 5, 31, 32, 33, kTileRows - 1, kTileRows, kTileRows + 1, 4 * kTileRows + 3})
    expect_cpu_bytes(*on_cuda, sampler, 42, 1000, rows);
}

TEST_P(CudaSampleTable, MixturesOfAllShapes) {
  for (int32_t members : {1, 7})
    for (int32_t variables : {0, 1, 3, 9})
      for (int32_t levels : {1, 2, 1 + Emission::kMostNodesUp})
        expect_cpu_bytes(random_mixture({members, 6, 5, variables, levels}, 22), 7, 3, 130);
  expect_cpu_bytes(random_mixture({1000, 6, 5, 5, 3}, 22), 7, 3, 300);
  for (int32_t latents : {0, 1, 8, 9, 20})
    for (int32_t components : {0, 1, 7, 20})
      expect_cpu_bytes(random_mixture({5, latents, components, 2, 2}, 23), 8, 0, 70);
}

TEST_P(CudaSampleTable, Images) {
  expect_cpu_bytes(image_mixture(3, 147, 20, 30), 9, 5, 130);
  expect_cpu_bytes(image_mixture(1, 784, 40, 31), 9, 5, 10);
}

TEST_P(CudaSampleTable, BalancedMixtures) {
  for (int32_t variables : {0, 3, 4, 63, 64})
    expect_cpu_bytes(random_mixture({.members = 3, .variables = variables, .balanced = true}, 29), 7, 1001, 130);
  const TableSampler sampler = random_mixture({.levels = 3, .balanced = true}, 29);
  const auto on_cuda = cuda().prepare_table_sampler(sampler);
  expect_cpu_bytes(*on_cuda, sampler, 8, 0, 2 * kTileRows);
  for (uint64_t first : {(uint64_t{1} << 32) - 201, (uint64_t{1} << 32) - 6, uint64_t{1} << 32})
    expect_cpu_bytes(*on_cuda, sampler, 0xFEDCBA9876543210, first, 210);
}

TEST_P(CudaSampleTable, MixturesTooLargeForSharedMemory) {
  ASSERT_FALSE(cuda::mixture_fits_shared(40, 3));
  expect_cpu_bytes(random_mixture({5, 9, 40, 3, 3}, 24), 11, 5, kTileRows + 9);
}

TEST_P(CudaSampleTable, MoreMembersAndStatesThanSixteenBitsNumber) {
  const TableSampler sampler = wide_mixture(40'000, 28);
  expect_cpu_bytes(sampler, 6, 0, 600);
}

TEST_P(CudaSampleTable, RowNumbersOfMixturesAcrossTheLowWord) {
  const TableSampler sampler = random_mixture({.levels = 3}, 25);
  const auto on_cuda = cuda().prepare_table_sampler(sampler);
  for (uint64_t first : {(uint64_t{1} << 32) - 201, (uint64_t{1} << 32) - 6, uint64_t{1} << 32})
    expect_cpu_bytes(*on_cuda, sampler, 0xFEDCBA9876543210, first, 210);
}

TEST_P(CudaSampleTable, NothingToSample) {
  TableSampler sampler = every_kind_of_column(4, 3, 10, 6);
  sampler.columns.clear();
  const auto on_cuda = cuda().prepare_table_sampler(sampler);
  on_cuda->sample(1, 0, 100, {});
  expect_cpu_bytes(every_kind_of_column(4, 3, 10, 6), 1, 0, 0);
}

TEST_P(CudaSampleTable, ContradictionsAreErrors) {
  TableSampler sampler = every_kind_of_column(4, 3, 10, 7);
  const auto on_cuda = cuda().prepare_table_sampler(sampler);
  EXPECT_THROW(on_cuda->sample(1, 0, 100, {}), Error);
  std::vector<ColumnBuffer> nowhere(sampler.columns.size());
  EXPECT_THROW(on_cuda->sample(1, 0, 100, nowhere), Error);
  sampler.columns[2].latent = 4;
  EXPECT_THROW(cuda().prepare_table_sampler(sampler), Error);
}

}  // namespace
}  // namespace doppel
