// The plugin libdoppel_cudnn.so. It calls nothing of CUDA's but cuDNN, by the functions that need no graph of
// operations.
#include "kernels/cuda/cudnn.h"

#include <cudnn.h>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/cuda/device.h"

namespace doppel::cuda {

void check(cudnnStatus_t status, const char* call, const char* file, int line) {
  if (status != CUDNN_STATUS_SUCCESS)
    fail(std::string("cuDNN: ") + cudnnGetErrorString(status) + "; DOPPEL_CUDNN=0 does without it", call, file, line);
}

namespace {

// What create() makes and destroy() ends.
template <class Handle, auto create, auto destroy>
auto make() {
  struct Deleter {
    void operator()(Handle handle) const { destroy(handle); }
  };
  Handle handle = nullptr;
  CUDA_CHECK(create(&handle));
  return std::unique_ptr<std::remove_pointer_t<Handle>, Deleter>(handle);
}
constexpr auto make_handle = make<cudnnHandle_t, cudnnCreate, cudnnDestroy>;
constexpr auto make_tensor = make<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
constexpr auto make_filter = make<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
constexpr auto make_convolution =
    make<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;
using Handle = decltype(make_handle());
using Tensor = decltype(make_tensor());
using Filter = decltype(make_filter());
using Convolution = decltype(make_convolution());

int narrow(int64_t size) {
  return static_cast<int>(size);
}

Tensor images(int64_t rows, int64_t channels, int64_t height, int64_t width) {
  Tensor tensor = make_tensor();
  CUDA_CHECK(cudnnSetTensor4dDescriptor(tensor.get(), CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, narrow(rows),
                                        narrow(channels), narrow(height), narrow(width)));
  return tensor;
}
Filter weights(const ConvShape& s) {
  Filter filter = make_filter();
  CUDA_CHECK(cudnnSetFilter4dDescriptor(filter.get(), CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, narrow(s.outputs),
                                        narrow(s.inputs), narrow(s.kernel), narrow(s.kernel)));
  return filter;
}
Convolution convolution(const ConvShape& s, cudnnMathType_t math) {
  Convolution made = make_convolution();
  const int padding = narrow(s.padding), stride = narrow(s.stride);
  CUDA_CHECK(cudnnSetConvolution2dDescriptor(made.get(), padding, padding, stride, stride, 1, 1,
                                             CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  CUDA_CHECK(cudnnSetConvolutionMathType(made.get(), math));
  return made;
}

// What was chosen of one of the three operations, which have types of their own; without a convolution: nothing.
template <class Performance>
struct Chosen {
  decltype(Performance::algo) algorithm{};
  Convolution convolution;
};

// Of a layer and as many rows.
struct Plan {
  Tensor x, y;
  std::optional<Chosen<cudnnConvolutionFwdAlgoPerf_t>> forward;
  std::optional<Chosen<cudnnConvolutionBwdDataAlgoPerf_t>> image_gradient;
  std::optional<Chosen<cudnnConvolutionBwdFilterAlgoPerf_t>> weight_gradient;
};

struct Layer {
  ConvShape shape;
  Filter w;
  Convolution any;  // with which algorithms are asked for
  std::map<int64_t, Plan> plans;
};

class LoadedCudnn : public Cudnn {
 public:
  LoadedCudnn(std::span<const ConvShape> shapes, cudaStream_t stream) : handle_(make_handle()) {
    CUDA_CHECK(cudnnSetStream(handle_.get(), stream));
    for (const ConvShape& s : shapes) layers_.push_back({s, weights(s), convolution(s, CUDNN_TENSOR_OP_MATH), {}});
  }

  void set_workspace(void* memory, size_t bytes) override {
    workspace_ = memory;
    workspace_bytes_ = bytes;
  }

  bool forward(size_t number, const float* x, const float* w, int64_t rows, float* y) override {
    const Layer& layer = layers_[number];
    Plan& plan = plan_of(number, rows);
    return run(
        layer, plan.forward,
        [&](auto... found) {
          return cudnnGetConvolutionForwardAlgorithm_v7(handle_.get(), plan.x.get(), layer.w.get(), layer.any.get(),
                                                        plan.y.get(), found...);
        },
        [&](const auto& chosen) {
          return cudnnConvolutionForward(handle_.get(), &kOne, plan.x.get(), x, layer.w.get(), w,
                                         chosen.convolution.get(), chosen.algorithm, workspace_, workspace_bytes_,
                                         &kZero, plan.y.get(), y);
        });
  }

  bool find_image_gradient(size_t number, const float* y, const float* w, int64_t rows, float* x) override {
    const Layer& layer = layers_[number];
    Plan& plan = plan_of(number, rows);
    return run(
        layer, plan.image_gradient,
        [&](auto... found) {
          return cudnnGetConvolutionBackwardDataAlgorithm_v7(handle_.get(), layer.w.get(), plan.y.get(),
                                                             layer.any.get(), plan.x.get(), found...);
        },
        [&](const auto& chosen) {
          return cudnnConvolutionBackwardData(handle_.get(), &kOne, layer.w.get(), w, plan.y.get(), y,
                                              chosen.convolution.get(), chosen.algorithm, workspace_, workspace_bytes_,
                                              &kZero, plan.x.get(), x);
        });
  }

  bool find_weight_gradient(size_t number, const float* x, const float* y, int64_t rows, float* w) override {
    const Layer& layer = layers_[number];
    Plan& plan = plan_of(number, rows);
    return run(
        layer, plan.weight_gradient,
        [&](auto... found) {
          return cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle_.get(), plan.x.get(), plan.y.get(),
                                                               layer.any.get(), layer.w.get(), found...);
        },
        [&](const auto& chosen) {
          return cudnnConvolutionBackwardFilter(handle_.get(), &kOne, plan.x.get(), x, plan.y.get(), y,
                                                chosen.convolution.get(), chosen.algorithm, workspace_,
                                                workspace_bytes_, &kZero, layer.w.get(), w);
        });
  }

 private:
  static constexpr float kOne = 1, kZero = 0;

  Plan& plan_of(size_t number, int64_t rows) {
    Layer& layer = layers_[number];
    const auto [place, is_new] = layer.plans.try_emplace(rows);
    if (is_new) {
      const ConvShape& s = layer.shape;
      place->second.x = images(rows, s.inputs, s.height, s.width);
      place->second.y = images(rows, s.outputs, s.output_height(), s.output_width());
    }
    return place->second;
  }

  // ask(how many proposals fit, how many there are, where they go), call(what was chosen).
  template <class Performance, class Ask, class Call>
  bool run(const Layer& layer, std::optional<Chosen<Performance>>& chosen, const Ask& ask, const Call& call) {
    if (!chosen) chosen = choose<Performance>(layer.shape, ask);
    if (!chosen->convolution) return false;
    const cudnnStatus_t status = call(*chosen);
    if (status == CUDNN_STATUS_NOT_SUPPORTED)
      return *chosen = {}, false;  // proposed, and not there when it comes to it
    CUDA_CHECK(status);
    return true;
  }

  template <class Performance, class Ask>
  Chosen<Performance> choose(const ConvShape& shape, const Ask& ask) const {
    std::array<Performance, 32> proposals{};  // more than there are algorithms, each with and without tensor cores
    int count = 0;
    const cudnnStatus_t status = ask(static_cast<int>(proposals.size()), &count, proposals.data());
    if (status == CUDNN_STATUS_NOT_SUPPORTED) return {};
    CUDA_CHECK(status);
    for (const Performance& proposal : std::span(proposals).first(static_cast<size_t>(count)))
      if (proposal.status == CUDNN_STATUS_SUCCESS && proposal.determinism == CUDNN_DETERMINISTIC &&
          proposal.memory <= workspace_bytes_)
        return {proposal.algo, convolution(shape, proposal.mathType)};
    return {};
  }

  Handle handle_;
  std::vector<Layer> layers_;
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;
};

std::unique_ptr<Cudnn> make_loaded(std::span<const ConvShape> shapes, cudaStream_t stream) {
  return std::make_unique<LoadedCudnn>(shapes, stream);
}

}  // namespace
}  // namespace doppel::cuda

extern "C" const doppel::cuda::CudnnPlugin doppel_cudnn_plugin = {DOPPEL_VERSION, doppel::cuda::make_loaded};
