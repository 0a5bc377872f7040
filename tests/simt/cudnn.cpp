// The used subset of cuDNN, convolutions of floats with channels last, under its own names and in its streams' order,
// on OpenBLAS; and in place of kernels/cuda/load_cudnn.cpp what answers whether cuDNN is there (Options::cudnn).
//
// As the real one's, its first proposals are not for everyone: one adds up in another order each time, one wants more
// memory than anybody gives, one does not know the shape. Running one of the first two is reported.
#include "kernels/cuda/cudnn.h"

#include <cblas.h>
#include <cudnn.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "tests/simt/emulator.h"
#include "tests/simt/engine.h"
#include "tests/simt/tf32.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};
struct cudnnTensorStruct {
  int rows = 0, channels = 0, height = 0, width = 0;
  size_t size() const { return static_cast<size_t>(rows) * channels * height * width; }
};
struct cudnnFilterStruct {
  int outputs = 0, inputs = 0, height = 0, width = 0;
  size_t size() const { return static_cast<size_t>(outputs) * inputs * height * width; }
};
struct cudnnConvolutionStruct {
  int padding = 0, stride = 1;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};

namespace {

constexpr size_t kMuchMemory = size_t{1} << 40, kSomeMemory = 1001;
constexpr int kChangingSums = 0, kWithMuchMemory = 1, kUnknownShape = 2, kGood = 3;  // algorithms, the best first

// y = x * w in the terms of kernels/network.h.
struct Problem {
  cudnnTensorStruct x, y;
  cudnnFilterStruct w;
  cudnnConvolutionStruct how;

  bool is_possible() const {
    const auto extent = [&](int size, int kernel) { return (size + 2 * how.padding - kernel) / how.stride + 1; };
    return x.rows == y.rows && x.channels == w.inputs && y.channels == w.outputs &&
           y.height == extent(x.height, w.height) && y.width == extent(x.width, w.width);
  }
  int pixels() const { return y.height * y.width; }
  int patch() const { return w.height * w.width * w.inputs; }
  size_t image() const { return x.size() / x.rows; }

  // Calls visit(place among a row's patches, place in the row's image) for each value that is in the image.
  template <class Visit>
  void for_each_value(const Visit& visit) const {
    size_t place = 0;
    for (int oy = 0; oy < y.height; ++oy)
      for (int ox = 0; ox < y.width; ++ox)
        for (int ky = 0; ky < w.height; ++ky)
          for (int kx = 0; kx < w.width; ++kx, place += static_cast<size_t>(w.inputs)) {
            const int in_y = oy * how.stride + ky - how.padding, in_x = ox * how.stride + kx - how.padding;
            if (in_y < 0 || in_y >= x.height || in_x < 0 || in_x >= x.width) continue;
            for (int i = 0; i < w.inputs; ++i)
              visit(place + i, (static_cast<size_t>(in_y) * x.width + in_x) * w.inputs + i);
          }
  }
  std::vector<float> patches_of(const float* row) const {
    std::vector<float> patches(static_cast<size_t>(pixels()) * patch());
    for_each_value([&](size_t in_patches, size_t in_image) { patches[in_patches] = row[in_image]; });
    return patches;
  }
};

std::vector<float> factor(const float* values, size_t size, const Problem& problem) {
  std::vector<float> read(values, values + size);
  if (problem.how.math != CUDNN_FMA_MATH)
    for (float& value : read) value = simt::rounded_to_tf32(value);
  return read;
}

// The three operations, of floats in host memory.
void convolve(const Problem& p, const float* x, const float* w, float* y) {
  for (int row = 0; row < p.x.rows; ++row)
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, p.pixels(), p.w.outputs, p.patch(), 1,
                p.patches_of(x + row * p.image()).data(), p.patch(), w, p.patch(), 0,
                y + static_cast<size_t>(row) * p.pixels() * p.w.outputs, p.w.outputs);
}
void find_image_gradient(const Problem& p, const float* y, const float* w, float* x) {
  std::vector<float> patches(static_cast<size_t>(p.pixels()) * p.patch());
  for (int row = 0; row < p.x.rows; ++row) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, p.pixels(), p.patch(), p.w.outputs, 1,
                y + static_cast<size_t>(row) * p.pixels() * p.w.outputs, p.w.outputs, w, p.patch(), 0, patches.data(),
                p.patch());
    float* image = x + row * p.image();
    std::fill_n(image, p.image(), 0.0f);
    p.for_each_value([&](size_t in_patches, size_t in_image) { image[in_image] += patches[in_patches]; });
  }
}
void find_weight_gradient(const Problem& p, const float* x, const float* y, float* w) {
  for (int row = 0; row < p.x.rows; ++row)
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, p.w.outputs, p.patch(), p.pixels(), 1,
                y + static_cast<size_t>(row) * p.pixels() * p.w.outputs, p.w.outputs,
                p.patches_of(x + row * p.image()).data(), p.patch(), row > 0 ? 1.0f : 0.0f, w, p.patch());
}

template <class Performance>
cudnnStatus_t propose(const Problem& problem, int wanted, int* count, Performance* proposals) {
  if (!problem.is_possible()) return CUDNN_STATUS_BAD_PARAM;
  const simt::Cudnn cudnn = simt::options().cudnn;
  *count = 0;
  const auto add = [&](int algorithm, cudnnStatus_t status, size_t memory, cudnnDeterminism_t determinism) {
    if (*count == wanted) return;
    Performance& proposal = proposals[(*count)++];
    proposal = {};
    proposal.algo = static_cast<decltype(proposal.algo)>(algorithm);
    proposal.status = status;
    proposal.memory = memory;
    proposal.determinism = determinism;
    proposal.mathType = CUDNN_TENSOR_OP_MATH;
  };
  add(kChangingSums, CUDNN_STATUS_SUCCESS, 0, CUDNN_NON_DETERMINISTIC);
  add(kWithMuchMemory, CUDNN_STATUS_SUCCESS, kMuchMemory, CUDNN_DETERMINISTIC);
  add(kUnknownShape, CUDNN_STATUS_NOT_SUPPORTED, 0, CUDNN_DETERMINISTIC);
  if (cudnn != simt::Cudnn::kKnowsNothing) add(kGood, CUDNN_STATUS_SUCCESS, kSomeMemory, CUDNN_DETERMINISTIC);
  return CUDNN_STATUS_SUCCESS;
}

bool on_device(const void* pointer, size_t bytes) {
  return simt::residence(pointer, bytes) == simt::Residence::kDevice;
}

// run(a, b, result): one of the operations above, of factors as tensor cores read them.
cudnnStatus_t enqueue(cudnnHandle_t handle, const Problem& problem, int algorithm, void* workspace, size_t bytes,
                      const void* alpha, const void* beta, const void* a, size_t of_a, const void* b, size_t of_b,
                      void* result, size_t of_result, void (*run)(const Problem&, const float*, const float*, float*)) {
  if (!problem.is_possible() || *static_cast<const float*>(alpha) != 1 || *static_cast<const float*>(beta) != 0)
    return CUDNN_STATUS_BAD_PARAM;
  if (simt::options().cudnn == simt::Cudnn::kRefusesLate) return CUDNN_STATUS_NOT_SUPPORTED;
  if (algorithm == kUnknownShape) return CUDNN_STATUS_NOT_SUPPORTED;
  if (algorithm == kChangingSums) simt::report("cuDNN: an algorithm whose sums change from run to run");
  if (algorithm == kWithMuchMemory) simt::report("cuDNN: an algorithm that wants more memory than there is");
  if (bytes < kSomeMemory || !on_device(workspace, bytes)) return CUDNN_STATUS_BAD_PARAM;
  if (!on_device(a, of_a * sizeof(float)) || !on_device(b, of_b * sizeof(float)) ||
      !on_device(result, of_result * sizeof(float)))
    return CUDNN_STATUS_EXECUTION_FAILED;
  const cudaError_t error = simt::enqueue(handle->stream, [=] {
    if (!simt::is_still_there(workspace, bytes) || !simt::is_still_there(a, of_a * sizeof(float)) ||
        !simt::is_still_there(b, of_b * sizeof(float)) || !simt::is_still_there(result, of_result * sizeof(float)))
      return;
    run(problem, factor(static_cast<const float*>(a), of_a, problem).data(),
        factor(static_cast<const float*>(b), of_b, problem).data(), static_cast<float*>(result));
  });
  return error == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

}  // namespace

extern "C" {

#define CUDNN_MAKES(Handle, make, end)             \
  cudnnStatus_t make(Handle* handle) {             \
    SIMT_CALL(CUDNN_STATUS_INTERNAL_ERROR);        \
    *handle = new std::remove_pointer_t<Handle>{}; \
    return CUDNN_STATUS_SUCCESS;                   \
  }                                                \
  cudnnStatus_t end(Handle handle) {               \
    SIMT_CALL(CUDNN_STATUS_INTERNAL_ERROR);        \
    delete handle;                                 \
    return CUDNN_STATUS_SUCCESS;                   \
  }
CUDNN_MAKES(cudnnHandle_t, cudnnCreate, cudnnDestroy)
CUDNN_MAKES(cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor)
CUDNN_MAKES(cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor)
CUDNN_MAKES(cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor)

const char* cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_SUCCESS ? "success" : "emulated cuDNN error";
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  SIMT_CALL(CUDNN_STATUS_INTERNAL_ERROR);
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int rows, int channels, int height, int width) {
  SIMT_CALL(CUDNN_STATUS_INTERNAL_ERROR);
  if (format != CUDNN_TENSOR_NHWC || type != CUDNN_DATA_FLOAT) return CUDNN_STATUS_NOT_SUPPORTED;
  *tensor = {rows, channels, height, width};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filter, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int outputs, int inputs, int height, int width) {
  SIMT_CALL(CUDNN_STATUS_INTERNAL_ERROR);
  if (format != CUDNN_TENSOR_NHWC || type != CUDNN_DATA_FLOAT) return CUDNN_STATUS_NOT_SUPPORTED;
  *filter = {outputs, inputs, height, width};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t convolution, int padding_y, int padding_x,
                                              int stride_y, int stride_x, int dilation_y, int dilation_x,
                                              cudnnConvolutionMode_t mode, cudnnDataType_t type) {
  SIMT_CALL(CUDNN_STATUS_INTERNAL_ERROR);
  if (padding_y != padding_x || stride_y != stride_x || dilation_y != 1 || dilation_x != 1 ||
      mode != CUDNN_CROSS_CORRELATION || type != CUDNN_DATA_FLOAT)
    return CUDNN_STATUS_NOT_SUPPORTED;
  *convolution = {padding_y, stride_y};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t convolution, cudnnMathType_t math) {
  SIMT_CALL(CUDNN_STATUS_INTERNAL_ERROR);
  convolution->math = math;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                     cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t how,
                                                     cudnnTensorDescriptor_t y, int wanted, int* count,
                                                     cudnnConvolutionFwdAlgoPerf_t* proposals) {
  SIMT_CALL(CUDNN_STATUS_INTERNAL_ERROR);
  return propose({*x, *y, *w, *how}, wanted, count, proposals);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, cudnnFilterDescriptor_t w,
                                                          cudnnTensorDescriptor_t y, cudnnConvolutionDescriptor_t how,
                                                          cudnnTensorDescriptor_t x, int wanted, int* count,
                                                          cudnnConvolutionBwdDataAlgoPerf_t* proposals) {
  SIMT_CALL(CUDNN_STATUS_INTERNAL_ERROR);
  return propose({*x, *y, *w, *how}, wanted, count, proposals);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                            cudnnTensorDescriptor_t y, cudnnConvolutionDescriptor_t how,
                                                            cudnnFilterDescriptor_t w, int wanted, int* count,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t* proposals) {
  SIMT_CALL(CUDNN_STATUS_INTERNAL_ERROR);
  return propose({*x, *y, *w, *how}, wanted, count, proposals);
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t of_x,
                                      const void* x, cudnnFilterDescriptor_t of_w, const void* w,
                                      cudnnConvolutionDescriptor_t how, cudnnConvolutionFwdAlgo_t algorithm,
                                      void* workspace, size_t bytes, const void* beta, cudnnTensorDescriptor_t of_y,
                                      void* y) {
  SIMT_CALL(CUDNN_STATUS_EXECUTION_FAILED);
  return enqueue(handle, {*of_x, *of_y, *of_w, *how}, algorithm, workspace, bytes, alpha, beta, x, of_x->size(), w,
                 of_w->size(), y, of_y->size(), convolve);
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha, cudnnFilterDescriptor_t of_w,
                                           const void* w, cudnnTensorDescriptor_t of_y, const void* y,
                                           cudnnConvolutionDescriptor_t how, cudnnConvolutionBwdDataAlgo_t algorithm,
                                           void* workspace, size_t bytes, const void* beta,
                                           cudnnTensorDescriptor_t of_x, void* x) {
  SIMT_CALL(CUDNN_STATUS_EXECUTION_FAILED);
  return enqueue(handle, {*of_x, *of_y, *of_w, *how}, algorithm, workspace, bytes, alpha, beta, y, of_y->size(), w,
                 of_w->size(), x, of_x->size(), find_image_gradient);
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t of_x,
                                             const void* x, cudnnTensorDescriptor_t of_y, const void* y,
                                             cudnnConvolutionDescriptor_t how,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm, void* workspace, size_t bytes,
                                             const void* beta, cudnnFilterDescriptor_t of_w, void* w) {
  SIMT_CALL(CUDNN_STATUS_EXECUTION_FAILED);
  return enqueue(handle, {*of_x, *of_y, *of_w, *how}, algorithm, workspace, bytes, alpha, beta, x, of_x->size(), y,
                 of_y->size(), w, of_w->size(), find_weight_gradient);
}

extern const doppel::cuda::CudnnPlugin doppel_cudnn_plugin;

}  // extern "C"

namespace doppel::cuda {

std::unique_ptr<Cudnn> make_cudnn(std::span<const ConvShape> shapes, cudaStream_t stream) {
  return simt::options().cudnn == simt::Cudnn::kNone ? nullptr : doppel_cudnn_plugin.make(shapes, stream);
}

}  // namespace doppel::cuda
