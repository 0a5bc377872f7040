// That the emulator runs right kernels rightly, and reports the wrong: without this, its silence would mean nothing.
#include "tests/simt/emulator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/responsibilities.h"
#include "tests/simt/language.h"
#include "tests/simt/planted_bugs.h"

namespace doppel {
namespace {

using cuda::DeviceBuffer;

constexpr int kValues = 1000;  // a multiple of 4 values: one more lies outside the padding, in the page that faults

class Emulator : public testing::TestWithParam<simt::Order> {
 protected:
  void SetUp() override {
    simt::options() = {};
    simt::options().order = GetParam();
    simt::take_reports();
  }

  // The sum of x_i = i % 7 by a kernel; NaN where the launch failed.
  float sum_with(Bug bug, int blocks = 3, bool tree = false) {
    std::vector<float> values(kValues);
    for (int i = 0; i < kValues; ++i) values[i] = static_cast<float>(i % 7);
    const cuda::Stream stream = cuda::make_stream();
    const DeviceBuffer<float> x(kValues, stream.get()), total(1, stream.get());
    CUDA_CHECK(cudaMemcpyAsync(x.data(), values.data(), kValues * sizeof(float), cudaMemcpyHostToDevice, stream.get()));
    CUDA_CHECK(cudaMemsetAsync(total.data(), 0, sizeof(float), stream.get()));
    if (tree) {
      launch_warp_butterfly_sum(x.data(), kValues, total.data(), blocks, stream.get());
    } else {
      launch_sum(bug, x.data(), kValues, total.data(), blocks, stream.get());
    }
    float result = std::nanf("");
    if (cudaStreamSynchronize(stream.get()) != cudaSuccess) return result;
    CUDA_CHECK(cudaMemcpy(&result, total.data(), sizeof result, cudaMemcpyDeviceToHost));
    return result;
  }

  void expect_report(Bug bug, const std::string& what) {
    sum_with(bug);
    std::string all;
    for (const std::string& report : simt::take_reports()) all += report + "\n";
    EXPECT_NE(all.find(what), std::string::npos) << "no '" << what << "' among these reports:\n" << all;
  }

  static float expected_sum() {
    float sum = 0;
    for (int i = 0; i < kValues; ++i) sum += static_cast<float>(i % 7);
    return sum;
  }
};

INSTANTIATE_TEST_SUITE_P(
    Order, Emulator, testing::Values(simt::Order::kAscending, simt::Order::kDescending, simt::Order::kRandom),
    [](const auto& order) {
      return std::string(std::vector{"Ascending", "Descending", "Random"}[static_cast<int>(order.param)]);
    });

TEST_P(Emulator, RunsRightKernelsWithoutAReport) {
  const uint64_t threads = simt::counts().threads, barriers = simt::counts().barriers;
  EXPECT_EQ(sum_with(Bug::kNone), expected_sum());
  EXPECT_EQ(sum_with(Bug::kNone, 1, true), expected_sum());
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
  EXPECT_EQ(simt::counts().threads - threads, 4u * kSumThreads);
  EXPECT_EQ(simt::counts().barriers - barriers, 6u);  // two in each of three blocks
}

TEST_P(Emulator, CollectivesDoWhatCudasGuideSays) {
  const cuda::Stream stream = cuda::make_stream();
  const DeviceBuffer<unsigned> out(kLanguageRows * kLanguageThreads, stream.get());
  launch_language(out.data(), stream.get());
  std::vector<unsigned> got(out.size());
  CUDA_CHECK(cudaMemcpyAsync(got.data(), out.data(), got.size() * 4, cudaMemcpyDeviceToHost, stream.get()));
  CUDA_CHECK(cudaStreamSynchronize(stream.get()));
  for (unsigned t = 0; t < kLanguageThreads; ++t) {
    const unsigned warp = t / 32, lane = t % 32;
    const unsigned threes = warp == 0 ? 0x49249249u : 0x92492492u;  // lanes whose thread is a multiple of 3
    const std::vector<unsigned> wanted = {warp * 32 + 5,
                                          t / 8 * 8 + 3,
                                          lane == 0 ? t : t - 1,
                                          t % 16 < 14 ? t + 2 : t,
                                          t ^ 16,
                                          threes,
                                          warp,
                                          1 - warp,
                                          10,
                                          0,
                                          1,
                                          warp * 32 + 7,
                                          lane < 16 ? t ^ 1 : 0,
                                          63,
                                          1};
    for (unsigned row = 0; row < kLanguageRows; ++row)
      EXPECT_EQ(got[row * kLanguageThreads + t], wanted[row]) << "row " << row << ", thread " << t;
  }
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

// Blocks that publish by __threadfence and an atomic do not race.
TEST_P(Emulator, PublicationByAFenceIsNoRace) {
  const cuda::Stream stream = cuda::make_stream();
  const std::vector<float> values(200, 0.5f);
  const DeviceBuffer<float> x(values.size(), stream.get()), partial(4, stream.get()), total(1, stream.get());
  const DeviceBuffer<unsigned> finished(1, stream.get());
  CUDA_CHECK(cudaMemcpyAsync(x.data(), values.data(), 800, cudaMemcpyHostToDevice, stream.get()));
  CUDA_CHECK(cudaMemsetAsync(finished.data(), 0, 4, stream.get()));
  launch_last_block_sum(x.data(), 200, partial.data(), finished.data(), total.data(), 4, stream.get());
  float sum = 0;
  CUDA_CHECK(cudaMemcpyAsync(&sum, total.data(), 4, cudaMemcpyDeviceToHost, stream.get()));
  CUDA_CHECK(cudaStreamSynchronize(stream.get()));
  EXPECT_EQ(sum, 100.0f);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
}

TEST_P(Emulator, ReportsAMissingBarrier) {
  expect_report(Bug::kMissingBarrier, "planted_bugs.cu");
}
TEST_P(Emulator, ReportsAMissingSecondBarrier) {
  expect_report(Bug::kMissingSecondBarrier, "race");
}
TEST_P(Emulator, ReportsAMissingWarpBarrier) {
  expect_report(Bug::kMissingWarpBarrier, "race");
}
TEST_P(Emulator, ReportsADivergentBarrier) {
  expect_report(Bug::kDivergentBarrier, "divergent barrier; 64 threads");
}
TEST_P(Emulator, ReportsAnExitBeforeABarrier) {
  expect_report(Bug::kExitBeforeBarrier, "32 threads (first: 96) exited");
}
TEST_P(Emulator, ReportsDifferentBarriers) {
  expect_report(Bug::kTwoBarriers, "different __syncthreads");
}
TEST_P(Emulator, ReportsAWrongMask) {
  expect_report(Bug::kWrongMask, "not in the mask");
}
TEST_P(Emulator, ReportsAFullMaskInABranch) {
  expect_report(Bug::kShuffleInBranch, "__shfl_down_sync(mask 0xffffffff)");
}
TEST_P(Emulator, ReportsUninitialisedSharedMemory) {
  expect_report(Bug::kUninitialisedShared, "uninitialised shared memory: read of 4 bytes at planted_bugs.cu");
}
TEST_P(Emulator, ReportsAWritePastASharedArray) {
  expect_report(Bug::kWritePastShared, "write past the end of shared array 'sums'");
}
TEST_P(Emulator, ReportsAReadPastGlobalMemory) {
  expect_report(Bug::kReadPastGlobal, "read of 4 bytes at planted_bugs.cu");
}
TEST_P(Emulator, ReportsAWritePastGlobalMemory) {
  expect_report(Bug::kWritePastGlobal, "out of bounds: write of 4 bytes");
}
TEST_P(Emulator, ReportsALostUpdateOfSharedMemory) {
  expect_report(Bug::kLostUpdateShared, "race");
}
TEST_P(Emulator, ReportsALostUpdateBetweenBlocks) {
  expect_report(Bug::kLostUpdateGlobal, "race");
}
TEST_P(Emulator, ReportsMisalignedVectors) {
  expect_report(Bug::kMisaligned, "misaligned: read of 16 bytes");
}
TEST_P(Emulator, ReportsTooMuchSharedMemory) {
  expect_report(Bug::kTooMuchShared, "a block uses 65536 bytes of shared memory");
}
TEST_P(Emulator, ReportsAStackOverflow) {
  expect_report(Bug::kEndlessRecursion, "invalid memory access");
}

TEST_P(Emulator, ReportsAHostPointer) {
  std::vector<float> values(kValues, 1.0f);
  const cuda::Stream stream = cuda::make_stream();
  const DeviceBuffer<float> total(1, stream.get());
  launch_sum(Bug::kNone, values.data(), kValues, total.data(), 1, stream.get());
  EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaErrorLaunchFailure);
  const auto reports = simt::take_reports();
  ASSERT_FALSE(reports.empty());
  EXPECT_NE(reports[0].find("host memory"), std::string::npos) << reports[0];
}

TEST_P(Emulator, ReportsUseAfterFree) {
  const cuda::Stream stream = cuda::make_stream(), other = cuda::make_stream();
  const DeviceBuffer<float> total(1, stream.get());
  const float* freed = nullptr;
  {
    const DeviceBuffer<float> x(kValues, other.get());
    freed = x.data();
  }
  CUDA_CHECK(cudaStreamSynchronize(other.get()));
  launch_sum(Bug::kNone, freed, kValues, total.data(), 1, stream.get());
  EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaErrorLaunchFailure);
  EXPECT_FALSE(simt::take_reports().empty());
}

TEST_P(Emulator, ReportsMemoryAndStreamsOfAnotherDevice) {
  simt::options().devices = 2;
  CUDA_CHECK(cudaSetDevice(1));
  const cuda::Stream other = cuda::make_stream();
  const DeviceBuffer<float> x(kValues, other.get());
  CUDA_CHECK(cudaSetDevice(0));
  const cuda::Stream stream = cuda::make_stream();
  const cuda::Event event = cuda::make_event();
  const DeviceBuffer<float> total(1, stream.get());
  launch_sum(Bug::kNone, x.data(), kValues, total.data(), 1, stream.get());
  CUDA_CHECK(cudaStreamSynchronize(stream.get()));
  EXPECT_NE(simt::take_reports().at(0).find("memory of another device: read of 4 bytes"), std::string::npos);
  EXPECT_THROW(launch_sum(Bug::kNone, x.data(), kValues, total.data(), 1, other.get()), Error);
  EXPECT_NE(simt::take_reports().at(0).find("on a stream of device 1 while device 0 is selected"), std::string::npos);
  EXPECT_EQ(cudaEventRecord(event.get(), other.get()), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(simt::take_reports().at(0), "an event of device 0 recorded on a stream of device 1");
}

TEST_P(Emulator, RefusesWhatADeviceRefuses) {
  const cuda::Stream stream = cuda::make_stream();
  EXPECT_THROW(launch_sum(Bug::kNone, nullptr, 0, nullptr, 0, stream.get()), Error);  // no blocks
  EXPECT_THROW(DeviceBuffer<float>(simt::options().device_memory, stream.get()), Error);
  const DeviceBuffer<float> x(8, stream.get());
  std::vector<float> host(9);
  EXPECT_EQ(cudaMemcpyAsync(x.data(), host.data(), 36, cudaMemcpyHostToDevice, stream.get()), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(x.data(), host.data(), 32, cudaMemcpyDeviceToHost, stream.get()),
            cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(simt::take_reports().size(), 2u);
  const std::vector<int32_t> counts(3);
  const DeviceBuffer<int32_t> sums(3, stream.get());
  EXPECT_THROW(cuda::exclusive_sums(counts.data(), sums.data(), 3, stream.get()), Error);  // the host's memory
}

// Host code that orders its streams wrongly reads garbage, for most seeds: streams run late, each at its own pace.
class Streams : public testing::Test {
 protected:
  static constexpr int kRounds = 40;
  // Rounds in which pinned memory held the kernel's result, of kRounds.
  int right_rounds(bool wait_for_event, bool wait_for_copy) {
    simt::options() = {};
    const cuda::Stream compute = cuda::make_stream(), copy = cuda::make_stream();
    const cuda::Event computed = cuda::make_event();
    const auto result = cuda::make_pinned<float>(1);
    std::vector<float> values(kSumThreads, 1.0f);
    int right = 0;
    for (int round = 0; round < kRounds; ++round) {
      const DeviceBuffer<float> x(values.size(), compute.get()), total(1, compute.get());
      CUDA_CHECK(cudaMemcpyAsync(x.data(), values.data(), values.size() * 4, cudaMemcpyHostToDevice, compute.get()));
      CUDA_CHECK(cudaMemsetAsync(total.data(), 0, 4, compute.get()));
      launch_sum(Bug::kNone, x.data(), kSumThreads, total.data(), 1, compute.get());
      CUDA_CHECK(cudaEventRecord(computed.get(), compute.get()));
      if (wait_for_event) CUDA_CHECK(cudaStreamWaitEvent(copy.get(), computed.get(), 0));
      CUDA_CHECK(cudaMemcpyAsync(result.get(), total.data(), 4, cudaMemcpyDeviceToHost, copy.get()));
      if (wait_for_copy) CUDA_CHECK(cudaStreamSynchronize(copy.get()));
      right += result[0] == static_cast<float>(kSumThreads);
      CUDA_CHECK(cudaDeviceSynchronize());
    }
    simt::take_reports();
    return right;
  }
};

TEST_F(Streams, RightOrderAlwaysGivesTheResult) {
  EXPECT_EQ(right_rounds(true, true), kRounds);
}
TEST_F(Streams, AForgottenEventShows) {
  EXPECT_LT(right_rounds(false, true), kRounds * 3 / 4);
}
TEST_F(Streams, AForgottenWaitShows) {
  EXPECT_LT(right_rounds(true, false), kRounds * 3 / 4);
}

}  // namespace
}  // namespace doppel
