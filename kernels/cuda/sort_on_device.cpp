#include <algorithm>

#include "kernels/cuda/primitives.h"

namespace doppel::cuda {

void sort_on_device(std::span<int64_t> values, cudaStream_t stream) {
  for_pieces_that_fit(static_cast<int64_t>(values.size()), int64_t{1} << 30, [&](int64_t first, int64_t count) {
    const std::span<int64_t> piece = values.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    DeviceBuffer<int64_t> sorted = upload(piece, stream), other(piece.size(), stream);
    sort_ascending(sorted, other, 64, stream);
    CUDA_CHECK(cudaMemcpyAsync(piece.data(), sorted.data(), piece.size_bytes(), cudaMemcpyDeviceToHost, stream));
    CUDA_CHECK(cudaStreamSynchronize(stream));
    std::inplace_merge(values.begin(), piece.begin(), piece.end());
  });
}

}  // namespace doppel::cuda
