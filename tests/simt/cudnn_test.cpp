// That the emulated cuDNN reports what a caller must not take from its proposals.
#include <cudnn.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "kernels/cuda/device.h"
#include "tests/simt/emulator.h"

namespace doppel {
namespace {

using cuda::DeviceBuffer;

// Of one image of 2 x 2 pixels, by the proposal of this number.
cudnnStatus_t convolve_by(size_t proposal, size_t workspace_bytes) {
  simt::options() = {};
  simt::take_reports();
  const cuda::Stream stream = cuda::make_stream();
  cudnnHandle_t handle;
  cudnnTensorDescriptor_t images;
  cudnnFilterDescriptor_t filter;
  cudnnConvolutionDescriptor_t convolution;
  cudnnCreate(&handle);
  cudnnSetStream(handle, stream.get());
  cudnnCreateTensorDescriptor(&images);
  cudnnSetTensor4dDescriptor(images, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, 1, 2, 2);
  cudnnCreateFilterDescriptor(&filter);
  cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, 1, 1, 1, 1);
  cudnnCreateConvolutionDescriptor(&convolution);
  cudnnSetConvolution2dDescriptor(convolution, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT);
  std::array<cudnnConvolutionFwdAlgoPerf_t, 8> proposals;
  int count = 0;
  cudnnGetConvolutionForwardAlgorithm_v7(handle, images, filter, convolution, images,
                                         static_cast<int>(proposals.size()), &count, proposals.data());
  EXPECT_GT(count, static_cast<int>(proposal));
  const std::vector<float> zeros(4);
  const DeviceBuffer<float> x = cuda::upload(zeros, stream.get()), w(1, stream.get()), y(4, stream.get());
  CUDA_CHECK(cudaMemsetAsync(w.data(), 0, sizeof(float), stream.get()));
  const DeviceBuffer<std::byte> workspace(workspace_bytes, stream.get());
  const float one = 1, zero = 0;
  const cudnnStatus_t status =
      cudnnConvolutionForward(handle, &one, images, x.data(), filter, w.data(), convolution, proposals[proposal].algo,
                              workspace.data(), workspace.size(), &zero, images, y.data());
  CUDA_CHECK(cudaStreamSynchronize(stream.get()));
  cudnnDestroyConvolutionDescriptor(convolution);
  cudnnDestroyFilterDescriptor(filter);
  cudnnDestroyTensorDescriptor(images);
  cudnnDestroy(handle);
  return status;
}

TEST(EmulatedCudnn, TakesOneOfItsProposals) {
  constexpr size_t kEnough = 4096;
  EXPECT_EQ(convolve_by(3, kEnough), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
  EXPECT_EQ(convolve_by(3, 8), CUDNN_STATUS_BAD_PARAM) << "a workspace that is too small";
  EXPECT_EQ(convolve_by(2, kEnough), CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{});
  convolve_by(0, kEnough);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{"cuDNN: an algorithm whose sums change from run to run"});
  convolve_by(1, kEnough);
  EXPECT_EQ(simt::take_reports(), std::vector<std::string>{"cuDNN: an algorithm that wants more memory than there is"});
}

}  // namespace
}  // namespace doppel
