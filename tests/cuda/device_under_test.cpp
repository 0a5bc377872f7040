#include "tests/cuda/device_under_test.h"

#include "kernels/common/error.h"
#include "tests/kernels/sampler_cases.h"

namespace doppel {

void expect_same_bytes(PreparedTableSampler& on_cuda, PreparedTableSampler& on_cpu, const TableSampler& table,
                       uint64_t seed, uint64_t first_row, int64_t rows) {
  bool cuda_kept = false, cpu_kept = false;
  const SampledTable got = sample_with(on_cuda, table, seed, first_row, rows, cuda_kept);
  const SampledTable wanted = sample_with(on_cpu, table, seed, first_row, rows, cpu_kept);
  EXPECT_TRUE(cuda_kept) << "wrote outside its buffers, rows " << rows;
  for (size_t c = 0; c < got.size(); ++c) {
    EXPECT_EQ(got[c].values, wanted[c].values) << "column " << c << ", rows " << rows << " from " << first_row;
    EXPECT_EQ(got[c].validity, wanted[c].validity) << "column " << c << ", rows " << rows << " from " << first_row;
  }
}

void OnCuda::SetUp() {
  try {
    backend_ = make_backend_under_test(GetParam());
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
}

}  // namespace doppel
