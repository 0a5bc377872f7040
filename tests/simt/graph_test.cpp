// That graphs of the emulator replay what was captured, and that what CUDA forbids of captures is reported.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/products.h"
#include "tests/simt/emulator.h"
#include "tests/simt/planted_bugs.h"

namespace doppel {
namespace {

using cuda::DeviceBuffer;

std::string reports() {
  std::string all;
  for (const std::string& report : simt::take_reports()) all += report + "\n";
  return all;
}

class Graphs : public testing::Test {
 protected:
  void SetUp() override {
    simt::options() = {};
    simt::take_reports();
    std::fill_n(input_.get(), kSumThreads, 1.0f);
  }

  // input_ -> x_ -> total_, the sum
  void enqueue_sum() {
    CUDA_CHECK(cudaMemcpyAsync(x_.data(), input_.get(), kSumThreads * sizeof(float), cudaMemcpyHostToDevice, stream()));
    CUDA_CHECK(cudaMemsetAsync(total_.data(), 0, sizeof(float), stream()));
    launch_sum(Bug::kNone, x_.data(), kSumThreads, total_.data(), 1, stream());
  }
  void enqueue_result(cudaStream_t stream) {
    CUDA_CHECK(cudaMemcpyAsync(result_.get(), total_.data(), sizeof(float), cudaMemcpyDeviceToHost, stream));
  }
  cuda::Graph capture_sum() {
    return cuda::capture_graph(stream(), [&] {
      enqueue_sum();
      enqueue_result(stream());
    });
  }
  // The sum of so many times `value` by the graph.
  float launch(const cuda::Graph& graph, float value) {
    std::fill_n(input_.get(), kSumThreads, value);
    CUDA_CHECK(cudaGraphLaunch(graph.get(), stream()));
    CUDA_CHECK(cudaStreamSynchronize(stream()));
    return result_[0];
  }

  // While the stream captures; the report, the capture's end, and that all is well afterwards.
  void expect_refused(const std::string& report, const std::function<cudaError_t()>& call) {
    SCOPED_TRACE(report);
    CUDA_CHECK(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
    EXPECT_NE(call(), cudaSuccess);
    EXPECT_EQ(reports(), "graph capture: " + report + "\n");
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream(), &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    cudaGetLastError();
    EXPECT_EQ(launch(capture_sum(), 2), 2.0f * kSumThreads);
    EXPECT_EQ(reports(), "");
  }

  cudaStream_t stream() const { return stream_.get(); }
  cudaStream_t other() const { return other_.get(); }

  cuda::Stream stream_ = cuda::make_stream(), other_ = cuda::make_stream();
  cuda::Event event_ = cuda::make_event();
  cuda::PinnedBuffer<float> input_ = cuda::make_pinned<float>(kSumThreads), result_ = cuda::make_pinned<float>(1);
  DeviceBuffer<float> x_{kSumThreads, stream_.get()}, total_{1, stream_.get()};
};

TEST_F(Graphs, ReplayWhatWasCaptured) {
  result_[0] = -1;
  const simt::Counts before = simt::counts();
  const cuda::Graph graph = capture_sum();
  CUDA_CHECK(cudaStreamSynchronize(stream()));
  EXPECT_EQ(result_[0], -1) << "it ran when it was captured";
  const simt::Counts captured = simt::counts();
  EXPECT_EQ(captured.launches, before.launches);
  EXPECT_EQ(captured.kernel_calls, before.kernel_calls + 1);
  for (const int value : {3, 4, 5}) EXPECT_EQ(launch(graph, static_cast<float>(value)), value * kSumThreads);
  EXPECT_EQ(simt::counts().launches, captured.launches + 3);
  EXPECT_EQ(simt::counts().kernel_calls, captured.kernel_calls);
  EXPECT_EQ(simt::counts().graph_launches, captured.graph_launches + 3);
  EXPECT_EQ(reports(), "");
}

// Two streams capture, the other one copies the sum; with the event, after it is there.
TEST_F(Graphs, AForgottenEventShows) {
  constexpr int kRounds = 40;
  const cuda::Event start = cuda::make_event(), done = cuda::make_event();
  for (const bool waits : {true, false}) {
    const cuda::Graph graph = cuda::capture_graph(stream(), [&] {
      CUDA_CHECK(cudaEventRecord(start.get(), stream()));
      CUDA_CHECK(cudaStreamWaitEvent(other(), start.get(), 0));
      enqueue_sum();
      CUDA_CHECK(cudaEventRecord(event_.get(), stream()));
      if (waits) CUDA_CHECK(cudaStreamWaitEvent(other(), event_.get(), 0));
      enqueue_result(other());
      CUDA_CHECK(cudaEventRecord(done.get(), other()));
      CUDA_CHECK(cudaStreamWaitEvent(stream(), done.get(), 0));
    });
    int right = 0;
    for (int round = 1; round <= kRounds; ++round)
      right += launch(graph, static_cast<float>(round)) == static_cast<float>(round * kSumThreads);
    if (waits) {
      EXPECT_EQ(right, kRounds);
    } else {
      EXPECT_LT(right, kRounds * 3 / 4);
    }
  }
  EXPECT_EQ(reports(), "");
}

TEST_F(Graphs, NothingIsWaitedForInACapture) {
  expect_refused("cudaStreamSynchronize of a stream that captures", [&] { return cudaStreamSynchronize(stream()); });
  expect_refused("cudaStreamQuery of a stream that captures", [&] { return cudaStreamQuery(stream()); });
  expect_refused("cudaDeviceSynchronize while a stream captures", cudaDeviceSynchronize);
  expect_refused("cudaEventSynchronize of an event that a capture recorded", [&] {
    CUDA_CHECK(cudaEventRecord(event_.get(), stream()));
    return cudaEventSynchronize(event_.get());
  });
}

TEST_F(Graphs, NothingIsAllocatedOrFreedInACapture) {
  void* memory = nullptr;
  expect_refused("cudaMalloc while a stream captures", [&] { return cudaMalloc(&memory, 4); });
  expect_refused("cudaMallocHost while a stream captures", [&] { return cudaMallocHost(&memory, 4); });
  expect_refused("cudaMallocAsync of a stream that captures", [&] { return cudaMallocAsync(&memory, 4, stream()); });
  EXPECT_EQ(memory, nullptr);
  expect_refused("memory freed while a stream captures", [&] { return cudaFree(x_.data()); });
  expect_refused("memory freed while a stream captures", [&] { return cudaFreeHost(input_.get()); });
  expect_refused("cudaFreeAsync of a stream that captures", [&] { return cudaFreeAsync(x_.data(), stream()); });
}

TEST_F(Graphs, OtherStreamsKeepOutOfACapture) {
  expect_refused("work of the default stream while a stream captures",
                 [&] { return cudaMemsetAsync(total_.data(), 0, sizeof(float), nullptr); });
  CUDA_CHECK(cudaEventRecord(event_.get(), other()));
  expect_refused("a stream that captures waits for an event that was recorded outside",
                 [&] { return cudaStreamWaitEvent(stream(), event_.get(), 0); });
  cudaGraph_t graph = nullptr;
  expect_refused("cudaStreamEndCapture of another stream than the capture's first", [&] {
    CUDA_CHECK(cudaEventRecord(event_.get(), stream()));
    CUDA_CHECK(cudaStreamWaitEvent(other(), event_.get(), 0));
    return cudaStreamEndCapture(other(), &graph);
  });
  // What they do for themselves is allowed.
  CUDA_CHECK(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
  CUDA_CHECK(cudaMemsetAsync(total_.data(), 0, sizeof(float), other()));
  CUDA_CHECK(cudaStreamSynchronize(other()));
  CUDA_CHECK(cudaStreamEndCapture(stream(), &graph));
  CUDA_CHECK(cudaGraphDestroy(graph));
  EXPECT_EQ(reports(), "");
}

TEST_F(Graphs, WhatIsNotEmulatedIsRefused) {
  const cuda::Graph graph = capture_sum();
  std::vector<float> pageable(1);
  expect_refused("cudaGraphLaunch into a stream that captures", [&] { return cudaGraphLaunch(graph.get(), stream()); });
  expect_refused("cudaMemcpyAsync of pageable memory, which may be gone when the graph runs", [&] {
    return cudaMemcpyAsync(total_.data(), pageable.data(), sizeof(float), cudaMemcpyHostToDevice, stream());
  });
}

TEST_F(Graphs, CapturesBeginAndEndOnce) {
  expect_refused("cudaStreamBeginCapture of a stream that captures",
                 [&] { return cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal); });
  EXPECT_NE(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(reports(), "graph capture: cudaStreamBeginCapture of the default stream\n");
  cudaGraph_t graph = nullptr;
  EXPECT_NE(cudaStreamEndCapture(stream(), &graph), cudaSuccess);
  EXPECT_EQ(reports(), "graph capture: cudaStreamEndCapture of a stream that does not capture\n");
  {
    const cuda::Stream left_open = cuda::make_stream();
    CUDA_CHECK(cudaStreamBeginCapture(left_open.get(), cudaStreamCaptureModeThreadLocal));
  }
  EXPECT_EQ(reports(), "graph capture: cudaStreamDestroy of a stream that captures\n");
}

TEST_F(Graphs, ForkedStreamsAreJoined) {
  EXPECT_THROW(cuda::capture_graph(stream(),
                                   [&] {
                                     CUDA_CHECK(cudaEventRecord(event_.get(), stream()));
                                     CUDA_CHECK(cudaStreamWaitEvent(other(), event_.get(), 0));
                                     enqueue_result(other());
                                   }),
               Error);
  EXPECT_EQ(reports(), "graph capture: work of another stream that the first one does not wait for\n");
  EXPECT_NE(cudaStreamWaitEvent(other(), event_.get(), 0), cudaSuccess);
  EXPECT_EQ(reports(), "graph capture: a wait for an event of a capture that has ended\n");
  EXPECT_EQ(launch(capture_sum(), 2), 2.0f * kSumThreads);
}

TEST_F(Graphs, AGraphAndItsMemoryOutliveItsLaunches) {
  cuda::Graph graph = capture_sum();
  const cudaGraphExec_t destroyed = graph.get();
  graph.reset();
  EXPECT_NE(cudaGraphLaunch(destroyed, stream()), cudaSuccess);
  EXPECT_EQ(reports(), "launch of a graph that does not exist\n");

  const cuda::Graph of_copies = cuda::capture_graph(stream(), [&] { enqueue_result(stream()); });
  const cuda::Graph of_kernels = cuda::capture_graph(
      stream(), [&] { launch_sum(Bug::kNone, x_.data(), kSumThreads, total_.data(), 1, stream()); });
  cuda::Products products(0, stream());
  const cuda::Graph of_products = cuda::capture_graph(stream(), [&] {
    products.multiply(Precision::kSingle, cuda::Factor::kAsItIs, cuda::Factor::kAsItIs, 1, 1, kSumThreads, x_.data(),
                      x_.data(), 0, total_.data());
  });
  x_ = DeviceBuffer<float>();
  total_ = DeviceBuffer<float>();
  for (const cuda::Graph* left : {&of_copies, &of_kernels, &of_products}) {
    CUDA_CHECK(cudaGraphLaunch(left->get(), stream()));
    EXPECT_EQ(cudaStreamSynchronize(stream()), cudaErrorLaunchFailure);
    EXPECT_NE(reports(), "");
  }
}

TEST_F(Graphs, AnErrorLeavesTheStreamAsItWas) {
  EXPECT_THROW(cuda::capture_graph(stream(),
                                   [&] { launch_sum(Bug::kNone, x_.data(), kSumThreads, total_.data(), 0, stream()); }),
               Error);
  EXPECT_EQ(launch(capture_sum(), 2), 2.0f * kSumThreads);
  const uint64_t before = simt::counts().calls;
  const cuda::Graph graph = capture_sum();
  const uint64_t calls = simt::counts().calls - before;
  for (uint64_t call = 1; call <= calls; ++call) {
    simt::options().failing_call = simt::counts().calls + call;
    if (call == calls) {  // the destruction of what `graph` was made of
      EXPECT_TRUE(capture_sum());
    } else {
      EXPECT_THROW(capture_sum(), Error) << "call " << call << " of " << calls;
    }
    simt::options().failing_call = 0;
    EXPECT_EQ(launch(capture_sum(), 3), 3.0f * kSumThreads) << "after call " << call;
  }
  EXPECT_EQ(reports(), "");
}

}  // namespace
}  // namespace doppel
