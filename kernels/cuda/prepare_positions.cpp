#include "kernels/cuda/device.h"
#include "kernels/cuda/positions.h"

namespace doppel::cuda {
namespace {

constexpr int64_t kMostNumbers = int64_t{1} << 24;  // at a time

template <class Value>
class PositionsOnDevice : public PreparedPositions<Value> {
 public:
  PositionsOnDevice(std::span<const Value> sorted, int device)
      : device_(select_device(device)), stream_(make_stream()), sorted_(upload(sorted, stream_.get())) {
    CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
  }
  ~PositionsOnDevice() override { cudaSetDevice(device_); }  // whose memory it frees

  void find(std::span<const Value> numbers, int32_t* positions) const override {
    CUDA_CHECK(cudaSetDevice(device_));
    for_pieces_that_fit(static_cast<int64_t>(numbers.size()), kMostNumbers, [&](int64_t first, int64_t count) {
      const auto values = static_cast<size_t>(count);
      const DeviceBuffer<Value> some = upload(numbers.subspan(static_cast<size_t>(first), values), stream_.get());
      const DeviceBuffer<int32_t> found(values, stream_.get());
      find_positions(sorted_.data(), static_cast<int64_t>(sorted_.size()), some.data(), count, found.data(),
                     stream_.get());
      CUDA_CHECK(cudaMemcpyAsync(positions + first, found.data(), values * sizeof(int32_t), cudaMemcpyDeviceToHost,
                                 stream_.get()));
      CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
    });
  }

 private:
  int device_;
  Stream stream_;
  DeviceBuffer<Value> sorted_;
};

}  // namespace

std::unique_ptr<PreparedPositions<int64_t>> prepare_cuda_positions(std::span<const int64_t> sorted, int device) {
  return std::make_unique<PositionsOnDevice<int64_t>>(sorted, device);
}
std::unique_ptr<PreparedPositions<double>> prepare_cuda_positions(std::span<const double> sorted, int device) {
  return std::make_unique<PositionsOnDevice<double>>(sorted, device);
}

}  // namespace doppel::cuda
