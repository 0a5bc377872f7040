// Sums and sorts by CUB, in the order that the others' bits depend on.
#include <algorithm>
#include <numeric>
#include <random>

#include "kernels/cuda/responsibilities.h"
#include "tests/cuda/device_under_test.h"

namespace doppel {
namespace {

class CudaEntries : public OnCuda {
 protected:
  cuda::Stream stream_ = nullptr;
  void SetUp() override {
    OnCuda::SetUp();
    if (!IsSkipped()) stream_ = cuda::make_stream();
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaEntries, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaEntries, SumsAreThoseOfTheValuesBefore) {
  std::mt19937 random(1);
  for (const size_t size : {1, 2, 255, 1000, 70000}) {
    std::vector<int32_t> values, wanted(size);
    for (size_t i = 0; i < size; ++i) values.push_back(static_cast<int32_t>(random() % 5));
    std::exclusive_scan(values.begin(), values.end(), wanted.begin(), 0);
    const auto from = cuda::upload(values, stream_.get());
    const cuda::DeviceBuffer<int32_t> sums(size, stream_.get());
    cuda::exclusive_sums(from.data(), sums.data(), static_cast<int64_t>(size), stream_.get());
    const std::vector<int32_t> found = cuda::download(sums, stream_.get());
    CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
    EXPECT_EQ(found, wanted) << size << " values";
  }
}

TEST_P(CudaEntries, EntriesOfAMemberStayInTheirOrder) {
  std::mt19937 random(2);
  for (const int32_t limit : {1, 2, 3, 256, 257, 4096})
    for (const size_t size : {1, 2, 31, 1000, 9000}) {
      std::vector<int32_t> members;
      std::vector<cuda::Entry> entries;
      for (size_t i = 0; i < size; ++i) {
        members.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(limit)));
        entries.push_back({static_cast<int32_t>(i), static_cast<float>(i) / 3});
      }
      const auto member = cuda::upload(members, stream_.get());
      const auto entry = cuda::upload(entries, stream_.get());
      const cuda::DeviceBuffer<int32_t> sorted_member(size, stream_.get());
      const cuda::DeviceBuffer<cuda::Entry> sorted_entry(size, stream_.get());
      cuda::sort_by_member(member.data(), entry.data(), static_cast<int64_t>(size), limit, sorted_member.data(),
                           sorted_entry.data(), stream_.get());
      const std::vector<int32_t> found_member = cuda::download(sorted_member, stream_.get());
      const std::vector<cuda::Entry> found = cuda::download(sorted_entry, stream_.get());
      CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
      std::stable_sort(entries.begin(), entries.end(), [&](const cuda::Entry& a, const cuda::Entry& b) {
        return members[size_t(a.row)] < members[size_t(b.row)];
      });
      for (size_t i = 0; i < size; ++i) {
        ASSERT_EQ(found[i].row, entries[i].row) << "entry " << i << " of " << size << ", " << limit << " members";
        ASSERT_EQ(found[i].share, entries[i].share);
        ASSERT_EQ(found_member[i], members[size_t(found[i].row)]);
      }
    }
}

}  // namespace
}  // namespace doppel
